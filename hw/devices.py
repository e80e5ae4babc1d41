# SPDX-License-Identifier: Apache-2.0
"""Devices: what the boards that a network is planned for have."""

from dataclasses import dataclass
from types import MappingProxyType

from quant.errors import PlanError

BRAM36_BITS = 36 * 1024
URAM_WIDTH, URAM_DEPTH = 72, 4096
"""Bits of a word and words of one ultra RAM, its only shape."""


@dataclass(frozen=True)
class Device:
    """One board.

    Attributes:
        name: Name of the board, as ``--board`` takes it.
        part: Name of its device.
        lut: Six-input lookup tables.
        ff: Flip-flops.
        dsp: DSP blocks.
        bram36: Block RAMs of 36 Kibit.
        uram: Ultra RAMs of 288 Kibit.
        clock_hz: Clock that a plan takes when none is given.
        ultra_initial_contents: Whether the bitstream fills ultra RAMs; if not, memories in them
            are loaded through a stream at start.
    """

    name: str
    part: str
    lut: int
    ff: int
    dsp: int
    bram36: int
    uram: int
    clock_hz: int
    ultra_initial_contents: bool


# Source: the makers' product tables (DS190, DS891, DS962, DS987).
_ALL = (
    Device("pynq-z2", "xc7z020", 53_200, 106_400, 220, 140, 0, 100_000_000, False),
    Device("ultra96", "xczu3eg", 70_560, 141_120, 360, 216, 0, 200_000_000, False),
    Device("kv260", "xck26", 117_120, 234_240, 1_248, 144, 64, 200_000_000, False),
    Device("zcu104", "xczu7ev", 230_400, 460_800, 1_728, 312, 96, 200_000_000, False),
    Device("zcu102", "xczu9eg", 274_080, 548_160, 2_520, 912, 0, 200_000_000, False),
    Device("u250", "xcu250", 1_728_000, 3_456_000, 12_288, 2_688, 1_280, 250_000_000, False),
)

DEVICES = MappingProxyType({device.name: device for device in _ALL})
"""Boards by name."""


def find_device(name: str) -> Device:
    """Return the board called ``name``, upper and lower case aside.

    Raises:
        PlanError: No board has that name.
    """
    found = DEVICES.get(name.lower())
    if found is None:
        raise PlanError(f"there is no board '{name}'; known boards: {', '.join(DEVICES)}")
    return found

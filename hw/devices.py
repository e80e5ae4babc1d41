# SPDX-License-Identifier: Apache-2.0
"""The boards that are known, and how a board is found by its name or file."""

from pathlib import Path
from types import MappingProxyType

from hw.device import URAM_DEPTH, URAM_WIDTH, Device
from hw.device_file import BOARD_FILE_SUFFIX, read_device
from quant.errors import PlanError

__all__ = ["DEVICES", "URAM_DEPTH", "URAM_WIDTH", "Device", "find_device"]

# Logic, memories. Sources: DS190 (Zynq-7000), DS891 (Zynq UltraScale+), DS987 (K26: also its DDR4,
# 64 bits at 2,400 Mb/s), DS962 (U250), DS963 (U280), DS950 (Versal), FPGA-DS-02012 (ECP5: 83,640
# tables, 208 blocks, 156 multipliers; 24,288, 56, 28).
# Memory on the board: PYNQ-Z2 16 bits at 1,050 Mb/s; Ultra96 32 bits at 2,133 Mb/s; ZCU104 64 bits
# at 2,400 Mb/s; ZCU102 64 bits at 2,133 Mb/s; U250 and U280 as UG1393 says (77 and 460 GB/s);
# VCK190 its DIMM alone, 64 bits at 3,200 Mb/s; ULX3S 16 bits at 133 Mb/s; Colorlight i5 32 bits at
# 166 Mb/s. Ultra RAM with initial contents: Versal only (UG573: UltraScale+ clears it at start).
_ALL = (
    Device(
        "pynq-z2", "xc7z020", "7-series",
        53_200, 106_400, 220, 140, 0, 2_100_000_000, 100_000_000, False,
    ),
    Device(
        "ultra96", "xczu3eg", "ultrascale+",
        70_560, 141_120, 360, 216, 0, 8_532_000_000, 200_000_000, False,
    ),
    Device(
        "kv260", "xck26", "ultrascale+",
        117_120, 234_240, 1_248, 144, 64, 19_200_000_000, 200_000_000, False,
    ),
    Device(
        "zcu104", "xczu7ev", "ultrascale+",
        230_400, 460_800, 1_728, 312, 96, 19_200_000_000, 200_000_000, False,
    ),
    Device(
        "zcu102", "xczu9eg", "ultrascale+",
        274_080, 548_160, 2_520, 912, 0, 17_064_000_000, 200_000_000, False,
    ),
    Device(
        "u250", "xcu250", "ultrascale+",
        1_728_000, 3_456_000, 12_288, 2_688, 1_280, 77_000_000_000, 250_000_000, False,
    ),
    Device(
        "u280", "xcu280", "ultrascale+",
        1_304_000, 2_607_000, 9_024, 2_016, 960, 460_000_000_000, 250_000_000, False,
    ),
    Device(
        "vck190", "xcvc1902", "versal",
        899_840, 1_799_680, 1_968, 967, 463, 25_600_000_000, 250_000_000, True,
    ),
    Device(
        "ulx3s", "lfe5u-85f", "ecp5",
        83_640, 83_640, 156, 104, 0, 266_000_000, 80_000_000, False,
    ),
    Device(
        "colorlight-i5", "lfe5u-25f", "ecp5",
        24_288, 24_288, 28, 28, 0, 664_000_000, 80_000_000, False,
    ),
)  # fmt: skip

DEVICES = MappingProxyType({device.name: device for device in _ALL})
"""Boards by name."""


def find_device(name: str) -> Device:
    """Return the board called ``name``, upper and lower case aside, or that of ``FILE.toml``.

    Raises:
        PlanError: No board has that name.
        InputFileError: The file is no description of a board.
    """
    if name.lower().endswith(BOARD_FILE_SUFFIX):
        return read_device(Path(name))
    found = DEVICES.get(name.lower())
    if found is None:
        raise PlanError(
            f"there is no board '{name}'; known boards: {', '.join(DEVICES)}; or describe it in a "
            f"file, --board FILE{BOARD_FILE_SUFFIX}"
        )
    return found

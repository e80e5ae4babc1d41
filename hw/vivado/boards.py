# SPDX-License-Identifier: Apache-2.0
"""What Vivado calls the boards of ``hw.devices``, and the processors that they have."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from hw.devices import Device

ProcessingSystem = Literal["zynq7", "zynq_ultra"]
"""Kind of the processors beside the logic."""


@dataclass(frozen=True)
class VivadoBoard:
    """One board as Vivado knows it.

    Attributes:
        name: Name of the board, as ``--board`` takes it.
        part: Complete name of the part, with package and speed grade.
        board_file: Name in Vivado's board files.
        processing_system: Processors on the chip that the example system is made for; ``None`` for
            a card in a PCIe slot, and for Versal, whose processors stand behind a network on chip.
    """

    name: str
    part: str
    board_file: str
    processing_system: ProcessingSystem | None


# Source: the boards' user guides and their files in the vendor's board store.
_ALL = (
    VivadoBoard("pynq-z2", "xc7z020clg400-1", "pynq-z2", "zynq7"),
    VivadoBoard("ultra96", "xczu3eg-sbva484-1-i", "ultra96v2", "zynq_ultra"),
    VivadoBoard("kv260", "xck26-sfvc784-2LV-c", "kv260_som", "zynq_ultra"),
    VivadoBoard("zcu104", "xczu7ev-ffvc1156-2-e", "zcu104", "zynq_ultra"),
    VivadoBoard("zcu102", "xczu9eg-ffvb1156-2-e", "zcu102", "zynq_ultra"),
    VivadoBoard("u250", "xcu250-figd2104-2L-e", "au250", None),
    VivadoBoard("u280", "xcu280-fsvh2892-2L-e", "au280", None),
    VivadoBoard("vck190", "xcvc1902-vsva2197-2MP-e-S", "vck190", None),
)

_BOARDS = MappingProxyType({board.name: board for board in _ALL})


def vivado_board(device: Device) -> VivadoBoard | None:
    """Return what Vivado calls ``device``; ``None`` for boards of other makers and users' own."""
    return _BOARDS.get(device.name)

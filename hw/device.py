# SPDX-License-Identifier: Apache-2.0
"""Device: what a board has that a network is planned for."""

from dataclasses import dataclass
from typing import Literal

URAM_WIDTH, URAM_DEPTH = 72, 4096
"""Bits of a word and words of one ultra RAM, its only shape."""

Family = Literal["7-series", "ultrascale+", "versal", "ecp5"]
"""Kind of logic: sizes of tables, of multipliers and of block RAMs follow from it."""

TABLE_INPUTS: dict[Family, int] = {"7-series": 6, "ultrascale+": 6, "versal": 6, "ecp5": 4}


@dataclass(frozen=True)
class Device:
    """One board.

    Attributes:
        name: Name of the board, as ``--board`` takes it.
        part: Name of its device.
        family: Kind of its logic.
        lut: Lookup tables, of six inputs or, on ECP5, of four.
        ff: Flip-flops.
        dsp: DSP blocks; on ECP5 multipliers of 18 x 18 bits.
        bram36: Block RAMs of 36 Kibit; two of the 18 Kibit blocks of ECP5 count as one.
        uram: Ultra RAMs of 288 Kibit.
        external_bytes_per_second: Most that the memory on the board moves; 0: there is none.
        clock_hz: Clock that a plan takes when none is given.
        ultra_initial_contents: Whether the bitstream fills ultra RAMs; if not, memories in them
            are loaded through a stream at start.
    """

    name: str
    part: str
    family: Family
    lut: int
    ff: int
    dsp: int
    bram36: int
    uram: int
    external_bytes_per_second: int
    clock_hz: int
    ultra_initial_contents: bool

    @property
    def six_input_luts(self) -> int:
        """Functions of six inputs that it has room for: four tables of four inputs make one."""
        return self.lut if TABLE_INPUTS[self.family] == 6 else self.lut // 4

    @property
    def bram18(self) -> int:
        """Block RAMs of 18 Kibit; one of 36 Kibit is two."""
        return 2 * self.bram36

# SPDX-License-Identifier: Apache-2.0
"""What a piece of hardware takes of a device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """Primitives of one piece of hardware, estimated or counted after synthesis.

    Attributes:
        lut: Lookup tables of logic.
        ff: Flip-flops.
        dsp: DSP blocks.
        bram18: Block RAMs of 18 Kibit; one of 36 Kibit counts twice.
        uram: Ultra RAMs of 288 Kibit.
        lutram_luts: Lookup tables that serve as memories and shift registers.
    """

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram18: int = 0
    uram: int = 0
    lutram_luts: int = 0

    @property
    def all_luts(self) -> int:
        """Lookup tables of logic and of memories: what a device's number of tables limits."""
        return self.lut + self.lutram_luts

    def __add__(self, other: Resources) -> Resources:
        """Return the primitives of both."""
        return Resources(
            self.lut + other.lut,
            self.ff + other.ff,
            self.dsp + other.dsp,
            self.bram18 + other.bram18,
            self.uram + other.uram,
            self.lutram_luts + other.lutram_luts,
        )


def total(parts: Iterable[Resources]) -> Resources:
    """Return the primitives of all ``parts`` together."""
    return sum(parts, Resources())

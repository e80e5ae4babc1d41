# SPDX-License-Identifier: Apache-2.0
"""Stored weights: codes, decode tables, table selectors and group multipliers.

``w_int = multipliers[g] * tables[selectors[g]][codes]``: affine, symmetric, PWLQ and free codebooks
are the same data. The group ``g`` of a weight is found by broadcasting: ``selectors`` and
``multipliers`` have the shape of ``codes`` with 1 along every axis that shares the parameters.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from quant.errors import GraphError
from quant.formats import frozen_array

Scheme = Literal["affine", "symmetric", "pwlq", "codebook"]

MAX_TABLES = 16
MAX_MULTIPLIER_BITS = 8
# Largest |table entry| by code bits: the decode in hardware has this operand width.
ENTRY_LIMIT = {1: 31, 2: 31, 3: 31, 4: 31, 5: 127, 6: 255, 7: 255, 8: 255}


class Granularity(StrEnum):
    """Which weights W[f, c, kh, kw] share one parameter set; the paper's names."""

    LAYER = "layer"
    FILTER = "filter"
    CHANNEL = "channel"
    F_SHAPE = "f-shape"
    C_SHAPE = "c-shape"

    def group_shape(self, shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Return ``shape`` (OIHW) with 1 along the axes that a group runs over."""
        f, c, kh, kw = shape
        match self:
            case Granularity.LAYER:
                return (1, 1, 1, 1)
            case Granularity.FILTER:
                return (f, 1, 1, 1)
            case Granularity.CHANNEL:
                return (1, c, 1, 1)
            case Granularity.F_SHAPE:
                return (1, c, kh, kw)
            case Granularity.C_SHAPE:
                return (f, 1, kh, kw)


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of one convolution or linear layer as stored integers.

    Attributes:
        codes: uint8 [F, C/groups, KH, KW], each below ``2**bits``.
        bits: Stored bits of a code, 1..8 (5 for PWLQ with 4-bit regions).
        tables: int16 [T, 2**bits], T <= 16; decoded value of each code.
        selectors: uint8, group shape; table of each group, below T.
        multipliers: uint8, group shape; integer multiplier M of each group, >= 1.
        scale: float32 [F] or [1]; real value of one step of ``w_int`` per filter (for reports and
            for the float-scale model; no integer function reads it).
        granularity: Which weights share a group.
        scheme: How the tables were made; names the rows of a report, changes no arithmetic.
    """

    codes: npt.NDArray[np.uint8]
    bits: int
    tables: npt.NDArray[np.int16]
    selectors: npt.NDArray[np.uint8]
    multipliers: npt.NDArray[np.uint8]
    scale: npt.NDArray[np.float32]
    granularity: Granularity
    scheme: Scheme

    def __post_init__(self) -> None:
        """Freeze the arrays and check shapes and ranges.

        Raises:
            GraphError: A shape or a value breaks the contract.
        """
        for field, dtype in (
            ("codes", np.uint8),
            ("tables", np.int16),
            ("selectors", np.uint8),
            ("multipliers", np.uint8),
            ("scale", np.float32),
        ):
            object.__setattr__(self, field, frozen_array(getattr(self, field), dtype))
        if self.codes.ndim != 4 or self.codes.size == 0:
            raise GraphError(f"weight codes have shape {self.codes.shape}; four axes OIHW needed")
        if not 1 <= self.bits <= 8:
            raise GraphError(f"weight codes have {self.bits} bits; limit 1..8")
        if int(self.codes.max()) >> self.bits:
            raise GraphError(f"weight code {self.codes.max()} does not fit {self.bits} bits")
        tables = self.tables.shape
        if len(tables) != 2 or tables[1] != 1 << self.bits or not 1 <= tables[0] <= MAX_TABLES:
            raise GraphError(
                f"decode tables have shape {tables}; needed [1..{MAX_TABLES}, {1 << self.bits}]"
            )
        limit = ENTRY_LIMIT[self.bits]
        if int(np.abs(self.tables.astype(np.int32)).max()) > limit:
            raise GraphError(
                f"decode table entry {np.abs(self.tables).max()} exceeds {limit}, "
                f"the limit for {self.bits}-bit codes"
            )
        shape = self.codes.shape
        group_shape = self.granularity.group_shape((shape[0], shape[1], shape[2], shape[3]))
        if self.selectors.shape != group_shape or self.multipliers.shape != group_shape:
            raise GraphError(
                f"{self.granularity}-wise groups of {shape} need selectors and multipliers of "
                f"shape {group_shape}, got {self.selectors.shape} and {self.multipliers.shape}"
            )
        if int(self.selectors.max()) >= tables[0]:
            raise GraphError(f"table selector {self.selectors.max()} of {tables[0]} tables")
        if int(self.multipliers.min()) < 1:
            raise GraphError("a group multiplier is 0; dead groups need codes that decode to 0")
        if self.scale.shape not in ((1,), (shape[0],)):
            raise GraphError(
                f"weight scale has shape {self.scale.shape}; needed [1] or [{shape[0]}]"
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape OIHW: (F, C/groups, KH, KW)."""
        f, c, kh, kw = self.codes.shape
        return f, c, kh, kw

    @property
    def groups(self) -> int:
        """Number of quantization groups."""
        return int(self.selectors.size)

    @property
    def multiplier_bits(self) -> int:
        """Stored bits of a group multiplier; 0 when every multiplier is 1."""
        largest = int(self.multipliers.max())
        return 0 if largest == 1 else largest.bit_length()

    @property
    def selector_bits(self) -> int:
        """Stored bits of a table selector; 0 when there is one table."""
        return (int(self.tables.shape[0]) - 1).bit_length()

    @property
    def table_bits(self) -> int:
        """Signed bits of a table entry: the operand width before the group multiplier."""
        low, high = int(self.tables.min()), int(self.tables.max())
        return signed_bits(low, high)

    def integers(self) -> npt.NDArray[np.int32]:
        """Return ``w_int``, int32 [F, C/groups, KH, KW]."""
        # Two-step fancy indexing with a broadcast selector: table row first, code second.
        rows = np.broadcast_to(self.selectors, self.codes.shape)
        decoded = self.tables[rows, self.codes].astype(np.int32)
        return decoded * self.multipliers.astype(np.int32)


def signed_bits(low: int, high: int) -> int:
    """Return the smallest two's complement width that holds both ``low`` and ``high``."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1

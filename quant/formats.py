# SPDX-License-Identifier: Apache-2.0
"""Formats of integer tensors: what a stored code means."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quant.errors import GraphError

IntArray = npt.NDArray[np.int64]

MAX_CODE_BITS = 16
MAX_DECODED = 65535


def frozen_array(value: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    """Return a read-only, C-contiguous copy of ``value`` as ``dtype``.

    Raises:
        GraphError: A value does not survive the conversion (out of range, or not an integer).
    """
    source = np.asarray(value)
    result = np.ascontiguousarray(source.astype(dtype)).copy()
    if np.issubdtype(result.dtype, np.integer) and not np.array_equal(result, source):
        raise GraphError(
            f"values {source.min()}..{source.max()} do not fit {result.dtype}; "
            "this is a defect of whoever made the array"
        )
    result.setflags(write=False)
    return result


@dataclass(frozen=True)
class RowRange:
    """Scale and zero point of the rows (channels) up to ``stop``, exclusive.

    Attributes:
        stop: First channel after the range.
        scale: Real value of one step, > 0.
        zero_point: Decoded value ``a`` that means real 0.
    """

    stop: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class TensorFormat:
    """Meaning of the unsigned codes of one tensor: ``real = scale * (codebook[q] - zero_point)``.

    Attributes:
        bits: Bits ``A`` of a stored code ``q``, 1..16.
        ranges: Contiguous channel ranges with their scale and zero point; inner tensors have
            exactly one.
        codebook: Decoded value of each code, strictly increasing, ``2**bits`` entries; ``None``
            for a plain tensor (``a = q``).
    """

    bits: int
    ranges: tuple[RowRange, ...]
    codebook: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the format.

        Raises:
            GraphError: Bits, codebook or a zero point are out of range.
        """
        if not 1 <= self.bits <= MAX_CODE_BITS:
            raise GraphError(f"a tensor format has {self.bits} bits; limit 1..{MAX_CODE_BITS}")
        book = self.codebook
        if book is not None:
            if len(book) != 1 << self.bits:
                raise GraphError(
                    f"codebook has {len(book)} entries; {self.bits}-bit codes need {1 << self.bits}"
                )
            if (
                book[0] < 0
                or book[-1] > MAX_DECODED
                or any(b <= a for a, b in itertools.pairwise(book))
            ):
                raise GraphError(
                    f"codebook {book} must be strictly increasing within 0..{MAX_DECODED}"
                )
        if not self.ranges:
            raise GraphError("a tensor format needs at least one row range")
        stops = [r.stop for r in self.ranges]
        if stops[0] < 1 or any(b <= a for a, b in itertools.pairwise(stops)):
            raise GraphError(f"row ranges end at {stops}; they must increase from 1")
        for r in self.ranges:
            if not (np.isfinite(r.scale) and r.scale > 0):
                raise GraphError(f"scale {r.scale} must be finite and positive")
            if book is not None and r.zero_point not in book:
                raise GraphError(f"zero point {r.zero_point} is not an entry of the codebook")
            if book is None and not 0 <= r.zero_point < 1 << self.bits:
                raise GraphError(
                    f"zero point {r.zero_point} is outside the codes 0..{(1 << self.bits) - 1}"
                )

    @classmethod
    def plain(cls, bits: int, scale: float, zero_point: int, channels: int) -> "TensorFormat":
        """Return the format of a plain tensor with one scale."""
        return cls(bits, (RowRange(channels, scale, zero_point),))

    @property
    def channels(self) -> int:
        """Number of channels that the ranges cover."""
        return self.ranges[-1].stop

    @property
    def uniform(self) -> bool:
        """Whether one scale and zero point hold for every channel."""
        return len(self.ranges) == 1

    @property
    def scale(self) -> float:
        """The one scale.

        Raises:
            GraphError: The format has several row ranges.
        """
        return self._only().scale

    @property
    def zero_point(self) -> int:
        """The one zero point, a decoded value.

        Raises:
            GraphError: The format has several row ranges.
        """
        return self._only().zero_point

    @property
    def zero_code(self) -> int:
        """The code whose decoded value is the zero point: what padding carries."""
        zero = self.zero_point
        return zero if self.codebook is None else self.codebook.index(zero)

    @property
    def max_decoded(self) -> int:
        """Largest decoded value ``a``."""
        return (1 << self.bits) - 1 if self.codebook is None else self.codebook[-1]

    @property
    def decoded_bits(self) -> int:
        """Bits of the decoded value: what the multiplier sees."""
        return max(1, self.max_decoded.bit_length())

    @cached_property
    def scale_per_row(self) -> npt.NDArray[np.float64]:
        """Scale of every channel, float64 [C]."""
        return np.concatenate([np.full(n, r.scale) for n, r in self._spans()])

    @cached_property
    def zero_point_per_row(self) -> IntArray:
        """Zero point of every channel, int64 [C]."""
        return np.concatenate([np.full(n, r.zero_point, np.int64) for n, r in self._spans()])

    def with_channels(self, channels: int) -> "TensorFormat":
        """Return the same uniform format over another number of channels."""
        only = self._only()
        return TensorFormat(
            self.bits, (RowRange(channels, only.scale, only.zero_point),), self.codebook
        )

    def same_codes(self, other: "TensorFormat") -> bool:
        """Whether both formats give every code the same meaning (channel counts aside)."""
        if not (self.uniform and other.uniform):
            return False
        return (self.bits, self.codebook, self.scale, self.zero_point) == (
            other.bits,
            other.codebook,
            other.scale,
            other.zero_point,
        )

    def _only(self) -> RowRange:
        if len(self.ranges) != 1:
            raise GraphError(f"format has {len(self.ranges)} row ranges where one is needed")
        return self.ranges[0]

    def _spans(self) -> list[tuple[int, RowRange]]:
        starts = [0, *(r.stop for r in self.ranges[:-1])]
        return [(r.stop - s, r) for s, r in zip(starts, self.ranges, strict=True)]

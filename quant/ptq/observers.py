# SPDX-License-Identifier: Apache-2.0
"""Streaming range observers: a tensor is seen once, counted and forgotten.

Memory per tensor is one histogram of at most ``MAX_BINS`` counts whose bin width is a power of two;
when values leave the histogram's reach, the width doubles and neighbouring bins merge, so the
result does not depend on how the images are batched.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from quant.errors import QuantizationError

MAX_BINS = 4096
FIRST_EXPONENT = -12
# The least-error search shrinks each end in turn to these shares of its extreme.
SHARES = np.concatenate([np.linspace(0.0, 0.98, 99), [0.99]])
ROUNDS = 3

RangeMethod = Literal["minmax", "percentile", "mse"]


@dataclass(frozen=True)
class RealRange:
    """A closed interval of real values that contains 0.

    Attributes:
        low: Lower end, <= 0.
        high: Upper end, >= 0.
    """

    low: float
    high: float

    def union(self, other: "RealRange") -> "RealRange":
        """Return the smallest range that contains both."""
        return RealRange(min(self.low, other.low), max(self.high, other.high))

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low


class ChannelMean:
    """Mean of every channel of one tensor over all batches seen."""

    def __init__(self) -> None:
        self._sum: npt.NDArray[np.float64] | None = None
        self._pixels = 0

    def see(self, tensor: torch.Tensor, name: str) -> None:
        """Count one batch.

        Args:
            tensor: float32 [N, C, H, W].
            name: Of the tensor; every observer takes it.
        """
        sums = tensor.sum(dim=(0, 2, 3), dtype=torch.float64).numpy()
        self._sum = sums if self._sum is None else self._sum + sums
        self._pixels += tensor.shape[0] * tensor.shape[2] * tensor.shape[3]

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Mean of every channel, float64 [C].

        Raises:
            QuantizationError: No image was seen.
        """
        if self._sum is None:
            raise QuantizationError("an observer has seen no image; give at least one")
        return np.asarray(self._sum / self._pixels)


class Observer:
    """Histogram, extremes and per-channel mean of one tensor over all batches seen."""

    def __init__(self) -> None:
        self._exponent = FIRST_EXPONENT
        self._first = 0
        self._counts = np.zeros(0, np.int64)
        self._low = math.inf
        self._high = -math.inf
        self._means = ChannelMean()

    def see(self, tensor: torch.Tensor, name: str) -> None:
        """Count one batch.

        Args:
            tensor: float32 [N, C, H, W].
            name: For the error message.

        Raises:
            QuantizationError: A value is not finite.
        """
        low, high = (float(v) for v in torch.aminmax(tensor))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise QuantizationError(
                f"'{name}' has a value that is not finite on the calibration images; "
                "check the weights and the normalisation"
            )
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._means.see(tensor, name)
        self._reach(low, high)
        index = (tensor.reshape(-1) * 2.0**-self._exponent).floor_().to(torch.int64)
        index -= self._first
        counts = torch.bincount(index, minlength=len(self._counts)).numpy()
        self._counts = self._counts + counts

    @property
    def extremes(self) -> RealRange:
        """Smallest and largest value seen, widened to contain 0."""
        if self._low > self._high:
            raise QuantizationError("an observer has seen no image; give at least one")
        return RealRange(min(self._low, 0.0), max(self._high, 0.0))

    @property
    def channel_mean(self) -> npt.NDArray[np.float64]:
        """Mean of every channel, float64 [C]."""
        return self._means.mean

    def histogram(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return bin centres and counts of the occupied stretch, float64 [bins] each."""
        occupied = np.flatnonzero(self._counts)
        part = slice(int(occupied[0]), int(occupied[-1]) + 1)
        bins = np.arange(len(self._counts), dtype=np.float64)[part]
        centres = (bins + self._first + 0.5) * 2.0**self._exponent
        return centres, self._counts[part].astype(np.float64)

    def real_range(self, method: RangeMethod, bits: int, percentile: float) -> RealRange:
        """Choose the range to quantize.

        Args:
            method: ``minmax``, ``percentile`` (both tails cut) or ``mse`` (least squared error of
                a ``bits``-bit uniform quantizer over the histogram).
            bits: Bits of the codes.
            percentile: Share kept by ``percentile``, in percent, 50 to 100.

        Returns:
            The chosen range, containing 0.
        """
        full = self.extremes
        if method == "minmax" or full.width == 0.0:
            return full
        centres, counts = self.histogram()
        if method == "percentile":
            tail = (1.0 - percentile / 100.0) * counts.sum()
            cumulative = np.cumsum(counts)
            low = centres[int(np.searchsorted(cumulative, tail, side="right"))]
            high = centres[
                min(int(np.searchsorted(cumulative, cumulative[-1] - tail)), len(centres) - 1)
            ]
            return RealRange(min(max(low, full.low), 0.0), max(min(high, full.high), 0.0))
        return _least_error(full, centres, counts, bits)

    def _reach(self, low: float, high: float) -> None:
        """Grow the histogram until it covers ``low``..``high``."""
        while True:
            width = 2.0**self._exponent
            first = (
                min(self._first, math.floor(low / width))
                if len(self._counts)
                else math.floor(low / width)
            )
            last = max(self._first + len(self._counts) - 1, math.floor(high / width))
            if last - first < MAX_BINS:
                break
            self._double()
        before = self._first - first if len(self._counts) else 0
        after = last - first + 1 - before - len(self._counts)
        self._counts = np.pad(self._counts, (before, after))
        self._first = first

    def _double(self) -> None:
        counts, first = self._counts, self._first
        if first % 2:
            counts, first = np.pad(counts, (1, 0)), first - 1
        if len(counts) % 2:
            counts = np.pad(counts, (0, 1))
        self._counts = counts[0::2] + counts[1::2]
        self._first = first // 2
        self._exponent += 1


def uniform_grid(real: RealRange, bits: int) -> tuple[float, int]:
    """Return scale and zero point of the ``bits``-bit codes that cover ``real``.

    The zero point is one of the two codes around its ideal place, whichever needs the smaller
    scale to cover both ends. An end within half a step of 0 is given up, so that ReLU-like ranges
    waste no code.

    Args:
        real: Range to cover; an empty one (below float32's smallest) gives codes over 0..1.
        bits: Bits of the codes.
    """
    levels = (1 << bits) - 1
    if real.width < np.finfo(np.float32).tiny:
        return 1.0 / levels, 0
    ideal = -real.low / real.width * levels
    if ideal < 0.5:
        return real.high / levels, 0
    if ideal > levels - 0.5:
        return -real.low / levels, levels
    below = min(max(math.floor(ideal), 1), levels - 1)
    above = min(below + 1, levels - 1)
    return min((max(-real.low / z, real.high / (levels - z)), z) for z in (below, above))


def _least_error(
    full: RealRange,
    centres: npt.NDArray[np.float64],
    counts: npt.NDArray[np.float64],
    bits: int,
) -> RealRange:
    """Shrink each end in turn to where the expected squared error is least."""
    levels = (1 << bits) - 1

    def error(low: float, high: float) -> float:
        scale, zero = uniform_grid(RealRange(low, high), bits)
        codes = np.clip(np.floor(centres / scale + 0.5) + zero, 0, levels)
        difference = (codes - zero) * scale - centres
        return float(np.dot(difference * difference, counts))

    low, high = full.low, full.high
    least = error(low, high)
    for _ in range(ROUNDS):
        before = least
        for candidate in full.high * SHARES:
            if candidate - low > 0.0 and (found := error(low, candidate)) < least:
                least, high = found, candidate
        for candidate in full.low * SHARES:
            if high - candidate > 0.0 and (found := error(candidate, high)) < least:
                least, low = found, candidate
        if least == before:
            break
    return RealRange(float(low), float(high))

# SPDX-License-Identifier: Apache-2.0
"""Integer codebooks for activations: few codes, placed where an error costs the outputs most.

A codebook is fitted to a histogram whose every value counts with the importance of its channel:
Lloyd's iteration finds the levels, rounding to a grid of ``width`` bits makes them integers. A wide
grid is fine near zero and still reaches far; it also widens the multiplier and doubles the table
with every bit, so the narrowest grid that is good enough wins.

Source: Lloyd, Least squares quantization in PCM, IEEE Trans. Information Theory 28 (1982).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quant.formats import RowRange, TensorFormat
from quant.ptq.observers import RealRange

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Bins of a weighted histogram.
BINS = 1 << 16
# A grid may end at these shares of the largest value: rare values cost a bit each time they double.
SHARES = (1.0, 0.5, 0.25, 0.125)
ITERATIONS = 60
# Bins averaged for the first guess, and its share of evenly spread levels.
SMOOTHED_BINS = 512
EVEN_SHARE = 0.02
# A narrower grid is good enough within 1 dB of the best one.
GOOD_ENOUGH = 10.0**0.1


class WeightedHistogram:
    """Histogram of real values that count with weights; knows the error of any set of levels."""

    def __init__(self, real: RealRange) -> None:
        """Make an empty histogram.

        Args:
            real: Range of the values, not empty; others count at its ends.
        """
        self.low, self.high = real.low, real.high
        self._step = real.width / (BINS - 1)
        self._counts = np.zeros(BINS)

    def see(self, values: npt.NDArray[np.float32], weights: Floats) -> None:
        """Count the values of one image.

        Args:
            values: float32 [C, pixels].
            weights: float64 [C], weight of every value of a channel.
        """
        self.__dict__.pop("_sums", None)
        bins = np.floor((values - self.low) / self._step + 0.5).astype(np.int64)
        np.clip(bins, 0, BINS - 1, out=bins)
        for channel, weight in zip(bins, weights, strict=True):
            self._counts += np.bincount(channel, minlength=BINS) * weight

    def clipped(self, high: float) -> "WeightedHistogram":
        """Return the histogram with everything above ``high`` counted at ``high``."""
        last = int(np.clip((high - self.low) / self._step, 1, BINS - 1))
        other = WeightedHistogram(RealRange(self.low, self.high))
        other._counts[: last + 1] = self._counts[: last + 1]
        other._counts[last] += self._counts[last + 1 :].sum()
        return other

    def quantile(self, share: float) -> float:
        """Return the value that a share of all weight lies at or below."""
        cumulative = np.cumsum(self._counts)
        place = int(np.searchsorted(cumulative, share * cumulative[-1]))
        return self.low + self._step * min(place, BINS - 1)

    def error(self, levels: Floats) -> float:
        """Return the weighted squared error of rounding to the nearest of ascending levels."""
        weight, first, second = self._between(levels)
        return max(0.0, float((second - 2.0 * levels * first + levels * levels * weight).sum()))

    def best_levels(self, count: int) -> Floats:
        """Return ``count`` ascending levels of (locally) least weighted squared error."""
        density = np.cbrt(np.convolve(self._counts, np.ones(SMOOTHED_BINS), "same"))
        density += EVEN_SHARE * density.mean()
        cumulative = np.cumsum(density) / density.sum()
        places = np.searchsorted(cumulative, (np.arange(count) + 0.5) / count)
        levels: Floats = np.asarray(self.low + self._step * np.minimum(places, BINS - 1))
        for _ in range(ITERATIONS):
            weight, first, _second = self._between(levels)
            means = np.divide(first, weight, out=levels.copy(), where=weight > 0.0)
            # An empty cell keeps its level, and must not fall behind its neighbour's mean.
            moved: Floats = np.maximum.accumulate(means)
            if np.abs(moved - levels).max() < self._step / 4.0:
                break
            levels = moved
        return levels

    @cached_property
    def _sums(self) -> tuple[Floats, Floats, Floats]:
        values = self.low + self._step * np.arange(BINS)
        zeroth, first, second = (
            np.concatenate([[0.0], np.cumsum(self._counts * values**k)]) for k in range(3)
        )
        return zeroth, first, second

    def _between(self, levels: Floats) -> tuple[Floats, Floats, Floats]:
        """Return weight, sum and sum of squares of the values nearest to each level."""
        middles = (levels[1:] + levels[:-1]) / 2.0
        bins = np.clip(np.ceil((middles - self.low) / self._step), 0, BINS).astype(np.int64)
        edges = np.concatenate([[0], bins, [BINS]])
        zeroth, first, second = (np.diff(sums[edges]) for sums in self._sums)
        return zeroth, first, second


@dataclass(frozen=True)
class Codebook:
    """A fitted codebook.

    Attributes:
        entries: Decoded value of every code, strictly increasing, >= 0.
        scale: Real value of one step.
        zero_point: The entry that means 0.
        width: Bits of the largest entry that the grid allows.
        error: Weighted squared error.
    """

    entries: tuple[int, ...]
    scale: float
    zero_point: int
    width: int
    error: float

    def format(self, channels: int) -> TensorFormat:
        """Return the tensor format with this codebook."""
        bits = (len(self.entries) - 1).bit_length()
        return TensorFormat(bits, (RowRange(channels, self.scale, self.zero_point),), self.entries)


def levels_of(fmt: TensorFormat) -> Floats:
    """Return the real value of every code of a uniform format, float64 [2**bits]."""
    entries = np.arange(1 << fmt.bits) if fmt.codebook is None else np.asarray(fmt.codebook)
    return np.asarray(fmt.scale * (entries - fmt.zero_point), np.float64)


def fit_codebook(
    histogram: WeightedHistogram, bits: int, widest: int, good: float
) -> Codebook | None:
    """Return the narrowest codebook whose error is at most ``good``, or near the least there is.

    Args:
        histogram: What to fit, over a range that contains 0.
        bits: Bits of the codes.
        widest: Largest width of an entry, in bits.
        good: An error that needs no wider grid.

    Returns:
        The codebook; ``None`` when ``widest`` leaves no room for one.
    """
    low, high = histogram.low, histogram.high
    ends = [high * share for share in SHARES] if high > 0.0 else [high]
    levels = [histogram.clipped(end).best_levels(1 << bits) for end in ends]
    best: list[Codebook] = []
    for width in range(bits + 1, widest + 1):
        tries = []
        for end, real in zip(ends, levels, strict=True):
            top = (1 << width) - 1
            scale = (end - low) / top
            zero = int(np.floor(-low / scale + 0.5))
            entries = integer_levels(real / scale + zero, zero, top)
            error = histogram.error(np.asarray(scale * (entries - zero), np.float64))
            tries.append(Codebook(tuple(int(e) for e in entries), scale, zero, width, error))
        best.append(min(tries, key=lambda c: c.error))
    if not best:
        return None
    enough = max(good, GOOD_ENOUGH * min(c.error for c in best))
    return next(c for c in best if c.error <= enough)


def integer_levels(levels: Floats, zero: int, top: int) -> Integers:
    """Return strictly increasing integers near ``levels``, in 0..top, one of which is ``zero``.

    Args:
        levels: float64 [n] ascending; n <= top + 1.
        zero: Integer that must be there, in 0..top.
        top: Largest integer.
    """
    count = len(levels)
    entries = np.floor(levels + 0.5).astype(np.int64)
    # As many entries must fit below and above zero as there are.
    nearest = int(np.argmin(np.abs(entries - zero)))
    place = int(np.clip(nearest, count - 1 - (top - zero), zero))
    entries[place] = zero
    # Distance to the place takes out the least step of 1: what is left must only not fall.
    offset = np.arange(count) - place
    slack = entries - offset
    slack[place:] = np.maximum.accumulate(slack[place:])
    slack[: place + 1] = np.minimum.accumulate(slack[place::-1])[::-1]
    lowest, highest = place, top - (count - 1 - place)
    return np.asarray(np.clip(slack, lowest, highest) + offset)

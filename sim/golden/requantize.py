# SPDX-License-Identifier: Apache-2.0
"""The requantizer, twice: the integer formula, and a float64 form with its proof of exactness."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.nodes import Requantizer

FLOAT64_EXACT = 2**53


def requantize(
    accumulators: npt.NDArray[np.integer], requant: Requantizer, axis: int = 0
) -> npt.NDArray[np.int64]:
    """Return ``clip(((acc*m + (1 << (s-1))) >> s) + zero_point, low, high)``.

    ``>>`` is arithmetic: ties round towards plus infinity, for negative values too.

    Args:
        accumulators: Integers of magnitude below 2**45 (32 bits in a legal graph), any shape.
        requant: One entry, or one per index of ``axis``.
        axis: The filter axis of ``accumulators``.

    Returns:
        Codes, int64, shape of ``accumulators``.
    """
    shape = [1] * accumulators.ndim
    shape[axis] = -1
    multiplier = requant.multiplier.astype(np.int64).reshape(shape)
    shift = requant.shift.astype(np.int64).reshape(shape)
    zero = requant.zero_point.astype(np.int64).reshape(shape)
    half = np.left_shift(np.int64(1), shift - 1)
    rounded = np.right_shift(accumulators.astype(np.int64) * multiplier + half, shift)
    clipped: npt.NDArray[np.int64] = np.clip(rounded + zero, requant.low, requant.high)
    return clipped


@dataclass(frozen=True, eq=False)
class FloatRequantizer:
    """The requantizer with the bias folded in, as ``floor(clip(dot*ratio + offset, low, high))``.

    Proof: ``ratio = m * 2**-s`` and ``offset = (bias*m + 2**(s-1) + zero_point*2**s) * 2**-s`` are
    integers below 2**53 scaled by a power of two, so float64 holds them without rounding. So is
    ``dot*ratio``, and so is the sum, because :func:`float_requantizer` refuses a layer whose
    ``|dot|*m + |bias|*m + 2**(s-1) + zero_point*2**s`` can reach 2**53. The sum is then exactly
    the contract's fraction before the shift, and its floor is the arithmetic shift. Clipping to
    ``[low, high + 1/2]`` first leaves that floor as it is and makes every value non-negative, where
    the conversion to an integer (which drops the fraction) is the floor.

    Attributes:
        ratio: float64 [F, 1].
        offset: float64 [F, 1].
        low: Smallest value.
        high: Largest value, half a code above the largest code.
    """

    ratio: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    low: float
    high: float

    def apply(self, values: npt.NDArray[np.float64]) -> None:
        """Turn dot products, float64 [F, N], into codes plus a fraction in [0, 1), in place."""
        np.multiply(values, self.ratio, out=values)
        np.add(values, self.offset, out=values)
        np.clip(values, self.low, self.high, out=values)


def float_requantizer(
    requant: Requantizer, bias: npt.NDArray[np.int64], dot_bound: npt.NDArray[np.int64]
) -> FloatRequantizer | None:
    """Return the float64 form of a layer's requantizer, or ``None`` where it would not be exact.

    Args:
        requant: Requantizer with one entry per filter.
        bias: int64 [F].
        dot_bound: int64 [F], largest magnitude of the sum before the bias.
    """
    ratios, offsets = [], []
    for m, s, zero, b, bound in zip(
        requant.multiplier.tolist(),
        requant.shift.tolist(),
        requant.zero_point.tolist(),
        bias.tolist(),
        dot_bound.tolist(),
        strict=True,
    ):
        half, shifted_zero = 1 << (s - 1), zero << s
        if (bound + abs(b)) * m + half + shifted_zero >= FLOAT64_EXACT:
            return None
        ratios.append(float(m) * 2.0**-s)
        offsets.append(float(b * m + half + shifted_zero) * 2.0**-s)
    return FloatRequantizer(
        ratio=np.array(ratios)[:, None],
        offset=np.array(offsets)[:, None],
        low=float(requant.low),
        high=requant.high + 0.5,
    )

# SPDX-License-Identifier: Apache-2.0
"""PWLQ: even steps that change at breakpoints, in the paper's form and in its code's form.

The range [-m, m] is cut at breakpoints 0 < p1 < .. < pn < m; every region of the magnitude has
2**(b-1) levels, b its bits with the sign. A code also says the region: one breakpoint stores b + 1
bits per weight, so that 4-bit regions store 5 bits and 3-bit regions a true 4.

*Paper form* (eq. 1-3): the centre is sign * uniform(|r|; b-1 bits, 0, p), so that its last level is
the breakpoint itself. *Code form*: the centre is a symmetric signed b-bit grid of step 2p/(2**b-1),
its levels end half a step before the breakpoint, none is stored twice. The code -2**(b-1) of its
centre would be reached at -p only, where the tail begins; the integer tables use it.
*Overlapping form* (the code's option ``pw_opt``): a second signed b-bit grid covers the whole range
[-m, m] and starts at 0, so that no region has an offset; its levels inside the centre are wasted.

Source: Fang et al., Post-Training Piecewise Linear Quantization for Deep Neural Networks, ECCV
2020, and its published code; several breakpoints: supplement, eq. 1.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from quant.ptq.schemes.levels import Levels

Floats = npt.NDArray[np.float64]
Form = Literal["paper", "code", "overlap"]


def stored_bits(region_bits: int, breakpoints: int) -> int:
    """Return the stored bits per weight: region bits and the bits that tell regions apart."""
    return region_bits + breakpoints.bit_length()


def magnitude_levels(ends: Floats, region_bits: int, form: Form) -> Levels:
    """Return the levels of |w| of each group.

    Args:
        ends: float64 [G, n + 2], ascending: 0, the breakpoints, the largest magnitude.
        region_bits: Bits b of a region, with the sign; 2 to 7.
        form: The paper's or the code's regions, or overlapping ones.
    """
    count = 1 << (region_bits - 1)
    if form == "overlap":
        return _overlapping(ends, count)
    steps = np.arange(count)
    values, thresholds = [], []
    for region in range(ends.shape[1] - 1):
        low, high = ends[:, region, None], ends[:, region + 1, None]
        last = count - 0.5 if form == "code" and region == 0 else count - 1
        step = (high - low) / last
        values.append(low + step * steps)
        if region:
            thresholds.append(low)
        thresholds.append(low + step * (steps[:-1] + 0.5))
    return Levels(np.concatenate(values, axis=1), np.concatenate(thresholds, axis=1))


def _overlapping(ends: Floats, count: int) -> Levels:
    """Return the centre's grid below the breakpoint and the whole range's above it."""
    steps = np.arange(count)
    point, top = ends[:, 1, None], ends[:, 2, None]
    inner = point / (count - 0.5) * steps
    step = top / (count - 0.5)
    outer = step * steps
    # Levels that the breakpoint hides are never taken: their thresholds lie at it.
    between = np.maximum(outer[:, :-1] + step / 2, point)
    middles = point / (count - 0.5) * (steps[:-1] + 0.5)
    return Levels(
        np.concatenate([inner, outer], axis=1), np.concatenate([middles, point, between], axis=1)
    )


def mirrored(levels: Levels) -> Levels:
    """Return the levels of signed weights from those of their magnitudes; 0 is there twice."""
    zero = np.zeros((len(levels.values), 1))
    return Levels(
        np.concatenate([-levels.values[:, ::-1], levels.values], axis=1),
        np.concatenate([-levels.thresholds[:, ::-1], zero, levels.thresholds], axis=1),
    )

# SPDX-License-Identifier: Apache-2.0
"""Where PWLQ changes its step: closed forms, search of one breakpoint, dynamic search of several.

The closed forms give p in units of the standard deviation. The paper prints them as p/m; its code
divides by m/sigma afterwards, and so do we: only that solves the paper's own equation 5.

Source: Fang et al., ECCV 2020, eq. 4-8 and algorithm 1; supplement, eq. 1.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from quant.ptq.schemes.levels import Floats, SortedGroups
from quant.ptq.schemes.piecewise import Form, magnitude_levels

Method = Literal["gaussian", "laplacian", "search"]

# Shares of the largest magnitude, stage by stage: step, steps to each side of the best so far.
FIRST_SHARES = np.arange(1, 10) / 10.0
STAGES = ((0.01, 9), (0.001, 9))
CLOSED_FORM_LIMITS = (0.001, 0.5)
# Grid of the search for several breakpoints: shares of the largest magnitude.
CUTS = 32


def closed_form(rows: Floats, method: Literal["gaussian", "laplacian"]) -> Floats:
    """Return p/m of each group from its deviation, within (0, 1/2].

    Args:
        rows: float64 [G, n].
        method: Which distribution the weights are taken for.
    """
    groups, members = rows.shape
    top = np.abs(rows).max(axis=1)
    sigma = rows.std(axis=1, ddof=1) if members > 1 else np.zeros(groups)
    ratio = top / (sigma + 1e-12)
    if method == "gaussian":
        normalised = np.log(0.86143114 * ratio + 0.607901097)
    else:
        normalised = 0.80304483 * np.sqrt(ratio) - 0.31667855
    share = np.divide(normalised, ratio, out=np.full(groups, 0.5), where=ratio > 0.0)
    return np.asarray(np.clip(share, *CLOSED_FORM_LIMITS))


def searched(
    magnitudes: SortedGroups, top: Floats, region_bits: int, form: Form
) -> npt.NDArray[np.float64]:
    """Return p/m of each group by the paper's three-stage search for the least squared error.

    Args:
        magnitudes: Sorted |w| of each group.
        top: float64 [G], largest magnitude m.
        region_bits: Bits of a region, with the sign.
        form: The paper's or the code's centre.
    """
    best = np.full(len(top), 0.5)
    least = np.full(len(top), np.inf)

    def consider(share: Floats) -> None:
        nonlocal best, least
        error = magnitudes.error(magnitude_levels(ends_of(share[:, None], top), region_bits, form))
        better = error < least
        best, least = np.where(better, share, best), np.where(better, error, least)

    for first in FIRST_SHARES:
        consider(np.full(len(top), first))
    for step, reach in STAGES:
        centre = best
        for offset in range(-reach, reach + 1):
            if offset:
                consider(np.clip(centre + step * offset, 0.001, 0.999))
    return best


def several(magnitudes: SortedGroups, top: Floats, count: int) -> Floats:
    """Return ``count`` breakpoints over m of each group, float64 [G, count], ascending.

    Dynamic programming over a grid of shares of m finds the exact least of the paper's expected
    error, the sum over regions of width squared times the share of weights inside.

    Args:
        magnitudes: Sorted |w| of each group.
        top: float64 [G], largest magnitude m.
        count: Number of breakpoints, 1 to 3.
    """
    shares = np.arange(CUTS + 1) / CUTS
    inside, _, _ = magnitudes.cells(top[:, None] * shares[None, 1:-1])
    below = np.zeros((len(top), CUTS + 1))
    np.cumsum(inside, axis=1, out=below[:, 1:])
    # cost[g, i] of covering the shares up to cut i with the regions so far.
    cost = shares**2 * below
    choices = []
    for _ in range(count):
        longer = np.full_like(cost, np.inf)
        choice = np.zeros(cost.shape, np.int64)
        for end in range(2, CUTS + 1):
            width = shares[end] - shares[1:end]
            total = cost[:, 1:end] + width**2 * (below[:, end, None] - below[:, 1:end])
            choice[:, end] = 1 + total.argmin(axis=1)
            longer[:, end] = total.min(axis=1)
        cost = longer
        choices.append(choice)
    groups = np.arange(len(top))
    cut = np.full(len(top), CUTS)
    found = []
    for choice in reversed(choices):
        cut = choice[groups, cut]
        found.append(shares[cut])
    return np.stack(found[::-1], axis=1)


def ends_of(shares: Floats, top: Floats) -> Floats:
    """Return 0, the breakpoints and m of each group, float64 [G, n + 2].

    Args:
        shares: float64 [G, n], breakpoints over m, ascending.
        top: float64 [G], largest magnitude m.
    """
    groups = len(top)
    whole = np.concatenate([np.zeros((groups, 1)), shares, np.ones((groups, 1))], axis=1)
    return np.asarray(whole * top[:, None])

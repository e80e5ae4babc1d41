# SPDX-License-Identifier: Apache-2.0
"""Relaxation: budgets that cannot be kept, proved in milliseconds before anything is solved.

With a weight for every resource, no plan takes less in sum than the sum over nodes and FIFOs of
their least weighted use. Where that is above the weighted budget there is no plan. The search for
telling weights (a subgradient ascent) may use any arithmetic; what it finds is checked in whole
numbers. Width converters count as nothing, so that some problems without a plan are not seen.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hw.explore.problem import Problem
from hw.explore.resources import Budget, Uses

_STEPS = 300
_WHOLE = 1 << 40


def surely_impossible(problem: Problem, budget: Budget) -> bool:
    """Whether nodes and FIFOs provably take more than the budget, whatever is chosen.

    Args:
        problem: The reduced problem.
        budget: Its limits; without any nothing is impossible.
    """
    if any(not options for options in problem.options.values()):
        return True
    if budget.limit is None:
        return False
    groups = [[o.uses for o in options] for options in problem.options.values()]
    groups += [
        [fifo.uses for lanes in edge.fifos.values() for fifo in lanes] for edge in problem.edges
    ]
    # What the board has none of, no option takes.
    fields = [k for k, most in enumerate(budget.limit) if most]
    uses = np.array([u for group in groups for u in group], np.int64)[:, fields]
    begins = np.cumsum([0, *(len(group) for group in groups[:-1])])
    limit = _vector(budget.limit, fields) - _vector(problem.fixed, fields)
    if (limit <= 0).any():
        return True
    shares = uses / limit
    weights = np.full(len(fields), 1 / len(fields))
    for step in range(1, _STEPS + 1):
        weighted = np.floor(weights * _WHOLE / limit).astype(np.int64)
        if np.minimum.reduceat(uses @ weighted, begins).sum() > (weighted * limit).sum():
            return True
        taken = shares[_least(shares @ weights, begins)].sum(axis=0)
        # The resource that is short weighs more.
        weights = weights * np.exp((taken - taken.mean()) / (max(1.0, np.ptp(taken)) * step**0.5))
        weights /= weights.sum()
    return False


def _vector(uses: Uses, fields: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array(uses, np.int64)[fields]


def _least(values: npt.NDArray[np.float64], begins: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of the least value of every group."""
    least = np.minimum.reduceat(values, begins)
    sizes = np.diff(np.append(begins, len(values)))
    found = np.flatnonzero(values == np.repeat(least, sizes))
    return found[np.searchsorted(found, begins)]

# SPDX-License-Identifier: Apache-2.0
"""Reduction: options that no best plan has go before anything is solved.

Of two options of a node with the same lanes one goes when the other takes no more of anything;
across lanes the other must take less by what its converters can cost more, whatever the neighbours
choose, and by what its FIFOs can. Which option replaces which depends on no interval, so it is
found once; an interval then leaves out those that are too slow, and those that one of the rest
replaces.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hw.explore.edges import EdgeTable
from hw.explore.options import NodeOption
from hw.explore.problem import Problem
from hw.explore.resources import NOTHING, Budget, Uses

Banned = Collection[tuple[str, NodeOption]]
"""Options that a finished plan showed to be slower than their table says."""

NEVER = 1 << 62
"""Interval of a node that no option builds."""

Counts = npt.NDArray[np.int64]
"""Resources along the last axis; without a budget the cost alone."""


@dataclass(frozen=True, eq=False)
class _Replacements:
    """Options of one node.

    Attributes:
        options: Those that the budget allows, the cheapest first.
        intervals: int64 [options].
        replaces: bool [options, options]: whether the first makes the second superfluous.
    """

    options: tuple[NodeOption, ...]
    intervals: npt.NDArray[np.int64]
    replaces: npt.NDArray[np.bool_]

    def kept(self, interval: int) -> tuple[NodeOption, ...]:
        """Return the options worth having at an interval."""
        quick = np.flatnonzero(self.intervals <= interval)
        replaced = self.replaces[np.ix_(quick, quick)].any(axis=0)
        return tuple(self.options[i] for i in quick[~replaced])


class Reduction:
    """A problem under a budget, ready to be reduced to any interval."""

    def __init__(self, problem: Problem, budget: Budget, banned: Banned = ()) -> None:
        """Find out which option replaces which.

        Args:
            problem: The complete problem.
            budget: What a plan may take; options that are alone above it go.
            banned: Options that go.
        """
        self.problem = problem
        self._budget = budget
        self._before: dict[str, list[EdgeTable]] = {name: [] for name in problem.options}
        self._behind: dict[str, list[EdgeTable]] = {name: [] for name in problem.options}
        for edge in problem.edges:
            producer, consumer = edge.key
            self._behind[producer].append(edge)
            if consumer in self._before:
                self._before[consumer].append(edge)
        out = set(banned)
        limit = budget.limit
        self._nodes = {
            name: self._replacements(
                name,
                [
                    o
                    for o in options
                    if (limit is None or o.uses.within(limit)) and (name, o) not in out
                ],
            )
            for name, options in problem.options.items()
        }

    @property
    def intervals(self) -> list[int]:
        """Intervals that a plan can have, increasing: those of options that are worth having."""
        fastest = 0
        found: set[int] = set()
        for node in self._nodes.values():
            slower = node.intervals[:, None] <= node.intervals[None, :]
            worth = node.intervals[~(node.replaces & slower).any(axis=0)]
            fastest = max(fastest, int(worth.min(initial=NEVER)))
            found.update(worth.tolist())
        return sorted(n for n in found if n >= fastest)

    def at(self, interval: int) -> Problem:
        """Return the problem of plans that take a frame in at most ``interval`` cycles."""
        options = {name: node.kept(interval) for name, node in self._nodes.items()}
        return replace(self.problem, options=options)

    def _replacements(self, name: str, options: list[NodeOption]) -> _Replacements:
        cost = self._budget.cost
        ordered = sorted(options, key=lambda o: (cost(o.uses), o.interval, o.in_lanes, o.out_lanes))
        count = len(ordered)
        intervals = np.array([o.interval for o in ordered], np.int64)
        if not ordered:
            return _Replacements((), intervals, np.zeros((0, 0), np.bool_))
        taken = self._counts([o.uses for o in ordered])
        ins, own_in = _numbered([o.in_lanes for o in ordered])
        outs, own_out = _numbered([o.out_lanes for o in ordered])
        before, behind = self._dearer_before(name, ins), self._dearer_behind(name, outs)
        # Of options that replace each other the first stays.
        replaces = np.triu(np.ones((count, count), np.bool_), 1)
        for field in range(taken.shape[1]):
            more = before[..., field][np.ix_(own_in, own_in)]
            more = more + behind[..., field][np.ix_(own_out, own_out)]
            replaces &= taken[:, None, field] + more <= taken[None, :, field]
        return _Replacements(tuple(ordered), intervals, replaces)

    def _counts(self, uses: Sequence[Uses]) -> Counts:
        """Return what counts of ``uses``, [uses, resources]."""
        if self._budget.limit is None:
            return np.array([[self._budget.cost(u)] for u in uses], np.int64)
        return np.array(uses, np.int64)

    def _nothing(self, lanes: Sequence[int]) -> Counts:
        return np.zeros((len(lanes), len(lanes), self._counts([NOTHING]).shape[1]), np.int64)

    def _dearer_before(self, name: str, lanes: Sequence[int]) -> Counts:
        """Return the most that inputs of lanes a can take more than of lanes b, [a, b, ...]."""
        return sum(
            (self._dearer(edge, lanes, behind=False) for edge in self._before[name]),
            self._nothing(lanes),
        )

    def _dearer_behind(self, name: str, lanes: Sequence[int]) -> Counts:
        """Return the most that an output of lanes a can take more than of lanes b, [a, b, ...]."""
        total = self._nothing(lanes)
        for edge in self._behind[name]:
            total = total + self._dearer(edge, lanes, behind=True)
            found = [self._counts([f.uses for f in edge.fifos[n]]) for n in lanes]
            most = np.array([counts.max(axis=0) for counts in found])
            least = np.array([counts.min(axis=0) for counts in found])
            fifos = np.maximum(most[:, None] - least[None, :], 0)
            fifos[np.arange(len(lanes)), np.arange(len(lanes))] = 0
            total = total + fifos
        return total

    def _dearer(self, edge: EdgeTable, lanes: Sequence[int], *, behind: bool) -> Counts:
        """Return how much dearer converters of lanes a can be than of lanes b, [a, b, ...]."""
        far = sorted({pair[1 if behind else 0] for pair in edge.converters})
        if not far:
            return self._nothing(lanes)
        found = edge.converters
        prices = np.array(
            [
                self._counts([found.get((n, m) if behind else (m, n), NOTHING) for m in far])
                for n in lanes
            ]
        )
        worst: Counts = (prices[:, None] - prices[None, :]).max(axis=2)
        return np.maximum(worst, 0)


def reduced(problem: Problem, budget: Budget, interval: int, banned: Banned = ()) -> Problem:
    """Return the problem without options that no best plan of ``interval`` has."""
    return Reduction(problem, budget, banned).at(interval)


def _numbered(values: Sequence[int]) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Return the distinct values, increasing, and the place of every value among them."""
    distinct, places = np.unique(np.array(values, np.int64), return_inverse=True)
    return distinct.tolist(), places.reshape(-1)

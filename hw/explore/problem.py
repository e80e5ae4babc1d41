# SPDX-License-Identifier: Apache-2.0
"""Problem: the tables of a network that a plan is chosen from, and a chosen plan."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hw.device import Device
from hw.explore.edges import EdgeTable, FifoOption, edge_tables
from hw.explore.fifo_bounds import Edge
from hw.explore.options import NodeOption, node_options
from hw.explore.resources import Budget, Uses
from quant.graph import QGraph
from quant.nodes import Output

Banned = Collection[tuple[str, NodeOption]]
"""Options that a finished plan showed to be slower than their table says."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that a plan of one network is chosen from.

    Attributes:
        options: Per node but the outputs its options.
        edges: All edges with their tables.
        fixed: What every plan takes: forks and the ends of the streams.
    """

    options: Mapping[str, tuple[NodeOption, ...]]
    edges: tuple[EdgeTable, ...]
    fixed: Uses

    @property
    def intervals(self) -> list[int]:
        """Intervals that a plan can have, increasing: those of options, no node being faster."""
        least = self.fastest_interval
        found = {o.interval for options in self.options.values() for o in options}
        return sorted(n for n in found if n >= least)

    @property
    def fastest_interval(self) -> int:
        """Interval of the slowest node at its fastest: no plan goes below."""
        return max(min(o.interval for o in options) for options in self.options.values())


@dataclass(frozen=True, eq=False)
class Selection:
    """A choice from the tables.

    Attributes:
        nodes: Per node its option.
        fifos: Per edge its FIFO.
        interval: Cycles per frame of the slowest option.
        uses: What all of it takes, by the tables.
        cost: Its cost under the budget it was chosen for.
    """

    nodes: Mapping[str, NodeOption]
    fifos: Mapping[Edge, FifoOption]
    interval: int
    uses: Uses
    cost: int


def make_problem(
    graph: QGraph,
    options: Mapping[str, tuple[NodeOption, ...]],
    bounds: Mapping[Edge, int],
    device: Device | None,
    fixed: Uses,
) -> Problem:
    """Return the problem of ``graph`` with the FIFO sizes ``bounds``."""
    return Problem(options, edge_tables(graph, options, bounds, device), fixed)


def all_options(graph: QGraph, device: Device | None) -> dict[str, tuple[NodeOption, ...]]:
    """Return the options of every node but the outputs."""
    return {
        node.name: node_options(graph, node, device)
        for node in graph.nodes
        if not isinstance(node, Output)
    }


def reduced(problem: Problem, budget: Budget, interval: int, banned: Banned = ()) -> Problem:
    """Return the problem without options that no best plan of ``interval`` has.

    Options that are too slow, banned, or alone above the budget go first. Of two options of a node
    with the same lanes one goes when the other takes no more of anything; across lanes the other
    must take less by what its converters can cost more, whatever the neighbours choose, and by what
    its FIFOs can.
    """
    limit = budget.limit
    out = set(banned)
    kept = {
        name: [
            o
            for o in options
            if o.interval <= interval
            and (limit is None or o.uses.within(limit))
            and (name, o) not in out
        ]
        for name, options in problem.options.items()
    }
    penalties = _Penalties(problem, budget)
    return replace(
        problem,
        options={
            name: tuple(_undominated(name, options, penalties, budget))
            for name, options in kept.items()
        },
    )


class _Penalties:
    """How much more the edges of a node can take with one of its options than with another."""

    def __init__(self, problem: Problem, budget: Budget) -> None:
        self.as_cost = budget.limit is None
        self.budget = budget
        self.before: dict[str, list[EdgeTable]] = {name: [] for name in problem.options}
        self.behind: dict[str, list[EdgeTable]] = {name: [] for name in problem.options}
        for edge in problem.edges:
            producer, consumer = edge.key
            self.behind[producer].append(edge)
            if consumer in self.before:
                self.before[consumer].append(edge)
        self.vectors: dict[tuple[str, bool, int], list[np.ndarray]] = {}

    def vector(self, uses: Uses) -> np.ndarray:
        """Return what counts of ``uses``: its cost when nothing is limited, else everything."""
        return np.array([self.budget.cost(uses)] if self.as_cost else uses, np.int64)

    def side(self, name: str, lanes: int, other: int, *, behind: bool) -> np.ndarray:
        """Return the most that ``lanes`` can take more than ``other`` on one side of a node."""
        total = self.vector(Uses())
        for edge in self.behind[name] if behind else self.before[name]:
            far = {pair[1 if behind else 0] for pair in edge.converters}
            far |= {lanes, other} if behind and not edge.converters else set()
            worst = None
            for n in far:
                pairs = ((lanes, n), (other, n)) if behind else ((n, lanes), (n, other))
                more, less = (self.vector(edge.converters.get(pair, Uses())) for pair in pairs)
                worst = more - less if worst is None else np.maximum(worst, more - less)
            if worst is not None:
                total = total + np.maximum(worst, 0)
            if behind and lanes != other:
                most = np.max([self.vector(f.uses) for f in edge.fifos[lanes]], axis=0)
                least = np.min([self.vector(f.uses) for f in edge.fifos[other]], axis=0)
                total = total + np.maximum(most - least, 0)
        return total


def _undominated(
    name: str, options: list[NodeOption], penalties: _Penalties, budget: Budget
) -> list[NodeOption]:
    """Return the options of one node that no other option makes superfluous."""
    if len(options) < 2:
        return options
    # Cheapest first, so that one pass finds every option that an earlier one replaces.
    ordered = sorted(
        options, key=lambda o: (budget.cost(o.uses), o.interval, o.in_lanes, o.out_lanes)
    )
    vectors = np.array([penalties.vector(o.uses) for o in ordered])
    ins = sorted({o.in_lanes for o in ordered})
    outs = sorted({o.out_lanes for o in ordered})
    before = {(a, b): penalties.side(name, a, b, behind=False) for a in ins for b in ins if a != b}
    behind = {(a, b): penalties.side(name, a, b, behind=True) for a in outs for b in outs if a != b}
    none = penalties.vector(Uses())
    kept: list[int] = []
    for i, option in enumerate(ordered):
        replaced = False
        for k in kept:
            other = ordered[k]
            extra = before.get((other.in_lanes, option.in_lanes), none) + behind.get(
                (other.out_lanes, option.out_lanes), none
            )
            if (vectors[k] + extra <= vectors[i]).all():
                replaced = True
                break
        if not replaced:
            kept.append(i)
    return [ordered[i] for i in kept]

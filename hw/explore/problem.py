# SPDX-License-Identifier: Apache-2.0
"""Problem: the tables of a network that a plan is chosen from, and a chosen plan."""

from collections.abc import Mapping
from dataclasses import dataclass

from hw.device import Device
from hw.explore.edges import EdgeTable, FifoOption, edge_tables
from hw.explore.fifo_sizes import Edge
from hw.explore.options import NodeOption
from hw.explore.resources import Uses
from quant.graph import QGraph


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
    fifo_bits: Mapping[Edge, int],
    device: Device | None,
    fixed: Uses,
) -> Problem:
    """Return the problem of ``graph`` with FIFOs of ``fifo_bits``."""
    return Problem(options, edge_tables(graph, options, fifo_bits, device), fixed)

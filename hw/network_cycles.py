# SPDX-License-Identifier: Apache-2.0
"""Cycles of a whole network and of every node in it, by the exact model; no RTL runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from hw.cell import Cell
from hw.network import Network, build_network
from hw.timing import Times, simulate_settled
from hw.tokens import cell_graph, token_graph
from quant.errors import PlanError
from quant.graph import QGraph
from quant.schedule import Schedule


@dataclass(frozen=True)
class NodeCycles:
    """Cycles of one node.

    Attributes:
        alone_cycles: Interval of its cell alone: sources always valid, sink always ready.
        network_cycles: Interval in the network.
        latency_cycles: In the network, from its first input beat to the last output beat of the
            first frame, both counted.
        busy_cycles: Cycles of a frame in which its slowest stage works.
    """

    alone_cycles: int
    network_cycles: int
    latency_cycles: int
    busy_cycles: int

    @property
    def utilisation(self) -> float:
        """Share of the network's interval in which its slowest stage works."""
        return self.busy_cycles / self.network_cycles


@dataclass(frozen=True)
class NetworkCycles:
    """Cycles of a network; sources always valid, sinks always ready.

    Attributes:
        interval_cycles: Between the last output beats of consecutive frames.
        latency_cycles: From the first input beat to the last output beat of the first frame.
        settled: Whether two frames in a row took every node equally long; if not, the interval is
            that of the last two frames simulated.
        bottleneck: Node whose cell alone is slowest.
        nodes: Per node that has a cell, in graph order.
    """

    interval_cycles: int
    latency_cycles: int
    settled: bool
    bottleneck: str
    nodes: dict[str, NodeCycles]


def network_cycles(
    graph: QGraph, schedule: Schedule, alone: Mapping[str, int] | None = None
) -> NetworkCycles:
    """Return the cycles of ``graph`` under ``schedule``, with the FIFOs that it names.

    Args:
        graph: The integer graph.
        schedule: Its complete plan.
        alone: ``alone_intervals`` of its cells where they are known already.

    Raises:
        PlanError: The schedule does not fit, or its FIFO depths deadlock.
    """
    network = build_network(graph, schedule)
    tokens = token_graph(network)
    times = simulate_settled(tokens)
    if not isinstance(times, Times):
        raise PlanError(f"the FIFO depths of the schedule do not let a frame pass; {times}")
    if alone is None:
        alone = alone_intervals(network)
    nodes = {
        name: NodeCycles(
            alone_cycles=alone[name],
            network_cycles=times.node_interval(name),
            latency_cycles=times.node_latency(name),
            busy_cycles=max(stage.steps * stage.cycles for stage in cell.stages),
        )
        for name, cell in network.cells.items()
    }
    return NetworkCycles(
        times.interval_cycles,
        times.latency_cycles,
        times.settled,
        max(network.cells, key=lambda name: alone[name]),
        nodes,
    )


def alone_intervals(
    network: Network, progress: Callable[[], None] = lambda: None
) -> dict[str, int]:
    """Return the interval of every node's cell alone: sources always valid, sink always ready.

    Cells of equal processes are run once, and not again in the next plan of the same program.

    Args:
        network: The cells.
        progress: Called after each cell.

    Raises:
        PlanError: A cell stands still by itself.
    """
    intervals = {}
    for name, cell in network.cells.items():
        key = _processes_digest(cell)
        if key not in _ALONE:
            times = simulate_settled(cell_graph(name, cell))
            if not isinstance(times, Times):
                raise PlanError(f"the cell of '{name}' stands still by itself; {times}")
            _ALONE[key] = times.interval_cycles
        intervals[name] = _ALONE[key]
        progress()
    return intervals


_ALONE: dict[str, int] = {}
"""Intervals of cells alone, by ``_processes_digest``."""


def _processes_digest(cell: Cell) -> str:
    """Return a digest of all that the timing of a cell alone depends on."""
    digest = sha256(repr([stream.beats for stream in (*cell.inputs, cell.output)]).encode())
    for stage in cell.stages:
        ports = [(port.beats, port.capacity, port.freed is None) for port in stage.ports]
        digest.update(repr((stage.cycles, stage.latency, stage.queue, ports)).encode())
        digest.update(np.packbits(stage.emits).data)
        for port in stage.ports:
            digest.update(port.needed.data)
            if port.freed is not None:
                digest.update(port.freed.data)
    return digest.hexdigest()

# SPDX-License-Identifier: Apache-2.0
"""FIFO depths of a network: the least that let frames pass, and those that keep full throughput.

A streaming network cannot be faster than its slowest cell; full throughput means to be as fast.
With room enough on every edge no cell ever waits for a place, and a source that spreads its beats
over the interval of the slowest cell gives every cell a steady rhythm. The most beats that stand on
each edge in that run are enough: the same schedule stays possible, and a source that is always
valid makes no event later.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hw.fifo_minimum import MinimalDepths, minimal_depths
from hw.network import Network
from hw.network_cycles import alone_intervals
from hw.timing import Times, simulate_settled
from hw.tokens import EdgeKey, TokenGraph, token_graph
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import Input, Output, sources_of

# Tensors that an edge may hold; a network in which more frames are under way at once is refused.
MOST_TENSORS = 64


@dataclass(frozen=True, eq=False)
class ThroughputDepths:
    """FIFO depths that keep the network as fast as its slowest cell.

    Attributes:
        depths: Beats per edge; 0: a wire.
        target_cycles: Interval of the slowest cell or stream alone.
        interval_cycles: Interval of the network with these depths.
        bottleneck: Slowest node.
    """

    depths: Mapping[EdgeKey, int]
    target_cycles: int
    interval_cycles: int
    bottleneck: str

    @property
    def reason(self) -> str:
        """Why the target is out of reach; empty when it is reached."""
        if self.interval_cycles <= self.target_cycles:
            return ""
        return (
            f"the network takes {self.interval_cycles:,} cycles a frame, '{self.bottleneck}' alone "
            f"{self.target_cycles:,}; more room does not help"
        )


@dataclass(frozen=True)
class FifoRow:
    """One edge.

    Attributes:
        key: Producer and consumer.
        beat_bits: Bits of a beat.
        frame_beats: Beats of the whole tensor.
        minimal: Least depth in beats.
        throughput: Depth for full throughput.
    """

    key: EdgeKey
    beat_bits: int
    frame_beats: int
    minimal: int
    throughput: int


@dataclass(frozen=True, eq=False)
class FifoPlan:
    """Both sets of depths, with what shows that they are right.

    Attributes:
        rows: Per edge, in graph order.
        minimal: Least depths and the proof.
        throughput: Depths for full throughput.
        alone: Interval of every node's cell alone.
    """

    rows: tuple[FifoRow, ...]
    minimal: MinimalDepths
    throughput: ThroughputDepths
    alone: Mapping[str, int]

    @property
    def minimal_bits(self) -> int:
        """Bits of all FIFOs at the least depths."""
        return sum(row.minimal * row.beat_bits for row in self.rows)

    @property
    def throughput_bits(self) -> int:
        """Bits of all FIFOs for full throughput."""
        return sum(row.throughput * row.beat_bits for row in self.rows)

    @property
    def tensor_bits(self) -> int:
        """Bits of FIFOs that hold the whole tensor of every edge."""
        return sum(row.frame_beats * row.beat_bits for row in self.rows)


def plan_fifos(network: Network, progress: Callable[[], None] = lambda: None) -> FifoPlan:
    """Return the least and the throughput depths of every edge.

    Args:
        network: Cells and edges; the FIFOs of its schedule do not matter.
        progress: Called after each of ``planning_parts`` parts.

    Raises:
        PlanError: No FIFO depths let a frame pass.
    """
    tokens = token_graph(network)
    minimal = minimal_depths(tokens, progress)
    alone = alone_intervals(network, progress)
    bottleneck = max(alone, key=lambda name: alone[name])
    # A stream and a converter take a cycle per beat.
    longest = max(unit.out_beats for unit in tokens.units)
    fast = throughput_depths(tokens, minimal.depths, max(alone[bottleneck], longest), bottleneck)
    progress()
    rows = tuple(
        FifoRow(
            edge.key, edge.beat_bits, edge.beats, minimal.depths[edge.key], fast.depths[edge.key]
        )
        for edge in tokens.edges
    )
    return FifoPlan(rows, minimal, fast, alone)


def planning_parts(graph: QGraph) -> int:
    """Return into how many parts ``plan_fifos`` divides its work: edges, cells, and the network."""
    edges = {(source, node.name) for node in graph.nodes for source in sources_of(node)}
    cells = sum(not isinstance(node, Input | Output) for node in graph.nodes)
    return len(edges) + cells + 1


def throughput_depths(
    tokens: TokenGraph, minimal: Mapping[EdgeKey, int], target_cycles: int, bottleneck: str
) -> ThroughputDepths:
    """Return depths with which the network takes ``target_cycles`` a frame.

    Args:
        tokens: The network.
        minimal: Least depths.
        target_cycles: Interval of its slowest cell alone.
        bottleneck: Name of that cell.

    Raises:
        PlanError: The network stops with room for a whole tensor on every edge.
    """
    held, frames = _paced_occupancy(tokens, minimal, target_cycles)
    enough = {key: max(depth, minimal[key]) for key, depth in held.items()}
    # Where the least depth is a wire the cells' own places are often enough.
    best = {key: depth if minimal[key] else 0 for key, depth in enough.items()}
    interval = _interval(tokens, best, frames)
    # What was held is enough by itself; least depths may put the same beats onto other edges.
    for more in (held, enough):
        if interval > target_cycles:
            best = more
            interval = _interval(tokens, best, frames)
    return ThroughputDepths(best, target_cycles, interval, bottleneck)


def _paced_occupancy(
    tokens: TokenGraph, minimal: Mapping[EdgeKey, int], target_cycles: int
) -> tuple[dict[EdgeKey, int], int]:
    """Return the most beats on every edge when a frame comes every ``target_cycles``.

    Returns:
        The beats, and the frames after which nothing changed any more.

    Raises:
        PlanError: The network stops with room for a whole tensor on every edge.
    """
    # Edges that need a FIFO in any case also hold the frames that are under way beside them.
    room = {edge.key: edge.beats * (4 if minimal[edge.key] else 1) for edge in tokens.edges}
    frames = 10
    while True:
        paced = simulate_settled(tokens, room, pace_cycles=target_cycles, max_frames=frames)
        if not isinstance(paced, Times):
            raise PlanError(f"room for a whole tensor on every edge is not enough; {paced}")
        full = {
            edge.key
            for edge in tokens.edges
            if paced.most_held[edge.key] == room[edge.key] < MOST_TENSORS * edge.beats
        }
        if paced.interval_cycles <= target_cycles or not full:
            return dict(paced.most_held), paced.ends.shape[1] + 1
        frames += 10
        room.update({key: 2 * room[key] for key in full})


def _interval(tokens: TokenGraph, depths: Mapping[EdgeKey, int], frames: int) -> int:
    times = simulate_settled(tokens, depths, max_frames=frames)
    if not isinstance(times, Times):
        raise PlanError(f"depths above the least ones let no frame pass; {times}")
    return times.interval_cycles

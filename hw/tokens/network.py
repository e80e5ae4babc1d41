# SPDX-License-Identifier: Apache-2.0
"""Network to TokenGraph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hw.cell import Cell, Stream
from hw.edges import FifoStyle, fifo_cell
from hw.network import Edge, Network
from hw.process import Process
from hw.tokens.graph import EdgeKey, Reader, TokenEdge, TokenGraph, Unit
from hw.tokens.steps import Behaviour, Sink, Source
from quant.errors import PlanError


def token_graph(network: Network) -> TokenGraph:
    """Return the processes and edges of ``network``; the FIFOs are those of its schedule.

    Raises:
        PlanError: The counts of beats of two cells do not agree.
    """
    draft = _Draft()
    name = network.input_node
    source = draft.add(name, Source(network.input.beats), name)
    draft.ends[name] = (source, source)
    edges: list[TokenEdge] = []
    for consumer in (*network.cells, *network.outputs):
        arriving: list[tuple[int, int | None]] = []
        for edge in network.sources(consumer):
            producer = draft.ends[edge.producer][-1]
            if edge.width is None:
                arriving.append((producer, len(edges)))
            else:  # the FIFO stands before the converter
                name = f"{edge.producer}->{edge.consumer} (lanes)"
                first, last = draft.chain(consumer, edge.width.stages, name)
                draft.read(producer, first, 0, len(edges))
                arriving.append((last, None))
            edges.append(_edge(network, edge))
        if consumer in network.outputs:
            sink = draft.add(consumer, Sink(network.outputs[consumer].beats), consumer)
            ends = (sink, sink)
        else:
            ends = draft.chain(consumer, network.cells[consumer].stages, consumer)
        for port, (unit, crossed) in enumerate(arriving):
            draft.read(unit, ends[0], port, crossed)
        draft.ends[consumer] = ends
    depths: dict[EdgeKey, int] = {
        (edge.producer, edge.consumer): edge.depth for edge in network.edges if edge.depth
    }
    return draft.graph(edges, depths)


def cell_graph(name: str, cell: Cell) -> TokenGraph:
    """Return ``cell`` alone: a source at every port, always valid, and a sink."""
    draft = _Draft()
    sources = [
        draft.add(name, Source(stream.beats), f"{name} (input {k})")
        for k, stream in enumerate(cell.inputs)
    ]
    first, last = draft.chain(name, cell.stages, name)
    for port, source in enumerate(sources):
        draft.read(source, first, port, None)
    draft.read(last, draft.add(name, Sink(cell.output.beats), f"{name} (output)"), 0, None)
    draft.ends[name] = (first, last)
    return draft.graph([], {})


@dataclass
class _Draft:
    """A TokenGraph under way.

    Attributes:
        units: Node, name and behaviour.
        readers: Per unit its readers so far.
        ends: Node name to its first and last unit.
    """

    units: list[tuple[str, str, Behaviour]] = field(default_factory=list)
    readers: list[list[Reader]] = field(default_factory=list)
    ends: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, node: str, behaviour: Behaviour, name: str) -> int:
        """Add a unit and return its index."""
        self.units.append((node, name, behaviour))
        self.readers.append([])
        return len(self.units) - 1

    def chain(self, node: str, stages: Sequence[Process], name: str) -> tuple[int, int]:
        """Add the processes of a cell in series; return the first and the last index."""
        first = self.add(node, stages[0], name)
        last = first
        for number, stage in enumerate(stages[1:], 2):
            after = self.add(node, stage, f"{name} (stage {number})")
            self.read(last, after, 0, None)
            last = after
        return first, last

    def read(self, producer: int, consumer: int, port: int, edge: int | None) -> None:
        """Let a port of ``consumer`` read ``producer``."""
        self.readers[producer].append(Reader(consumer, port, edge))

    def graph(self, edges: list[TokenEdge], depths: dict[EdgeKey, int]) -> TokenGraph:
        """Return the graph."""
        units = tuple(
            Unit(node, name, behaviour, tuple(readers))
            for (node, name, behaviour), readers in zip(self.units, self.readers, strict=True)
        )
        return TokenGraph(units, tuple(edges), dict(self.ends), depths)


def _edge(network: Network, edge: Edge) -> TokenEdge:
    key = (edge.producer, edge.consumer)
    style = network.schedule.memory.get(f"{edge.producer}->{edge.consumer}", "auto")
    assert style != "external"  # a network has no such FIFO
    return TokenEdge(
        key, edge.port, edge.stream.beats, edge.stream.beat_bits, _latency(edge.stream, style)
    )


def _latency(stream: Stream, style: FifoStyle | Literal["auto"]) -> Callable[[int], int]:
    """Return depth to latency of a FIFO of this stream."""
    one_beat = Stream((stream.lanes, 1, 1), stream.lanes, stream.bits)

    def latency(depth: int) -> int:
        (stage,) = fifo_cell(one_beat, depth, style).stages
        plain = stage.cycles == 1 and stage.queue == depth and stage.ports[0].capacity == 0
        if not plain:
            raise PlanError(
                f"a FIFO of {depth} beats is not one process of as many places; the timing of "
                "edges takes no other"
            )
        return stage.latency

    return latency

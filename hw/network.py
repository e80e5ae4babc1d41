# SPDX-License-Identifier: Apache-2.0
"""Network: the cells and edges that a graph becomes under a schedule.

Everything about the hardware as a whole reads this: the text of the top, the cycle count, the
proof of the FIFO depths. On an edge follow each other: the producer's cell, its fork when it has
several readers, the FIFO of the edge, the width converter, the consumer's port.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hw.cell import Cell, Stream
from hw.cells import node_cell
from hw.edges import fifo_cell, width_cell
from hw.lanes import equal_lanes
from quant.bundle.names import unique_stems
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Output, sources_of
from quant.schedule import Folding, Schedule

# How instances, ports and the few other names of the top begin.
_RESERVED = ("u_", "ap_", "s_axis_", "m_axis_", "load", "unused")


@dataclass(frozen=True, eq=False)
class Edge:
    """One stream from a node to a port of one of its readers.

    Attributes:
        producer: Node that makes the tensor.
        consumer: Node that reads it; an ``Output`` node at the end of the graph.
        port: Input of the consumer, in the order of its sources.
        branch: Output of the producer's fork, in graph order of the readers; 0 without a fork.
        stream: As it leaves the producer.
        depth: Beats of ``stream`` that the FIFO holds; 0: a wire.
        fifo: The FIFO; ``None`` for a wire.
        width: Converter to the lanes of the consumer; ``None`` when they are the producer's.
    """

    producer: str
    consumer: str
    port: int
    branch: int
    stream: Stream
    depth: int
    fifo: Cell | None
    width: Cell | None


@dataclass(frozen=True, eq=False)
class Network:
    """A graph as hardware.

    Attributes:
        graph: The integer graph.
        schedule: Its folding, FIFO depths and memory styles.
        stems: Per node name an identifier, unique also in upper case: begins its nets and files.
        input_node: Name of the graph's input.
        cells: Per node that computes its cell, in topological order.
        streams: Per node but the outputs the stream that leaves it.
        edges: All edges: consumers in graph order, then ports.
        outputs: Per ``Output`` node its stream, in port order.
    """

    graph: QGraph
    schedule: Schedule
    stems: Mapping[str, str]
    input_node: str
    cells: Mapping[str, Cell]
    streams: Mapping[str, Stream]
    edges: tuple[Edge, ...]
    outputs: Mapping[str, Stream]

    def __post_init__(self) -> None:
        """Make the mappings read-only."""
        for name in ("stems", "cells", "streams", "outputs"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def input(self) -> Stream:
        """Stream of the input: beats of ``s_axis_0``."""
        return self.streams[self.input_node]

    @property
    def weight_ports(self) -> dict[str, str]:
        """Per node whose weights come from outside the prefix of its port, in graph order."""
        streamed = [name for name, cell in self.cells.items() if cell.streamed is not None]
        return {name: f"s_axis_weights_{k}" for k, name in enumerate(streamed)}

    def readers(self, producer: str) -> tuple[Edge, ...]:
        """Return the edges that leave ``producer``, by branch."""
        return tuple(edge for edge in self.edges if edge.producer == producer)

    def sources(self, consumer: str) -> tuple[Edge, ...]:
        """Return the edges into ``consumer``, by port."""
        return tuple(edge for edge in self.edges if edge.consumer == consumer)


def build_network(
    graph: QGraph, schedule: Schedule, *, ultra_initial_contents: bool = False
) -> Network:
    """Return the cells and edges of ``graph`` under ``schedule``.

    Args:
        graph: The integer graph.
        schedule: A folding for every node but the outputs; FIFO depths and memory styles where
            they are not the default (no FIFO, ``auto``).
        ultra_initial_contents: Whether the device's bitstream fills ultra RAM; if not, weights in
            it are loaded at start.

    Raises:
        PlanError: The schedule is of another graph, lacks a folding, names what does not exist, or
            does not fit a node.
    """
    _check_names(graph, schedule)
    stems = node_stems(graph)
    cells: dict[str, Cell] = {}
    streams: dict[str, Stream] = {}
    outputs: dict[str, Stream] = {}
    branches: dict[str, int] = {}
    edges: list[Edge] = []
    for node in graph.nodes:
        match node:
            case Input():
                lanes = equal_lanes(node.name, _folding(schedule, node.name), node.shape[0])
                streams[node.name] = Stream(node.shape, lanes, node.output.bits)
                readers: list[Stream] = []
            case Output():
                outputs[node.name] = streams[node.source]
                readers = [streams[node.source]]
            case _:
                cell = node_cell(
                    node,
                    graph,
                    _folding(schedule, node.name),
                    f"{stems[node.name]}_",
                    schedule.memory.get(f"{node.name}.weights", "auto"),
                    ultra_initial_contents=ultra_initial_contents,
                )
                cells[node.name] = cell
                streams[node.name] = cell.output
                readers = list(cell.inputs)
        for port, (producer, reader) in enumerate(zip(sources_of(node), readers, strict=True)):
            branch = branches.setdefault(producer, 0)
            branches[producer] += 1
            edges.append(
                _edge(schedule, (producer, node.name), port, branch, streams[producer], reader)
            )
    return Network(graph, schedule, stems, graph.input.name, cells, streams, tuple(edges), outputs)


def node_stems(graph: QGraph) -> dict[str, str]:
    """Return the identifier of every node; none begins as the top's own names do."""
    stems = unique_stems([node.name for node in graph.nodes])
    taken = {stem.lower() for stem in stems.values()}
    for name, stem in stems.items():
        if stem.lower().startswith(_RESERVED):
            guarded = f"n_{stem}"
            while guarded.lower() in taken:
                guarded += "_"
            taken.add(guarded.lower())
            stems[name] = guarded
    return stems


def _edge(
    schedule: Schedule,
    ends: tuple[str, str],
    port: int,
    branch: int,
    stream: Stream,
    reader: Stream,
) -> Edge:
    """Return one edge with the FIFO that the schedule asks for."""
    producer, consumer = ends
    depth = schedule.fifo_depth.get(ends, 0)
    style = schedule.memory.get(f"{producer}->{consumer}", "auto")
    assert style != "external"  # refused before
    return Edge(
        producer=producer,
        consumer=consumer,
        port=port,
        branch=branch,
        stream=stream,
        depth=depth,
        fifo=fifo_cell(stream, depth, style) if depth else None,
        width=width_cell(stream, reader.lanes) if reader.lanes != stream.lanes else None,
    )


def _folding(schedule: Schedule, name: str) -> Folding:
    folding = schedule.folding.get(name)
    if folding is None:
        raise PlanError(
            f"the schedule has no folding for '{name}'; a network needs one for every node but "
            "the outputs; plan it with hw.plan_network"
        )
    return folding


def _check_names(graph: QGraph, schedule: Schedule) -> None:
    """Refuse a schedule of another graph, or one that names what the graph does not have."""
    if schedule.graph_digest != graph.digest:
        raise PlanError(
            f"the schedule belongs to graph {schedule.graph_digest[:12]}, this is "
            f"{graph.digest[:12]}; plan again"
        )
    edges = {(source, node.name) for node in graph.nodes for source in sources_of(node)}
    names = {node.name for node in graph.nodes if not isinstance(node, Output)}
    memories = {f"{name}.weights" for name in names} | {f"{p}->{c}" for p, c in edges}
    for what, given, known in (
        ("folds", set(schedule.folding), names),
        ("styles", set(schedule.memory), memories),
    ):
        if given - known:
            raise PlanError(
                f"the schedule {what} '{min(given - known)}', which graph '{graph.name}' does "
                "not have; plan again"
            )
    lost = set(schedule.fifo_depth) - edges
    if lost:
        raise PlanError(
            f"the schedule has a FIFO from '{min(lost)[0]}' to '{min(lost)[1]}', between which "
            f"graph '{graph.name}' has no edge; plan again"
        )
    layers = {f"{n.name}.weights" for n in graph.nodes if isinstance(n, Conv | Linear)}
    for memory, style in schedule.memory.items():
        if style == "external" and memory not in layers:
            raise PlanError(
                f"the schedule has '{memory}' from outside; only weights of layers can come from "
                "outside; give it another style"
            )
    for (producer, consumer), depth in schedule.fifo_depth.items():
        if depth < 0:
            raise PlanError(
                f"the FIFO from '{producer}' to '{consumer}' has depth {depth}; 0 is a wire"
            )

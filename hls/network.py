# SPDX-License-Identifier: Apache-2.0
"""The whole graph as layers: one per node, and forks and width converters on the edges."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from hls.convolution import weight_note
from hls.header import data_header
from hls.kernel import LEAST_DEPTH, Kernel
from hls.layer import FORK, WIDTH, Layer
from hls.naming import project_name
from hls.netbench import network_bench
from hls.node_kernel import conv_cell, node_kernel
from hls.route import fork_kernel, width_kernel
from hls.streamdepths import deep_enough
from hls.streams import Stream
from quant.bundle.names import shown, unique_stems
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Node, Output, sources_of
from quant.schedule import Folding, MemoryStyle, Schedule


@dataclass(frozen=True, eq=False)
class HlsNetwork:
    """A whole network as an HLS project. A pure value: no file is touched.

    Attributes:
        name: Project name and top function; a C++ identifier.
        graph: What it computes.
        schedule: How it is folded.
        input_name: Name of the input port.
        input: Stream of the input port.
        outputs: Output nodes in port order: node name to its layer.
        layers: All layers, every stream written before it is read.
        files: Text of our own files by path inside the project.
        interval_cycles: Iterations per frame of the slowest process, which the streams let the
            network keep (estimated: no vendor tool has scheduled the loops).
    """

    name: str
    graph: QGraph
    schedule: Schedule
    input_name: str
    input: Stream
    outputs: Mapping[str, Layer]
    layers: tuple[Layer, ...]
    files: Mapping[str, str]
    interval_cycles: int

    @property
    def traces(self) -> Mapping[str, tuple[str, Stream]]:
        """Name of the trace file and its stream for every node but the input."""
        return {
            layer.node: (layer.trace, layer.kernel.outputs[0])
            for layer in self.layers
            if layer.trace is not None
        }

    @property
    def kept_weights(self) -> tuple[str, ...]:
        """Layers whose weights the schedule brings from outside: they lie on the chip here."""
        memory = self.schedule.memory
        names = (node.name for node in self.graph.nodes)
        return tuple(name for name in names if memory.get(f"{name}.weights") == "external")

    @property
    def stream_bits(self) -> int:
        """Bits of all places of all streams between layers."""
        ports = {layer.name for layer in self.outputs.values()}
        return sum(
            depth * layer.kernel.outputs[0].lanes * layer.kernel.outputs[0].bits
            for layer in self.layers
            if layer.name not in ports
            for depth in layer.depths
        )

    def with_depths(self, depths: Mapping[str, int]) -> "HlsNetwork":
        """Return the same network with other depths of some streams.

        Args:
            depths: Places by name of the stream, in beats.

        Raises:
            PlanError: There is no such stream, or it has fewer places than tools give any stream.
        """
        left = dict(depths)
        layers = []
        for layer in self.layers:
            now = tuple(left.pop(s, d) for s, d in zip(layer.outputs, layer.depths, strict=True))
            if min(now) < LEAST_DEPTH:
                raise PlanError(
                    f"a stream of layer '{layer.name}' has {min(now)} places; the least is "
                    f"{LEAST_DEPTH}"
                )
            layers.append(replace(layer, depths=now))
        if left:
            raise PlanError(f"the network '{self.name}' has no stream '{next(iter(left))}'")
        placed = {layer.name: layer for layer in layers}
        outputs = {name: placed[layer.name] for name, layer in self.outputs.items()}
        return replace(self, layers=tuple(layers), outputs=MappingProxyType(outputs))


@dataclass(frozen=True)
class _Reader:
    """One port that reads a tensor; ``stream`` is what it is given in the end."""

    node: Node
    port: int


def emit_network(graph: QGraph, schedule: Schedule) -> HlsNetwork:
    """Return the HLS project of a whole graph.

    Order on an edge: producer, fork (if several readers), stream of the schedule's depth, width
    converter (if lanes differ), consumer. Streams are deeper than scheduled where the HLS processes
    need it (``hls.streamdepths``).

    Args:
        graph: A valid graph.
        schedule: Folding of every node but outputs, FIFO depths, memory styles.

    Raises:
        PlanError: The schedule is of another graph, lacks a node, or does not fit one.
    """
    if schedule.graph_digest != graph.digest:
        raise PlanError(
            f"the schedule is of graph {schedule.graph_digest[:16]}, not of "
            f"{graph.digest[:16]}; plan this graph"
        )
    builder = _Builder(graph, schedule)
    for node in graph.nodes:
        builder.place(node)
    input_name = builder.ids[graph.input.name + _INPUT]
    layers, interval_cycles = deep_enough((input_name, builder.input), builder.layers)
    name = project_name(graph.name)
    note = f"Generated by Nibbleflow from graph {graph.digest[:16]}."
    placed = {layer.name: layer for layer in layers}
    outputs = {node.name: placed[builder.ids[node.name]] for node in graph.outputs}
    files = {
        f"firmware/{layer.data_header}": data_header(
            layer.kernel.arrays, layer.prefix, (note, *layer.notes)
        )
        for layer in layers
        if layer.data_header is not None
    }
    files[f"{name}_test.cpp"] = network_bench(name, note, builder.input, tuple(outputs.values()))
    return HlsNetwork(
        name,
        graph,
        schedule,
        input_name,
        builder.input,
        MappingProxyType(outputs),
        layers,
        MappingProxyType(files),
        interval_cycles,
    )


_INPUT = " frame"


class _Builder:
    """Places node after node; streams of tensors wait for their readers by name."""

    def __init__(self, graph: QGraph, schedule: Schedule) -> None:
        self.graph = graph
        self.schedule = schedule
        self.layers: list[Layer] = []
        readers: dict[str, list[_Reader]] = {n.name: [] for n in graph.nodes}
        for node in graph.nodes:
            for port, source in enumerate(sources_of(node)):
                readers[source].append(_Reader(node, port))
        self.readers = readers
        self.ids = _identifiers(graph, readers)
        folding = self.folding(graph.input)
        self.input = Stream(graph.input.shape, folding.pe, graph.input.output.bits)
        if graph.input.shape[0] % folding.pe:
            raise PlanError(
                f"'{graph.input.name}' has {graph.input.shape[0]} channels, not a multiple of "
                f"PE={folding.pe}"
            )
        # Stream that each port of each consumer reads.
        self.ports: dict[tuple[str, int], str] = {}

    def folding(self, node: Node) -> Folding:
        source = self.graph.node(node.source) if isinstance(node, Output) else node
        found = self.schedule.folding.get(source.name)
        if found is None:
            raise PlanError(f"'{source.name}' has no folding in the schedule; plan every node")
        # A port carries what its source writes, whatever that one reads.
        return Folding(found.pe, found.pe) if isinstance(node, Output) else found

    def place(self, node: Node) -> None:
        """Add the layer of a node and what lies between it and its readers."""
        if isinstance(node, Input):
            self._spread(node, self.input, self.ids[node.name + _INPUT], None)
            return
        kernel = node_kernel(self.graph, node, self.folding(node))
        stem = self.ids[node.name]
        inputs = tuple(self.ports[node.name, port] for port in range(len(sources_of(node))))
        notes: tuple[str, ...] = (f"Node '{shown(node.name)}'.",)
        if isinstance(node, Conv | Linear):
            cell = conv_cell(self.graph, node, self.folding(node))
            notes += (f"PE {cell.pe}, SIMD {cell.simd}. {weight_note(cell)}",)
        layer = Layer(
            name=stem,
            kind=f"Nibble{type(node).__name__}",
            kernel=kernel,
            inputs=inputs,
            outputs=(stem,),
            prefix=stem,
            notes=notes,
            depths=(LEAST_DEPTH,),
            styles=("auto",),
            weight_style=self._weight_style(node.name),
            trace=stem,
            node=node.name,
        )
        if isinstance(node, Output):
            self.layers.append(layer)
        else:
            self._spread(node, kernel.outputs[0], stem, layer)

    def _spread(self, node: Node, stream: Stream, name: str, layer: Layer | None) -> None:
        """Add ``layer`` and connect its output to all readers, through a fork if needed."""
        readers = self.readers[node.name]
        depths, styles = [], []
        for reader in readers:
            direct = self._lanes(reader) == stream.lanes
            depth, style = self._storage(node, reader)
            depths.append(depth if direct else LEAST_DEPTH)
            styles.append(style if direct else "auto")
        if len(readers) == 1 and layer is not None:
            self.layers.append(_with_streams(layer, depths, styles))
            names = [name]
        elif len(readers) == 1 and depths[0] == LEAST_DEPTH:
            names = [name]
        else:
            # The input's port has no storage of its own: a fork of one gives its FIFO a place.
            if layer is not None:
                self.layers.append(layer)
            names = [self.ids[_edge(node.name, r)] for r in readers]
            kernel = fork_kernel(stream, len(readers))
            fork = self._between(node, f"{node.name} fork", FORK, kernel, name, names)
            self.layers.append(_with_streams(fork, depths, styles))
        for reader, branch in zip(readers, names, strict=True):
            self.ports[reader.node.name, reader.port] = self._fit(node, reader, stream, branch)

    def _fit(self, node: Node, reader: _Reader, stream: Stream, name: str) -> str:
        """Return the stream for a reader, behind a width converter if its lanes differ.

        The FIFO of the edge then stands behind the converter, which is never what is slow.
        """
        lanes = self._lanes(reader)
        if lanes == stream.lanes:
            return name
        key = _edge(node.name, reader) + " width"
        target = self.ids[key]
        kernel = width_kernel(stream, lanes)
        depth, style = self._storage(node, reader)
        depth = max(LEAST_DEPTH, -(-depth * stream.lanes // lanes))
        width = self._between(node, key, WIDTH, kernel, name, [target])
        self.layers.append(_with_streams(width, [depth], [style]))
        return target

    def _lanes(self, reader: _Reader) -> int:
        """Return the codes in a beat that a reader takes."""
        folding = self.folding(reader.node)
        match reader.node:
            case Conv() | Linear():
                return conv_cell(self.graph, reader.node, folding).lanes
            case _:
                return folding.pe

    def _weight_style(self, name: str) -> MemoryStyle:
        """Return what a layer's weights lie in; the tool chooses for those from outside."""
        style = self.schedule.memory.get(f"{name}.weights", "auto")
        return "auto" if style == "external" else style

    def _storage(self, node: Node, reader: _Reader) -> tuple[int, MemoryStyle]:
        """Return scheduled depth, in beats of the producer, and memory style of an edge."""
        edge = (node.name, reader.node.name)
        depth = max(LEAST_DEPTH, self.schedule.fifo_depth.get(edge, 0))
        style = self.schedule.memory.get(f"{edge[0]}->{edge[1]}", "auto")
        if style == "external":
            raise PlanError(
                f"the schedule has '{edge[0]}->{edge[1]}' from outside; only weights of layers can "
                "come from outside; give it another style"
            )
        return depth, style

    def _between(
        self, node: Node, key: str, kind: str, kernel: Kernel, source: str, targets: list[str]
    ) -> Layer:
        name = self.ids[key]
        return Layer(
            name=name,
            kind=kind,
            kernel=kernel,
            inputs=(source,),
            outputs=tuple(targets),
            prefix=name,
            notes=(),
            depths=(LEAST_DEPTH,) * len(targets),
            styles=tuple("auto" for _ in targets),
            weight_style="auto",
            trace=None,
            node=node.name,
        )


def _with_streams(layer: Layer, depths: list[int], styles: list[MemoryStyle]) -> Layer:
    return replace(layer, depths=tuple(depths), styles=tuple(styles))


def _edge(producer: str, reader: _Reader) -> str:
    return f"{producer} to {reader.node.name} {reader.port}"


def _identifiers(graph: QGraph, readers: Mapping[str, list[_Reader]]) -> dict[str, str]:
    """Return a C identifier for every node and for whatever may lie between nodes."""
    names = [n.name for n in graph.nodes]
    names.append(graph.input.name + _INPUT)
    for producer, ports in readers.items():
        names.append(f"{producer} fork")
        for reader in ports:
            names += [_edge(producer, reader), _edge(producer, reader) + " width"]
    return unique_stems(names)

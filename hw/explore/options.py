# SPDX-License-Identifier: Apache-2.0
"""Options: everything that a node can be built as, with its interval and what it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from hw.cells import node_cell
from hw.choices import lanes_of
from hw.conv_cell import linear_as_conv
from hw.conv_contents import conv_parameters
from hw.cores import PACKED_CORES, PLAIN_CORES
from hw.device import Device
from hw.estimate import MemoryKind, module_resources, resources, weight_queue, weight_resources
from hw.estimate.convolution import weight_memories, weight_shape
from hw.explore.resources import KIB, Uses
from hw.foldings import conv_geometries
from hw.geometry import ConvGeometry
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Node, Output
from quant.remember import remembered
from quant.schedule import Core, Folding, MemoryStyle

Shape = tuple[int, int, int]

HASTE = 8
"""How much faster than the network can be a layer is offered at most."""


@dataclass(frozen=True)
class NodeOption:
    """One way to build a node.

    Attributes:
        folding: Its parallelism and core.
        style: What its weights lie in; ``None`` of nodes without weights.
        in_lanes: Channels of a beat of every input; 0 of the graph's input.
        out_lanes: Channels of a beat of the output.
        interval: Cycles per frame while nothing waits.
        uses: What it takes.
    """

    folding: Folding
    style: MemoryStyle | None
    in_lanes: int
    out_lanes: int
    interval: int
    uses: Uses


def all_options(
    graph: QGraph, device: Device | None, *, streaming: bool = False
) -> dict[str, tuple[NodeOption, ...]]:
    """Return the options of every node but the outputs.

    Weights come from the memory on the board too with ``streaming``, where there is one. The
    slowest node at its fastest sets the least interval of the network. Layers are offered up to
    ``HASTE`` times as fast: beyond it parallelism can spare nothing but a width converter.
    """
    layers = {
        node.name: _geometries(graph, node, device)
        for node in graph.nodes
        if isinstance(node, Conv | Linear)
    }
    others = {
        node.name: tuple(_lane_options(graph, node))
        for node in graph.nodes
        if not isinstance(node, Conv | Linear | Output)
    }
    least = max(
        *(min(g.interval for g in found) for found in layers.values()),
        *(min(o.interval for o in found) for found in others.values()),
    )
    options: dict[str, tuple[NodeOption, ...]] = {}
    for node in graph.nodes:
        match node:
            case Conv() | Linear():
                worth = [g for g in layers[node.name] if g.interval * HASTE >= least]
                options[node.name] = tuple(
                    _layer_options(graph, node, worth, device, streaming=streaming)
                )
            case Output():
                continue
            case _:
                options[node.name] = others[node.name]
    return options


def node_options(
    graph: QGraph, node: Conv | Linear, device: Device | None, *, streaming: bool = False
) -> list[NodeOption]:
    """Return all options of a layer with weights.

    They are every PE and SIMD that divide, every core that is exact for the layer, and weights in
    logic, block RAM or, where the device has it, ultra RAM or the memory on the board.

    Args:
        graph: The integer graph.
        node: One of its layers.
        device: The board; without one there is neither ultra RAM nor memory.
        streaming: Whether weights may come from the memory on the board.
    """
    geometries = _geometries(graph, node, device)
    return list(_layer_options(graph, node, geometries, device, streaming=streaming))


def cores_offered(device: Device | None) -> tuple[Core, ...]:
    """Return the cores that ``device`` has blocks for; packed ones are made of DSP48E2."""
    if device is None or device.family == "ultrascale+":
        return (*PLAIN_CORES, *PACKED_CORES)
    return PLAIN_CORES


def weight_styles_offered(device: Device | None, *, streaming: bool) -> tuple[MemoryStyle, ...]:
    """Return what weights can lie in on ``device``, with ``streaming`` also beside it."""
    if device is None:
        return ("distributed", "block")
    ultra: tuple[MemoryStyle, ...] = ("ultra",) if device.uram else ()
    beside = streaming and device.external_bytes_per_second > 0
    outside: tuple[MemoryStyle, ...] = ("external",) if beside else ()
    return ("distributed", "block", *ultra, *outside)


def _geometries(graph: QGraph, node: Conv | Linear, device: Device | None) -> list[ConvGeometry]:
    shape = graph.shapes[node.source]
    source = graph.formats[node.source]
    return conv_geometries(_as_conv(node, shape), shape, source, cores_offered(device))


def _layer_options(
    graph: QGraph,
    node: Conv | Linear,
    geometries: Sequence[ConvGeometry],
    device: Device | None,
    *,
    streaming: bool,
) -> Iterator[NodeOption]:
    source = graph.formats[node.source]
    conv = _as_conv(node, graph.shapes[node.source])
    # Memory files are named by what the cell reads; only whether there is one counts here.
    files = {
        "CodebookFile": "" if source.codebook is None else "codebook.mem",
        "TableFile": "" if conv.table is None else "table.mem",
    }
    for g in geometries:
        parameters = conv_parameters(conv, source, g) | files
        cell = Uses.of(module_resources("nf_conv", parameters, weights=False))
        bits, depth = weight_shape(parameters)
        for style in weight_styles_offered(device, streaming=streaming):
            load = style == "ultra" and device is not None and not device.ultra_initial_contents
            memories = weight_memories(parameters)
            if style == "external":
                frame_bytes = -(-bits // 8) * g.compute_cycles
                queue = Uses.of(weight_queue(bits, memories))
                uses = cell.plus(queue._replace(external_kib=-(-frame_bytes // KIB)))
            else:
                uses = cell.plus(_weight_uses(bits, depth, style, memories, load=load))
            yield NodeOption(g.folding, style, g.in_lanes, g.out_lanes, g.interval, uses)


@cache
def _weight_uses(bits: int, depth: int, style: MemoryKind, memories: int, *, load: bool) -> Uses:
    """Return what a weight memory takes, with what fills it."""
    uses = Uses.of(weight_resources(bits, depth, style, load=load, memories=memories))
    if not load:
        return uses
    return uses.plus(Uses.of(module_resources("nf_rom_load", {"Bits": bits, "Depth": depth})))


def _lane_options(graph: QGraph, node: Node) -> Iterator[NodeOption]:
    """Yield a node without weights with every number of lanes."""
    for n in lanes_of(graph, node):
        folding = Folding(n, n)
        if isinstance(node, Input):
            channels, height, width = node.shape
            beats = channels // n * height * width
            yield NodeOption(folding, None, 0, n, beats, Uses())
        else:
            cell = node_cell(node, graph, folding, "")
            yield NodeOption(folding, None, n, n, cell.interval, Uses.of(resources(cell)))


def _as_conv(node: Conv | Linear, shape: Shape) -> Conv:
    return node if isinstance(node, Conv) else _kernel_of(node, shape)


@remembered
def _kernel_of(node: Linear, shape: Shape) -> Conv:
    return linear_as_conv(node, shape)

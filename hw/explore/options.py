# SPDX-License-Identifier: Apache-2.0
"""Options: everything that a node can be built as, with its interval and what it takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from hw.cells import node_cell
from hw.choices import lanes_of
from hw.conv_cell import linear_as_conv
from hw.conv_contents import conv_parameters
from hw.cores import PACKED_CORES, PLAIN_CORES
from hw.device import Device
from hw.estimate import module_resources, resources, weight_resources
from hw.estimate.convolution import weight_memories, weight_shape
from hw.explore.resources import Uses
from hw.foldings import conv_options
from hw.geometry import conv_geometry
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Node
from quant.schedule import Core, Folding, MemoryStyle

Shape = tuple[int, int, int]


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


def node_options(graph: QGraph, node: Node, device: Device | None) -> tuple[NodeOption, ...]:
    """Return all options of ``node``, which is no output of the graph.

    Layers with weights: every PE and SIMD that divide, every core that is exact for them, and
    weights in logic, block RAM or, where the device has it, ultra RAM. No cell streams weights from
    outside, so that is not offered. Other nodes: every number of lanes.

    Args:
        graph: The integer graph.
        node: One of its nodes.
        device: The board; without one there is no ultra RAM.
    """
    match node:
        case Conv() | Linear():
            shape, source = graph.shapes[node.source], graph.formats[node.source]
            conv = node if isinstance(node, Conv) else linear_as_conv(node, shape)
            return tuple(_layer_options(conv, shape, source, device))
        case Input():
            channels, height, width = node.shape
            return tuple(
                NodeOption(Folding(n, n), None, 0, n, channels // n * height * width, Uses())
                for n in lanes_of(graph, node)
            )
        case _:
            return tuple(_lane_option(graph, node, n) for n in lanes_of(graph, node))


def cores_offered(device: Device | None) -> tuple[Core, ...]:
    """Return the cores that ``device`` has blocks for; packed ones are made of DSP48E2."""
    if device is None or device.family == "ultrascale+":
        return (*PLAIN_CORES, *PACKED_CORES)
    return PLAIN_CORES


def weight_styles_offered(device: Device | None) -> tuple[MemoryStyle, ...]:
    """Return what weights can lie in on ``device``."""
    if device is None or not device.uram:
        return ("distributed", "block")
    return ("distributed", "block", "ultra")


def _layer_options(
    conv: Conv, shape: Shape, source: TensorFormat, device: Device | None
) -> Iterator[NodeOption]:
    # Memory files are named by what the cell reads; only whether there is one counts here.
    files = {
        "CodebookFile": "" if source.codebook is None else "codebook.mem",
        "TableFile": "" if conv.table is None else "table.mem",
    }
    for option in conv_options(conv, shape, source, cores_offered(device)):
        folding = option.folding
        g = conv_geometry(conv, shape, folding, source)
        parameters = conv_parameters(conv, source, g) | files
        cell = Uses.of(module_resources("nf_conv", parameters, weights=False))
        bits, depth = weight_shape(parameters)
        memories = weight_memories(parameters)
        for style in weight_styles_offered(device):
            load = style == "ultra" and device is not None and not device.ultra_initial_contents
            weights = weight_resources(bits, depth, style, load=load, memories=memories)
            uses = cell.plus(Uses.of(weights))
            if load:
                loader = module_resources("nf_rom_load", {"Bits": bits, "Depth": depth})
                uses = uses.plus(Uses.of(loader))
            yield NodeOption(folding, style, g.in_lanes, g.out_lanes, option.interval, uses)


def _lane_option(graph: QGraph, node: Node, lanes: int) -> NodeOption:
    cell = node_cell(node, graph, Folding(lanes, lanes), "")
    return NodeOption(
        Folding(lanes, lanes), None, lanes, lanes, cell.interval, Uses.of(resources(cell))
    )

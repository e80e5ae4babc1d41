# SPDX-License-Identifier: Apache-2.0
"""Options: everything that a node can be built as, with its interval and what it takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from hw.cells import node_cell
from hw.choices import lanes_of
from hw.conv_cell import linear_as_conv
from hw.conv_contents import conv_parameters
from hw.cores import PLAIN_CORES
from hw.device import Device
from hw.divisors import divisors
from hw.estimate import module_resources, resources
from hw.explore.resources import Uses
from hw.geometry import conv_geometry
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Node
from quant.schedule import Folding, MemoryStyle

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

    Layers with weights: every PE and SIMD that divide, multipliers in logic or in DSP blocks, and
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


def weight_styles_offered(device: Device | None) -> tuple[MemoryStyle, ...]:
    """Return what weights can lie in on ``device``."""
    if device is None or not device.uram:
        return ("distributed", "block")
    return ("distributed", "block", "ultra")


def _layer_options(
    conv: Conv, shape: Shape, source: TensorFormat, device: Device | None
) -> Iterator[NodeOption]:
    filters, channels, _, _ = conv.weights.shape
    depthwise = channels == 1 and filters == shape[0] and conv.groups > 1
    # Memory files are named by what the cell reads; only whether there is one counts here.
    files = {
        "CodebookFile": "" if source.codebook is None else "codebook.mem",
        "TableFile": "" if conv.table is None else "table.mem",
    }
    for pe in divisors(filters if depthwise else filters // conv.groups):
        for simd in divisors(channels):
            for core in PLAIN_CORES:
                folding = Folding(pe, simd, core=core)
                g = conv_geometry(conv, shape, folding)
                interval = max(g.input_beats, g.compute_cycles)
                parameters = conv_parameters(conv, source, g) | files
                for style in weight_styles_offered(device):
                    load = (
                        style == "ultra"
                        and device is not None
                        and not device.ultra_initial_contents
                    )
                    memory = {"WeightStyle": style, "LoadWeights": int(load)}
                    uses = Uses.of(module_resources("nf_conv", parameters | memory))
                    if load:
                        bits = g.pe * g.simd * conv.weights.bits
                        depth = g.output_folds * g.fold_taps
                        loader = module_resources("nf_rom_load", {"Bits": bits, "Depth": depth})
                        uses = uses.plus(Uses.of(loader))
                    yield NodeOption(folding, style, g.in_lanes, g.pe, interval, uses)


def _lane_option(graph: QGraph, node: Node, lanes: int) -> NodeOption:
    cell = node_cell(node, graph, Folding(lanes, lanes), "")
    return NodeOption(
        Folding(lanes, lanes), None, lanes, lanes, cell.interval, Uses.of(resources(cell))
    )

# SPDX-License-Identifier: Apache-2.0
"""The kernel of every node kind at its folding."""

from typing import assert_never

from hls.cell import ConvCell, as_conv, divisors_near, fold_conv
from hls.convolution import conv_kernel
from hls.kernel import Kernel
from hls.pointwise import add_kernel, lookup_kernel, requantize_kernel
from hls.pool import avgpool_kernel, maxpool_kernel
from hls.route import concat_kernel, fork_kernel, split_kernel, upsample_kernel
from hls.streams import Stream
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Node,
    Output,
    Requantize,
    Split,
    Upsample,
    sources_of,
)
from quant.schedule import Folding


def conv_cell(graph: QGraph, node: Conv | Linear, folding: Folding) -> ConvCell:
    """Return the folded cell of a convolution or linear layer of ``graph``.

    Raises:
        PlanError: The folding does not fit the layer.
    """
    shape = graph.shapes[node.source]
    conv = as_conv(node, shape) if isinstance(node, Linear) else node
    return fold_conv(conv, graph.formats[node.source], shape, folding)


def node_kernel(graph: QGraph, node: Node, folding: Folding) -> Kernel:
    """Return the kernel of one node; an input has none.

    Args:
        graph: Where the node is from.
        node: Any node but an input.
        folding: Its folding; of an output, that of its source.

    Raises:
        PlanError: The folding does not fit the node.
    """
    out_shape = graph.shapes[node.name]
    if isinstance(node, Conv | Linear):
        return conv_kernel(conv_cell(graph, node, folding))
    lanes = lanes_of(graph, node, folding)
    formats = tuple(graph.formats[s] for s in sources_of(node))
    sources = tuple(Stream(graph.shapes[s], lanes, graph.formats[s].bits) for s in sources_of(node))
    match node:
        case Input():
            raise PlanError(f"'{node.name}' is an input: a port, not a kernel")
        case MaxPool():
            return maxpool_kernel(node, sources[0], out_shape)
        case AvgPool():
            return avgpool_kernel(node, formats[0], sources[0], out_shape)
        case Add():
            return add_kernel(node, (formats[0], formats[1]), (sources[0], sources[1]))
        case Concat():
            return concat_kernel(sources, out_shape)
        case Split():
            return split_kernel(node, sources[0], out_shape)
        case Upsample():
            return upsample_kernel(node, sources[0], out_shape)
        case Requantize():
            return requantize_kernel(node, formats[0], sources[0])
        case Lookup():
            return lookup_kernel(node, sources[0])
        case Output():
            return fork_kernel(sources[0], 1)
        case _:
            assert_never(node)


def lanes_of(graph: QGraph, node: Node, folding: Folding) -> int:
    """Return the channels of a beat of a node that is no convolution, checked.

    Raises:
        PlanError: PE and SIMD differ, or do not divide the channels that the node reads and writes.
    """
    if folding.pixels_per_beat != 1:
        raise PlanError(
            f"'{node.name}' is scheduled with {folding.pixels_per_beat} pixels per beat; the HLS "
            "cell builds 1; use a folding with pixels_per_beat=1 for --hls"
        )
    if folding.pe != folding.simd:
        kind = type(node).__name__.lower()
        raise PlanError(
            f"'{node.name}' is scheduled with PE={folding.pe} and SIMD={folding.simd}; a node of "
            f"kind {kind} reads and writes the same lanes; set both to one value"
        )
    channels = [graph.shapes[name][0] for name in (*sources_of(node), node.name)]
    if isinstance(node, Split):
        channels.append(node.begin)
    for count in channels:
        if count % folding.pe:
            raise PlanError(
                f"'{node.name}' moves {count} channels, not a multiple of PE={folding.pe}; "
                f"divisors near {folding.pe}: {divisors_near(count, folding.pe)}"
            )
    return folding.pe

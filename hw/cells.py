# SPDX-License-Identifier: Apache-2.0
"""The cell of every node kind."""

from typing import assert_never

from hw.add import add_cell
from hw.avgpool import avgpool_cell
from hw.cell import Cell
from hw.concat import concat_cell
from hw.conv_cell import conv_cell, linear_cell
from hw.lookup import lookup_cell
from hw.maxpool import maxpool_cell
from hw.requantize import requantize_cell
from hw.split import split_cell
from hw.upsample import upsample_cell
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
from quant.schedule import Folding, MemoryStyle


def node_cell(
    node: Node,
    graph: QGraph,
    folding: Folding,
    prefix: str,
    weight_memory: MemoryStyle = "auto",
    *,
    ultra_initial_contents: bool = False,
) -> Cell:
    """Return the cell of ``node``.

    Args:
        node: A node of ``graph`` that computes something.
        graph: The integer graph.
        folding: Its lanes.
        prefix: Begins the names of its memory files.
        weight_memory: Style of its weight memory, of layers that have one.
        ultra_initial_contents: Whether ultra RAM is filled by the bitstream; if not, a weight
            memory in it is loaded at start.

    Raises:
        PlanError: The folding does not fit, or the cell does not build this node.
    """
    shapes = [graph.shapes[source] for source in sources_of(node)]
    formats = [graph.formats[source] for source in sources_of(node)]
    load = weight_memory == "ultra" and not ultra_initial_contents
    match node:
        case Conv():
            return conv_cell(node, shapes[0], formats[0], folding, prefix, weight_memory, load=load)
        case Linear():
            return linear_cell(
                node, shapes[0], formats[0], folding, prefix, weight_memory, load=load
            )
        case MaxPool():
            return maxpool_cell(node, shapes[0], formats[0], folding, prefix)
        case Add():
            return add_cell(node, shapes, formats, folding, prefix)
        case Concat():
            return concat_cell(node, shapes, formats, folding, prefix)
        case Split():
            return split_cell(node, shapes[0], formats[0], folding, prefix)
        case Requantize():
            return requantize_cell(node, shapes[0], formats[0], folding, prefix)
        case Lookup():
            return lookup_cell(node, shapes[0], formats[0], folding, prefix)
        case AvgPool():
            return avgpool_cell(node, shapes[0], formats[0], folding, prefix)
        case Upsample():
            return upsample_cell(node, shapes[0], formats[0], folding, prefix)
        case Input() | Output():
            raise PlanError(f"'{node.name}' is an end of the graph and has no cell")
        case _:
            assert_never(node)

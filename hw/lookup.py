# SPDX-License-Identifier: Apache-2.0
"""The lookup node as a cell: one table for every lane."""

import numpy as np

from hw.beatwise import beatwise_process
from hw.cell import Cell, Stream
from hw.lanes import equal_lanes
from hw.memories import mem_text
from quant.formats import TensorFormat
from quant.nodes import Lookup
from quant.schedule import Folding

# Cycles from taking a beat to its offer: table, queue.
LATENCY = 2


def lookup_cell(
    node: Lookup,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
) -> Cell:
    """Return the cell of a lookup.

    Args:
        node: The lookup.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        folding: PE = SIMD, the channels of a beat; divides C.
        prefix: Begins the names of the memory files.

    Returns:
        A cell of module ``nf_lookup``.

    Raises:
        PlanError: The folding does not fit.
    """
    lanes = equal_lanes(node.name, folding, in_shape[0])
    stream = Stream(in_shape, lanes, source.bits)
    file = f"{prefix}table.mem"
    return Cell(
        module="nf_lookup",
        parameters={
            "Lanes": lanes,
            "InBits": source.bits,
            "OutBits": node.output.bits,
            "TableFile": file,
        },
        inputs=(stream,),
        output=Stream(in_shape, lanes, node.output.bits),
        stages=(beatwise_process(stream.beats, 1, LATENCY, LATENCY + 1),),
        files={file: mem_text([(node.table.astype(np.int64), node.output.bits)])},
    )

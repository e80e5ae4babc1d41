# SPDX-License-Identifier: Apache-2.0
"""The split as a cell: some beats of every pixel pass, the others are dropped."""

import numpy as np

from hw.cell import Cell, Stream
from hw.lanes import equal_lanes
from hw.process import Port, Process
from quant.formats import TensorFormat
from quant.nodes import Split
from quant.schedule import Folding

# Cycles from taking a beat to its offer: the queue.
LATENCY = 1


def split_cell(
    node: Split,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
) -> Cell:
    """Return the cell of a split.

    Args:
        node: The split.
        in_shape: (C, H, W) of its input.
        source: Format of its codes.
        folding: PE = SIMD, the channels of a beat; divides C and both ends of the slice.
        prefix: Begins the names of memory files, of which this cell has none.

    Returns:
        A cell of module ``nf_split``.

    Raises:
        PlanError: The folding does not fit.
    """
    channels, height, width = in_shape
    lanes = equal_lanes(node.name, folding, channels, node.begin, node.end)
    stream = Stream(in_shape, lanes, source.bits)
    first, end = node.begin // lanes, node.end // lanes
    beat = np.tile(np.arange(stream.folds), height * width)
    port = Port(beats=stream.beats, capacity=0, needed=np.arange(1, stream.beats + 1))
    return Cell(
        module="nf_split",
        parameters={
            "BeatBits": stream.beat_bits,
            "Beats": stream.folds,
            "First": first,
            "End": end,
        },
        inputs=(stream,),
        output=Stream((node.end - node.begin, height, width), lanes, source.bits),
        stages=(Process(1, (port,), (beat >= first) & (beat < end), LATENCY, LATENCY + 1),),
    )

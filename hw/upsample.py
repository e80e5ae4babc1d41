# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour upsampling as a cell: one row in memory, read again for every repetition."""

import numpy as np

from hw.cell import Cell, Stream
from hw.lanes import equal_lanes
from hw.process import Port, Process
from quant.formats import TensorFormat
from quant.nodes import Upsample
from quant.schedule import Folding

# Cycles from the step that reads a beat to its offer: row memory, queue.
LATENCY = 2


def upsample_cell(
    node: Upsample,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
) -> Cell:
    """Return the cell of an upsampling node.

    Args:
        node: The node.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        folding: PE = SIMD, the channels of a beat; divides C.
        prefix: Begins the names of memory files, of which this cell has none.

    Returns:
        A cell of module ``nf_upsample``.

    Raises:
        PlanError: The folding does not fit.
    """
    channels, height, width = in_shape
    lanes = equal_lanes(node.name, folding, channels)
    factor = node.factor
    return Cell(
        module="nf_upsample",
        parameters={
            "Channels": channels,
            "Lanes": lanes,
            "CodeBits": source.bits,
            "Width": width,
            "Factor": factor,
        },
        inputs=(Stream(in_shape, lanes, source.bits),),
        output=Stream((channels, height * factor, width * factor), lanes, source.bits),
        stages=(_process(height, width, channels // lanes, factor),),
    )


def _process(height: int, width: int, folds: int, factor: int) -> Process:
    """Return the token-level model: one step per output beat.

    A step waits for its beat when it reads it for the first time, and gives its place back when it
    reads it for the last time; the steps between find it there.

    Args:
        height: Input rows.
        width: Input columns.
        folds: Beats of one pixel.
        factor: Repetitions.
    """
    # Row, repetition of the row, column, repetition of the pixel, fold: the order of the output.
    beat = np.arange(height * width * folds, dtype=np.int64).reshape(height, 1, width, 1, folds)
    steps = (height, factor, width, factor, folds)
    through = np.broadcast_to(beat + 1, steps)
    freed = np.zeros(steps, np.int64)
    freed[:, -1, :, -1] = beat[:, 0, :, 0] + 1
    return Process(
        cycles=1,
        ports=(
            Port(
                beats=beat.size,
                capacity=max(width * folds, 2),
                needed=np.maximum.accumulate(through.reshape(-1)),
                freed=np.maximum.accumulate(freed.reshape(-1)),
            ),
        ),
        emits=np.ones(through.size, np.bool_),
        latency=LATENCY,
        queue=LATENCY + 1,
    )

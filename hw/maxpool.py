# SPDX-License-Identifier: Apache-2.0
"""Max pool as a cell: a horizontal and a vertical pass, each a window with a running maximum."""

import numpy as np

from hw.cell import Cell, Stream
from hw.lanes import equal_lanes
from hw.process import Process
from hw.window import Window
from quant.formats import TensorFormat
from quant.nodes import MaxPool
from quant.schedule import Folding

# Cycles from the last tap of a beat to its offer: buffer read, maximum, queue.
PASS_LATENCY = 3


def maxpool_cell(
    node: MaxPool,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
) -> Cell:
    """Return the cell of a max pool.

    Args:
        node: The max pool; padding is below the kernel.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        folding: PE = SIMD, the channels of a beat; divides C.
        prefix: Begins the names of memory files, of which this cell has none.

    Returns:
        A cell of module ``nf_maxpool`` with one process per pass.

    Raises:
        PlanError: The folding does not fit.
    """
    channels, height, width = in_shape
    lanes = equal_lanes(node.name, folding, channels)
    top, left, bottom, right = node.padding
    (kh, kw), (sh, sw) = node.kernel, node.stride
    rows = Window(height, width, (1, kw), (1, sw), (0, left, 0, right))
    has_columns = (kh, sh) != (1, 1)
    has_rows = (kw, sw) != (1, 1) or not has_columns
    columns = Window(
        height,
        rows.out_width,
        (kh, 1),
        (sh, 1),
        (top, 0, bottom, 0),
        beat_cycles=rows.taps,  # the horizontal pass gives no more beats; without it, this is 1
    )
    passes = [rows] * has_rows + [columns] * has_columns
    return Cell(
        module="nf_maxpool",
        parameters={
            "Channels": channels,
            "Lanes": lanes,
            "CodeBits": source.bits,
            "Height": height,
            "Width": width,
            "KernelH": kh,
            "KernelW": kw,
            "StrideH": sh,
            "StrideW": sw,
            "PadTop": top,
            "PadLeft": left,
            "PadBottom": bottom,
            "PadRight": right,
            "RowPixels": rows.buffer_pixels,
            "ColumnPixels": columns.buffer_pixels,
        },
        inputs=(Stream(in_shape, lanes, source.bits),),
        output=Stream((channels, columns.out_height, rows.out_width), lanes, source.bits),
        stages=tuple(_pass_process(window, channels // lanes) for window in passes),
    )


def _pass_process(window: Window, folds: int) -> Process:
    """Return the token-level model of one pass: one step per output beat.

    Args:
        window: Its windows.
        folds: Beats of one pixel.
    """
    return Process(
        cycles=window.taps,
        ports=(window.port(folds, folds),),
        emits=np.ones(window.out_height * window.out_width * folds, np.bool_),
        latency=PASS_LATENCY,
        # The beat that leaves and those under way, as the module counts its credits.
        queue=1 + -(-PASS_LATENCY // window.taps),
    )

# SPDX-License-Identifier: Apache-2.0
"""Exact cycles of the convolution cell: the recurrences of ``hw.process`` for this one cell.

It gives what ``hw.timing`` gives for the cell alone, window by window instead of beat by beat (a
cell with a packed core is two processes, and left to ``hw.timing``). With
the source always valid and the sink always ready two things wait: a window for the last pixel
that it needs, and an input pixel for a free place in the line buffer. Pixels are numbered in stream
order without a break between frames. With P the pixels of the buffer, b the beats of a pixel, c
the cycles of a window:

    start(o)  = max(start(o - 1) + c, written(needed(o) - 1) + 1)
    written(p) = max(written(p - 1) + 1, start(first o that frees pixel p - P) + c) + b - 1
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from hw.cell import Cell, Stream
from hw.conv_process import conv_stages
from hw.geometry import ConvGeometry, conv_geometry
from hw.timing import Times, simulate_settled
from hw.tokens import cell_graph
from quant.errors import PlanError
from quant.formats import TensorFormat
from quant.nodes import Conv
from quant.schedule import Folding

# The interval of a periodic system of two coupled queues; measured ones settle by the third frame.
MAX_FRAMES = 8


@dataclass(frozen=True)
class ConvCycles:
    """Cycles of one convolution cell, source always valid and sink always ready.

    Attributes:
        interval_cycles: Between the last output beats of consecutive frames, once settled.
        latency_cycles: From the first input beat to the last output beat of the first frame after
            reset, both counted.
    """

    interval_cycles: int
    latency_cycles: int


def conv_cycles(
    node: Conv,
    in_shape: tuple[int, int, int],
    folding: Folding,
    source: TensorFormat | None = None,
) -> ConvCycles:
    """Return the exact cycles of ``node`` folded by ``folding``.

    Args:
        node: The convolution.
        in_shape: (C, H, W) of its source.
        folding: PE, SIMD and core.
        source: Format of its input codes, for packed cores.

    Returns:
        Interval and latency, as counted in simulation.

    Raises:
        PlanError: The folding does not fit.
    """
    return geometry_cycles(conv_geometry(node, in_shape, folding, source))


@lru_cache(maxsize=4096)
def geometry_cycles(geometry: ConvGeometry) -> ConvCycles:
    """Return the exact cycles of a convolution cell of this geometry."""
    if geometry.packed:
        return _engine_cycles(geometry)
    ends: list[int] = []
    latency = 0
    for last_start in _last_starts(geometry):
        ends.append(last_start)
        if len(ends) == 1:
            latency = last_start + geometry.window_cycles + geometry.latency
        settled = len(ends) > 2 and ends[-1] - ends[-2] == ends[-2] - ends[-3]
        if settled or len(ends) == MAX_FRAMES:
            break
    return ConvCycles(ends[-1] - ends[-2], latency)


def _engine_cycles(g: ConvGeometry) -> ConvCycles:
    """Return the cycles of a cell with a packed core, which is two processes, by ``hw.timing``."""
    cell = Cell(
        module="nf_conv",
        parameters={},
        inputs=(Stream((g.channels, g.height, g.width), g.in_lanes, 1),),
        output=Stream((g.filters, g.out_height, g.out_width), g.out_lanes, 1),
        stages=conv_stages(g),
    )
    times = simulate_settled(cell_graph("conv", cell))
    if not isinstance(times, Times):
        raise PlanError(f"a convolution cell stands still by itself; {times}")
    return ConvCycles(times.interval_cycles, times.latency_cycles)


def _last_starts(g: ConvGeometry) -> Iterator[int]:
    """Yield the start cycle of every frame's last window; cycle 0 takes the first input beat."""
    beats, cycles, places = g.channel_folds, g.window_cycles, g.buffer_pixels
    needs, frees = g.window.counts()
    windows = list(zip(needs.tolist(), frees.tolist(), strict=True))
    pixels = g.height * g.width
    written: list[int] = []  # last beat of each pixel
    freed_at: list[int] = []  # first cycle in which the place of each pixel is free again
    start = -cycles
    base = 0
    while True:
        for needed, freed in windows:
            while len(written) < base + needed:
                pixel = len(written)
                begin = written[-1] + 1 if written else 0
                if pixel >= places:
                    begin = max(begin, freed_at[pixel - places])
                written.append(begin + beats - 1)
            start = max(start + cycles, written[base + needed - 1] + 1)
            more = base + freed - len(freed_at)
            if more > 0:
                freed_at.extend([start + cycles] * more)
        yield start
        base += pixels

# SPDX-License-Identifier: Apache-2.0
"""Depths of streams with which no HLS process ever waits for a place, in the steady state.

An HLS process does one thing after another: it takes nothing while it waits to write, and it begins
a frame when it has ended the one before. So it needs more room around it than an RTL cell, which
takes beats whenever it has a place, and depths planned for cells may stop it or slow it down.

Let a frame come every T cycles, T being the iterations of the slowest process, its beats evenly
spread. With room enough everywhere a step k at iteration at[k] then begins, in the frame that its
inputs arrive in by a[k] (the latest of the beats that it reads), at

    t[k] = at[k] + max(c[k], s)     c[k] = max over j <= k of a[j] + 1 - at[j]
    s    = c[last] + iterations - T                      the frame before has ended

and every frame is like the one before, T later. A beat is written in the cycle of its step at the
earliest, where it begins to take a place, and up to ``PIPELINE_CYCLES`` later, which is when its
reader counts on it. The most beats that a stream holds in that run are enough: the same run stays
possible with as many places, and no process becomes later by starting sooner. So the network
neither stands still nor is it slower than its slowest process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hls.kernel import LEAST_DEPTH
from hls.layer import Layer
from hls.streams import Stream
from hls.walk import Counts, Walk, kernel_walks

# Assumed (no vendor tool has scheduled the loops): no pipeline is longer.
PIPELINE_CYCLES = 32


def deep_enough(
    source: tuple[str, Stream], layers: Sequence[Layer]
) -> tuple[tuple[Layer, ...], int]:
    """Return the layers with depths that are enough, none below what it was, and T.

    Args:
        source: Name and stream of the input port.
        layers: All layers, every stream written before it is read.
    """
    walks = {layer.name: kernel_walks(layer.kernel) for layer in layers}
    interval = max(walk.iterations for chain in walks.values() for walk in chain)
    name, stream = source
    # Per stream the cycles in which its beats may be written at the earliest.
    written = {name: np.arange(stream.beats, dtype=np.int64) * interval // stream.beats}
    held: dict[str, int] = {}
    inner: dict[str, int] = {}
    for layer in layers:
        arriving = [written.pop(stream) for stream in layer.inputs]
        for number, walk in enumerate(walks.pop(layer.name)):
            times = _step_times(walk, arriving, interval)
            found = [
                _most_held(beats, times[reads], interval)
                for beats, reads in zip(arriving, walk.reads, strict=True)
            ]
            if number:
                inner[layer.name] = max(found)
            else:
                held.update(zip(layer.inputs, found, strict=True))
            arriving = [times[walk.writes]]
        written.update(dict.fromkeys(layer.outputs, arriving[0]))
    return tuple(_deepened(layer, held, inner) for layer in layers), interval


def _deepened(layer: Layer, held: Mapping[str, int], inner: Mapping[str, int]) -> Layer:
    depths = tuple(
        max(depth, held.get(stream, LEAST_DEPTH))
        for stream, depth in zip(layer.outputs, layer.depths, strict=True)
    )
    kernel = layer.kernel
    if layer.name in inner:
        narrowed = max(LEAST_DEPTH, inner[layer.name])
        kernel = replace(kernel, constants={**kernel.constants, "narrowed_depth": narrowed})
    return replace(layer, kernel=kernel, depths=depths)


def _step_times(walk: Walk, arriving: Sequence[Counts], interval: int) -> Counts:
    """Return the cycle of every step of a frame in the steady state."""
    ready = np.full(walk.at.shape, np.iinfo(np.int64).min // 2)
    for beats, reads in zip(arriving, walk.reads, strict=True):
        ready[reads] = np.maximum(ready[reads], beats + PIPELINE_CYCLES + 1)
    ready -= walk.at
    late = np.maximum.accumulate(ready, out=ready)
    start = int(late[-1]) + walk.iterations - interval
    times: Counts = np.maximum(late, start) + walk.at
    return times


def _most_held(written: Counts, read: Counts, interval: int) -> int:
    """Return the most beats in a stream at once.

    A writer sees the place of a beat free two cycles after its read: both sides may have registers.

    Args:
        written: Cycle of every beat of a frame, rising, within ``interval`` cycles.
        read: The same of the reads.
        interval: Cycles from frame to frame.
    """
    frames, cycle = np.divmod(written - 1 - read[0], interval)
    before = frames * read.size + np.searchsorted(read - read[0], cycle)
    return int((np.arange(1, written.size + 1) - before).max())

# SPDX-License-Identifier: Apache-2.0
"""Token-level model of the convolution cell."""

import numpy as np

from hw.geometry import ConvGeometry
from hw.process import Port, Process


def conv_stages(g: ConvGeometry) -> tuple[Process, ...]:
    """Return the token-level model of a convolution cell."""
    return (conv_process(g), order_process(g)) if g.packed else (conv_process(g),)


def conv_process(g: ConvGeometry) -> Process:
    """Return the model of window, core and requantizer: one step per output fold of a window.

    A window waits for its last pixel and gives its places back after its last output fold. Groups
    that end no window give nothing.
    """
    window = g.window
    emits = np.ones((window.out_height, window.out_width, g.output_folds), np.bool_)
    emits[:, : g.silent_groups] = False
    return Process(
        cycles=g.fold_taps,
        ports=(window.port(g.channel_folds, g.output_folds, g.buffer_pixels),),
        emits=emits.reshape(-1),
        latency=g.latency,
        queue=g.queue_beats,
    )


def order_process(g: ConvGeometry) -> Process:
    """Return the model of ``nf_pixel_order``: folds of several pixels in, beats of one pixel out.

    A beat waits for the fold that holds it; the last pixel of a group frees its folds.
    """
    first = g.kernel[1] - 1 if g.by_rows else 0  # results that would begin before the row
    beats, folds = g.filters // g.out_lanes, g.output_folds
    # Per pixel of a row its group; then per beat of a pixel its fold.
    group = (np.arange(g.out_width) + first) // g.pixels - g.silent_groups
    last = np.append(group[1:] != group[:-1], True)
    fold = np.arange(beats) * g.out_lanes // g.pe
    done = np.append(fold[1:] != fold[:-1], True)
    row = np.arange(g.out_height)[:, None, None] * (int(group[-1]) + 1)
    begun = (row + group[:, None]) * folds
    needed = begun + fold + 1
    freed = begun + np.where(last[:, None], fold + done, 0)
    return Process(
        cycles=1,
        ports=(
            Port(
                beats=g.out_height * (int(group[-1]) + 1) * folds,
                capacity=g.order_places,
                needed=np.maximum.accumulate(needed.reshape(-1)),
                freed=freed.reshape(-1),
            ),
        ),
        emits=np.ones(needed.size, np.bool_),
        latency=1,
        queue=2,
    )

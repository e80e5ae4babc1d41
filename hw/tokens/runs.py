# SPDX-License-Identifier: Apache-2.0
"""Many steps of a unit with one buffered port, or of a source, in one loop, compiled.

Most steps of a network are of this kind: what they touch is held outside the tables for the loop.
"""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import inlined
from hw.tokens.state import (
    ARRIVED,
    BASE,
    BEATS,
    CAPACITY,
    CYCLES,
    DELAY,
    EMIT_AT,
    FRAME,
    FREE_AT,
    LEFT,
    LIMIT,
    MADE,
    NEED_AT,
    NEXT,
    PACE,
    PHASE,
    PORT_HI,
    PORT_LO,
    PUT,
    QUEUE,
    RING_AT,
    RING_SIZE,
    SPACE_AT,
    SPACE_MASK,
    STEPS,
    TAKEN,
    TIME_AT,
    TIME_MASK,
)

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@inlined
def run_steps(
    u: int, units: Int64, ports: Int64, counts: Int32, emits: Bools, ring: Int64, times: Int64
) -> None:
    """Do the steps of unit ``u`` whose beats are known; it has one buffered port or none."""
    q = units[u, PORT_LO]
    if q == units[u, PORT_HI]:
        run_source(u, units, ring)
        return
    steps, emit_at, cycles, delay = (
        units[u, STEPS],
        units[u, EMIT_AT],
        units[u, CYCLES],
        units[u, DELAY],
    )
    ring_at, ring_size, put, taken = (
        units[u, RING_AT],
        units[u, RING_SIZE],
        units[u, PUT],
        units[u, TAKEN],
    )
    phase, start, made, left = units[u, PHASE], units[u, NEXT], units[u, MADE], units[u, LEFT]
    queue = units[u, QUEUE]
    need_at, free_at, base, period = (
        ports[q, NEED_AT],
        ports[q, FREE_AT],
        ports[q, BASE],
        ports[q, BEATS],
    )
    arrived, limit, capacity = ports[q, ARRIVED], ports[q, LIMIT], ports[q, CAPACITY]
    time_at, time_mask = ports[q, TIME_AT], ports[q, TIME_MASK]
    space_at, space_mask = ports[q, SPACE_AT], ports[q, SPACE_MASK]
    while left > 0:
        emit = emits[emit_at + phase]
        needed = base + counts[need_at + phase]
        if arrived < needed or (emit and made - queue >= taken):
            break
        if needed > 0:
            start = max(start, times[time_at + ((needed - 1) & time_mask)] + 1)
        if emit:
            if made >= queue:
                start = max(start, ring[ring_at + put] + 1)
            ring[ring_at + put] = start + delay
            put += 1
            if put == ring_size:
                put = 0
            made += 1
        start += cycles
        free = base + counts[free_at + phase] + capacity
        while limit < free:
            times[space_at + (limit & space_mask)] = start
            limit += 1
        phase += 1
        if phase == steps:
            phase = 0
            base += period
        left -= 1
    units[u, PHASE], units[u, NEXT], units[u, MADE], units[u, LEFT] = phase, start, made, left
    units[u, PUT] = put
    ports[q, BASE], ports[q, LIMIT] = base, limit


@inlined
def run_source(u: int, units: Int64, ring: Int64) -> None:
    """Offer the next beats of source ``u``: each at once when the one before has been taken."""
    pace, frame = units[u, PACE], units[u, FRAME]
    while units[u, LEFT] > 0 and units[u, MADE] - units[u, QUEUE] < units[u, TAKEN]:
        start = units[u, NEXT]
        if units[u, MADE] >= units[u, QUEUE]:
            start = max(start, ring[units[u, RING_AT] + units[u, PUT]] + 1)
        if pace:
            start = max(start, units[u, MADE] * pace // frame)
        ring[units[u, RING_AT] + units[u, PUT]] = start + units[u, DELAY]
        units[u, PUT] = 0 if units[u, PUT] + 1 == units[u, RING_SIZE] else units[u, PUT] + 1
        units[u, MADE] += 1
        units[u, NEXT] = start + units[u, CYCLES]
        units[u, LEFT] -= 1

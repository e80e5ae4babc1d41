# SPDX-License-Identifier: Apache-2.0
"""Beats on their way from a unit's output into the buffers and FIFOs behind it, compiled."""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import inlined
from hw.tokens.state import (
    ARRIVED,
    CAPACITY,
    DELAY,
    FIRST,
    FRAME,
    FRAMES,
    GET,
    HELD,
    LAST,
    LATEST,
    LIMIT,
    MADE,
    MARK,
    MOST,
    PASSIVE,
    PORT_LO,
    READ_HI,
    READ_LO,
    RING_AT,
    RING_SIZE,
    SPACE_AT,
    SPACE_MASK,
    TAKEN,
    TIME_AT,
    TIME_MASK,
    TOOK,
    UNIT,
)

Int64 = npt.NDArray[np.int64]


@inlined
def made_of(u: int, units: Int64, ports: Int64) -> int:
    """Return the beats that unit ``u`` has offered so far, or will, as far as is known."""
    if units[u, PASSIVE]:
        return int(ports[units[u, PORT_LO], ARRIVED])
    return int(units[u, MADE])


@inlined
def lasting_offer(u: int, units: Int64, ports: Int64, ring: Int64, times: Int64) -> int:
    """Return from which cycle unit ``u`` offers beat TAKEN; the beat has been made."""
    if units[u, PASSIVE]:
        q = units[u, PORT_LO]
        made = times[ports[q, TIME_AT] + (units[u, TAKEN] & ports[q, TIME_MASK])] + units[u, DELAY]
    else:
        made = ring[units[u, RING_AT] + units[u, GET]]
    return int(max(made, units[u, LAST] + 1))


@inlined
def take(u: int, units: Int64, ports: Int64, ring: Int64, times: Int64, ends: Int64) -> None:
    """Beat TAKEN of unit ``u`` has been taken by all readers, the last one in cycle LATEST."""
    x, beat = units[u, LATEST], units[u, TAKEN]
    if units[u, PASSIVE]:
        q = units[u, PORT_LO]
        space_at, mask, depth = ports[q, SPACE_AT], ports[q, SPACE_MASK], ports[q, CAPACITY]
        entered = times[ports[q, TIME_AT] + (beat & ports[q, TIME_MASK])]
        held = units[u, HELD]
        while held < beat and times[space_at + ((held + depth) & mask)] <= entered:
            held += 1
        units[u, HELD] = held
        units[u, MOST] = max(units[u, MOST], beat - held + 1)
        times[space_at + ((beat + depth) & mask)] = x + 1
        ports[q, LIMIT] = beat + depth + 1
    else:
        slot = units[u, GET]
        ring[units[u, RING_AT] + slot] = x
        units[u, GET] = 0 if slot + 1 == units[u, RING_SIZE] else slot + 1
    units[u, LAST] = x
    units[u, TAKEN] = beat + 1
    units[u, TOOK] = 0
    units[u, LATEST] = 0
    if beat == units[u, MARK]:
        ends[u, units[u, FRAMES]] = x
        units[u, FRAMES] += 1
        units[u, MARK] += units[u, FRAME]


@inlined
def move(
    u: int, units: Int64, ports: Int64, readers: Int64, ring: Int64, times: Int64, ends: Int64
) -> bool:
    """Move beats of unit ``u`` into the buffers of its readers; whether any moved."""
    lo, hi = units[u, READ_LO], units[u, READ_HI]
    if hi == lo + 1 and ports[readers[lo], CAPACITY] > 0:
        return move_run(u, readers[lo], units, ports, ring, times, ends)
    moved = False
    made = made_of(u, units, ports)
    while units[u, TAKEN] < made:
        beat = units[u, TAKEN]
        offer = lasting_offer(u, units, ports, ring, times)
        for k in range(lo, hi):
            q = readers[k]
            if ports[q, CAPACITY] > 0 and ports[q, ARRIVED] == beat and beat < ports[q, LIMIT]:
                x = max(offer, times[ports[q, SPACE_AT] + (beat & ports[q, SPACE_MASK])])
                times[ports[q, TIME_AT] + (beat & ports[q, TIME_MASK])] = x
                if beat == 0:
                    ports[q, FIRST] = x
                ports[q, ARRIVED] = beat + 1
                units[u, TOOK] += 1
                units[u, LATEST] = max(units[u, LATEST], x)
                moved = True
        if units[u, TOOK] < hi - lo:
            break
        if hi == lo:
            units[u, LATEST] = offer
            moved = True
        take(u, units, ports, ring, times, ends)
    return moved


@inlined
def move_run(
    u: int, q: int, units: Int64, ports: Int64, ring: Int64, times: Int64, ends: Int64
) -> bool:
    """Move beats of unit ``u`` into buffered port ``q``, its only reader; whether any moved."""
    beat, last = units[u, TAKEN], units[u, LAST]
    end = min(made_of(u, units, ports), ports[q, LIMIT])
    if beat >= end:
        return False
    time_at, time_mask = ports[q, TIME_AT], ports[q, TIME_MASK]
    space_at, space_mask = ports[q, SPACE_AT], ports[q, SPACE_MASK]
    mark = units[u, MARK]
    if units[u, PASSIVE]:
        p = units[u, PORT_LO]
        in_at, in_mask, delay = ports[p, TIME_AT], ports[p, TIME_MASK], units[u, DELAY]
        free_at, free_mask, depth = ports[p, SPACE_AT], ports[p, SPACE_MASK], ports[p, CAPACITY]
        held, most = units[u, HELD], units[u, MOST]
        while beat < end:
            entered = times[in_at + (beat & in_mask)]
            last = max(entered + delay, last + 1)
            last = max(last, times[space_at + (beat & space_mask)])
            times[time_at + (beat & time_mask)] = last
            if beat == 0:
                ports[q, FIRST] = last
            while held < beat and times[free_at + ((held + depth) & free_mask)] <= entered:
                held += 1
            most = max(most, beat - held + 1)
            times[free_at + ((beat + depth) & free_mask)] = last + 1
            if beat == mark:
                ends[u, units[u, FRAMES]] = last
                units[u, FRAMES] += 1
                mark += units[u, FRAME]
            beat += 1
        units[u, HELD], units[u, MOST] = held, most
        ports[p, LIMIT] = beat + depth
    else:
        ring_at, slots, get = units[u, RING_AT], units[u, RING_SIZE], units[u, GET]
        while beat < end:
            last = max(ring[ring_at + get], last + 1)
            last = max(last, times[space_at + (beat & space_mask)])
            times[time_at + (beat & time_mask)] = last
            if beat == 0:
                ports[q, FIRST] = last
            ring[ring_at + get] = last
            get += 1
            if get == slots:
                get = 0
            if beat == mark:
                ends[u, units[u, FRAMES]] = last
                units[u, FRAMES] += 1
                mark += units[u, FRAME]
            beat += 1
        units[u, GET] = get
    units[u, TAKEN], units[u, LAST], units[u, MARK] = beat, last, mark
    ports[q, ARRIVED] = beat
    return True


@inlined
def flow(
    u: int, units: Int64, ports: Int64, readers: Int64, ring: Int64, times: Int64, ends: Int64
) -> bool:
    """Move beats of unit ``u`` and of the FIFOs behind it as far as they go; whether any moved."""
    moved = False
    while True:
        again = move(u, units, ports, readers, ring, times, ends)
        for k in range(units[u, READ_LO], units[u, READ_HI]):
            reader = ports[readers[k], UNIT]
            if units[reader, PASSIVE] and move(reader, units, ports, readers, ring, times, ends):
                again = True
        if not again:
            return moved
        moved = True

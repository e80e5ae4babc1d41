# SPDX-License-Identifier: Apache-2.0
"""The recurrences of ``hw.process``, every event computed once, compiled.

A worklist of units: a unit does all steps whose beats are known, moves what it reads and writes,
and wakes those whom that may help. Cycles are remembered only until the last event that asks for
them, in rings. The tables are those of ``hw.tokens.state``; a later call goes on where this ended.
"""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import compiled
from hw.tokens.state import (
    ARRIVED,
    BASE,
    BEATS,
    CAPACITY,
    CYCLES,
    DELAY,
    EMIT_AT,
    FIRST,
    FRAME,
    FRAMES,
    FREE_AT,
    GET,
    HELD,
    HELD_SLOT,
    LAST,
    LATEST,
    LEFT,
    LIMIT,
    MADE,
    MARK,
    MOST,
    NEED_AT,
    NEXT,
    PACE,
    PHASE,
    PORT_HI,
    PORT_LO,
    PUT,
    QUEUE,
    READ_HI,
    READ_LO,
    RING_AT,
    RING_SIZE,
    SOURCE,
    SPACE_AT,
    SPACE_MASK,
    STEPS,
    TAKEN,
    TIME_AT,
    TIME_MASK,
    TOOK,
)
from hw.tokens.worklist import wake

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@compiled
def take(u: int, units: Int64, ring: Int64, ends: Int64) -> None:
    """Beat TAKEN of unit ``u`` has been taken by all readers, the last one in cycle LATEST."""
    row = units[u]
    x, beat, slot, ring_at = row[LATEST], row[TAKEN], row[GET], row[RING_AT]
    if row[MOST] >= 0:
        entered = ring[ring_at + slot] - row[DELAY]
        while row[HELD] < beat and ring[ring_at + row[HELD_SLOT]] + 1 <= entered:
            row[HELD] += 1
            row[HELD_SLOT] += 1
            if row[HELD_SLOT] == row[RING_SIZE]:
                row[HELD_SLOT] = 0
        row[MOST] = max(row[MOST], beat - row[HELD] + 1)
    ring[ring_at + slot] = x
    row[GET] = 0 if slot + 1 == row[RING_SIZE] else slot + 1
    row[LAST] = x
    row[TAKEN] = beat + 1
    row[TOOK] = 0
    row[LATEST] = 0
    if beat == row[MARK]:
        ends[u, row[FRAMES]] = x
        row[FRAMES] += 1
        row[MARK] += row[FRAME]


@compiled
def move(
    u: int,
    units: Int64,
    ports: Int64,
    readers: Int64,
    ring: Int64,
    times: Int64,
    ends: Int64,
) -> bool:
    """Move beats of unit ``u`` into the buffers of its readers; whether any moved."""
    row = units[u]
    lo, hi = row[READ_LO], row[READ_HI]
    moved = False
    while row[TAKEN] < row[MADE]:
        beat = row[TAKEN]
        offer = max(ring[row[RING_AT] + row[GET]], row[LAST] + 1)
        for k in range(lo, hi):
            port = ports[readers[k]]
            if port[CAPACITY] > 0 and port[ARRIVED] == beat and beat < port[LIMIT]:
                x = max(offer, times[port[SPACE_AT] + (beat & port[SPACE_MASK])])
                times[port[TIME_AT] + (beat & port[TIME_MASK])] = x
                if beat == 0:
                    port[FIRST] = x
                port[ARRIVED] = beat + 1
                row[TOOK] += 1
                row[LATEST] = max(row[LATEST], x)
                moved = True
        if row[TOOK] < hi - lo:
            break
        if hi == lo:
            row[LATEST] = offer
            moved = True
        take(u, units, ring, ends)
    return moved


@compiled
def next_start(
    u: int,
    frame_beats: int,
    units: Int64,
    ports: Int64,
    counts: Int32,
    emits: Bools,
    ring: Int64,
    times: Int64,
) -> int:
    """Return the cycle in which the next step of unit ``u`` starts; -1: not known yet."""
    row = units[u]
    phase = row[PHASE]
    start = row[NEXT]
    if row[PACE]:
        start = max(start, row[MADE] * row[PACE] // frame_beats)
    if emits[row[EMIT_AT] + phase]:
        credit = row[MADE] - row[QUEUE]
        if credit >= row[TAKEN]:
            return -1
        if credit >= 0:
            slot = row[PUT] - row[QUEUE]
            if slot < 0:
                slot += row[RING_SIZE]
            start = max(start, ring[row[RING_AT] + slot] + 1)
    for q in range(row[PORT_LO], row[PORT_HI]):
        port = ports[q]
        beats = port[BASE] + counts[port[NEED_AT] + phase]
        if port[CAPACITY] > 0:
            if port[ARRIVED] < beats:
                return -1
            if beats > 0:
                start = max(start, times[port[TIME_AT] + ((beats - 1) & port[TIME_MASK])] + 1)
        elif port[ARRIVED] < beats:
            source = units[port[SOURCE]]
            if source[TAKEN] < port[ARRIVED] or source[MADE] == source[TAKEN]:
                return -1
            offer = max(ring[source[RING_AT] + source[GET]], source[LAST] + 1)
            start = max(start, offer)
    return int(start)


@compiled
def step(
    u: int,
    start: int,
    units: Int64,
    ports: Int64,
    counts: Int32,
    emits: Bools,
    ring: Int64,
    times: Int64,
    ends: Int64,
) -> None:
    """Do the next step of unit ``u`` in cycle ``start``."""
    row = units[u]
    phase = row[PHASE]
    end = start + row[CYCLES]
    last = phase + 1 == row[STEPS]
    for q in range(row[PORT_LO], row[PORT_HI]):
        port = ports[q]
        if port[CAPACITY] > 0:
            limit = port[BASE] + counts[port[FREE_AT] + phase] + port[CAPACITY]
            for beat in range(port[LIMIT], limit):
                times[port[SPACE_AT] + (beat & port[SPACE_MASK])] = end
            port[LIMIT] = limit
        elif port[ARRIVED] < port[BASE] + counts[port[NEED_AT] + phase]:
            if port[ARRIVED] == 0:
                port[FIRST] = start
            port[ARRIVED] += 1
            source = units[port[SOURCE]]
            source[TOOK] += 1
            source[LATEST] = max(source[LATEST], start)
            if source[TOOK] == source[READ_HI] - source[READ_LO]:
                take(port[SOURCE], units, ring, ends)
        if last:
            port[BASE] += port[BEATS]
    if emits[row[EMIT_AT] + phase]:
        ring[row[RING_AT] + row[PUT]] = start + row[DELAY]
        row[PUT] = 0 if row[PUT] + 1 == row[RING_SIZE] else row[PUT] + 1
        row[MADE] += 1
    row[NEXT] = end
    row[PHASE] = 0 if last else phase + 1
    row[LEFT] -= 1


@compiled
def run(
    units: Int64,
    ports: Int64,
    readers: Int64,
    counts: Int32,
    emits: Bools,
    ring: Int64,
    times: Int64,
    ends: Int64,
) -> None:
    """Do every step that is LEFT and possible.

    Args:
        units: int64 [units, UNIT_COLUMNS].
        ports: int64 [ports, PORT_COLUMNS].
        readers: int64: ports that read a unit's output, unit after unit.
        counts: int32: token counts of the steps.
        emits: bool: flags of the steps.
        ring: int64: offers and takings of every unit.
        times: int64: arrivals and free places of every buffered port.
        ends: int64 [units, frames], written: cycle in which the last beat of a frame was taken.
    """
    total = units.shape[0]
    line = np.arange(total)  # units that may do something, a queue in a ring
    waiting = np.ones(total, np.bool_)
    head, size = 0, total
    while size:
        u = line[head]
        head = head + 1 if head + 1 < total else 0
        size -= 1
        waiting[u] = False
        row = units[u]
        woken = False
        while True:
            for q in range(row[PORT_LO], row[PORT_HI]):
                source = ports[q, SOURCE]
                before = units[source, TAKEN]
                moved = move(source, units, ports, readers, ring, times, ends)
                if not moved and units[source, TAKEN] == before:
                    continue
                size = wake(source, u, units, ports, readers, line, waiting, head, size)
            done = 0
            while row[LEFT] > 0:
                start = next_start(u, row[FRAME], units, ports, counts, emits, ring, times)
                if start < 0:
                    break
                step(u, start, units, ports, counts, emits, ring, times, ends)
                done += 1
            if done == 0:
                break
            woken = True
            move(u, units, ports, readers, ring, times, ends)
        if woken:
            size = wake(u, u, units, ports, readers, line, waiting, head, size)
            for q in range(row[PORT_LO], row[PORT_HI]):
                size = wake(ports[q, SOURCE], u, units, ports, readers, line, waiting, head, size)

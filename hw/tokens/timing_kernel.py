# SPDX-License-Identifier: Apache-2.0
"""The recurrences of ``hw.process``, every event computed once, compiled.

A worklist of units: a unit does all steps whose beats are known, moves what it reads and writes,
and wakes those whom that may help. Cycles are remembered only until the last event that asks for
them, in rings. The tables are those of ``hw.tokens.state``; a later call goes on where this ended.
"""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import compiled, inlined
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


@inlined
def take(u: int, units: Int64, ring: Int64, ends: Int64) -> None:
    """Beat TAKEN of unit ``u`` has been taken by all readers, the last one in cycle LATEST."""
    x, beat, slot, ring_at = units[u, LATEST], units[u, TAKEN], units[u, GET], units[u, RING_AT]
    if units[u, MOST] >= 0:
        entered = ring[ring_at + slot] - units[u, DELAY]
        while units[u, HELD] < beat and ring[ring_at + units[u, HELD_SLOT]] + 1 <= entered:
            units[u, HELD] += 1
            units[u, HELD_SLOT] += 1
            if units[u, HELD_SLOT] == units[u, RING_SIZE]:
                units[u, HELD_SLOT] = 0
        units[u, MOST] = max(units[u, MOST], beat - units[u, HELD] + 1)
    ring[ring_at + slot] = x
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
    u: int,
    units: Int64,
    ports: Int64,
    readers: Int64,
    ring: Int64,
    times: Int64,
    ends: Int64,
) -> bool:
    """Move beats of unit ``u`` into the buffers of its readers; whether any moved."""
    lo, hi = units[u, READ_LO], units[u, READ_HI]
    moved = False
    while units[u, TAKEN] < units[u, MADE]:
        beat = units[u, TAKEN]
        offer = max(ring[units[u, RING_AT] + units[u, GET]], units[u, LAST] + 1)
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
        take(u, units, ring, ends)
    return moved


@inlined
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
    phase = units[u, PHASE]
    start = units[u, NEXT]
    if units[u, PACE]:
        start = max(start, units[u, MADE] * units[u, PACE] // frame_beats)
    if emits[units[u, EMIT_AT] + phase]:
        credit = units[u, MADE] - units[u, QUEUE]
        if credit >= units[u, TAKEN]:
            return -1
        if credit >= 0:
            slot = units[u, PUT] - units[u, QUEUE]
            if slot < 0:
                slot += units[u, RING_SIZE]
            start = max(start, ring[units[u, RING_AT] + slot] + 1)
    for q in range(units[u, PORT_LO], units[u, PORT_HI]):
        beats = ports[q, BASE] + counts[ports[q, NEED_AT] + phase]
        if ports[q, CAPACITY] > 0:
            if ports[q, ARRIVED] < beats:
                return -1
            if beats > 0:
                start = max(
                    start, times[ports[q, TIME_AT] + ((beats - 1) & ports[q, TIME_MASK])] + 1
                )
        elif ports[q, ARRIVED] < beats:
            source = ports[q, SOURCE]
            if (
                units[source, TAKEN] < ports[q, ARRIVED]
                or units[source, MADE] == units[source, TAKEN]
            ):
                return -1
            offer = max(ring[units[source, RING_AT] + units[source, GET]], units[source, LAST] + 1)
            start = max(start, offer)
    return int(start)


@inlined
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
    phase = units[u, PHASE]
    end = start + units[u, CYCLES]
    last = phase + 1 == units[u, STEPS]
    for q in range(units[u, PORT_LO], units[u, PORT_HI]):
        if ports[q, CAPACITY] > 0:
            limit = ports[q, BASE] + counts[ports[q, FREE_AT] + phase] + ports[q, CAPACITY]
            for beat in range(ports[q, LIMIT], limit):
                times[ports[q, SPACE_AT] + (beat & ports[q, SPACE_MASK])] = end
            ports[q, LIMIT] = limit
        elif ports[q, ARRIVED] < ports[q, BASE] + counts[ports[q, NEED_AT] + phase]:
            if ports[q, ARRIVED] == 0:
                ports[q, FIRST] = start
            ports[q, ARRIVED] += 1
            source = ports[q, SOURCE]
            units[source, TOOK] += 1
            units[source, LATEST] = max(units[source, LATEST], start)
            if units[source, TOOK] == units[source, READ_HI] - units[source, READ_LO]:
                take(ports[q, SOURCE], units, ring, ends)
        if last:
            ports[q, BASE] += ports[q, BEATS]
    if emits[units[u, EMIT_AT] + phase]:
        ring[units[u, RING_AT] + units[u, PUT]] = start + units[u, DELAY]
        units[u, PUT] = 0 if units[u, PUT] + 1 == units[u, RING_SIZE] else units[u, PUT] + 1
        units[u, MADE] += 1
    units[u, NEXT] = end
    units[u, PHASE] = 0 if last else phase + 1
    units[u, LEFT] -= 1


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
        woken = False
        while True:
            for q in range(units[u, PORT_LO], units[u, PORT_HI]):
                source = ports[q, SOURCE]
                before = units[source, TAKEN]
                moved = move(source, units, ports, readers, ring, times, ends)
                if not moved and units[source, TAKEN] == before:
                    continue
                size = wake(source, u, units, ports, readers, line, waiting, head, size)
            done = 0
            while units[u, LEFT] > 0:
                start = next_start(u, units[u, FRAME], units, ports, counts, emits, ring, times)
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
            for q in range(units[u, PORT_LO], units[u, PORT_HI]):
                size = wake(ports[q, SOURCE], u, units, ports, readers, line, waiting, head, size)

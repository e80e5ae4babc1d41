# SPDX-License-Identifier: Apache-2.0
"""The recurrences of ``hw.process``, every event computed once, compiled.

A worklist of units: a unit does all steps whose beats are known, moves what it reads and writes,
and wakes those whom that may help. Cycles are remembered only until the last event that asks for
them, in rings. The tables are those of ``hw.tokens.state``; a later call goes on where this ended.
"""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import compiled, inlined
from hw.tokens.moves import flow, lasting_offer, made_of, take
from hw.tokens.runs import run_steps
from hw.tokens.state import (
    ARRIVED,
    BASE,
    BEATS,
    CAPACITY,
    CYCLES,
    DELAY,
    EMIT_AT,
    FIRST,
    FREE_AT,
    LATEST,
    LEFT,
    LIMIT,
    MADE,
    NEED_AT,
    NEXT,
    PASSIVE,
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
def next_start(
    u: int, units: Int64, ports: Int64, counts: Int32, emits: Bools, ring: Int64, times: Int64
) -> int:
    """Return the cycle in which the next step of unit ``u`` starts; -1: not known yet."""
    phase = units[u, PHASE]
    start = units[u, NEXT]
    if emits[units[u, EMIT_AT] + phase]:
        credit = units[u, MADE] - units[u, QUEUE]
        if credit >= units[u, TAKEN]:
            return -1
        if credit >= 0:
            slot = units[u, PUT]  # the ring has as many slots as there are credits
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
            taken = units[source, TAKEN]
            if taken < ports[q, ARRIVED] or made_of(source, units, ports) == taken:
                return -1
            start = max(start, lasting_offer(source, units, ports, ring, times))
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
                take(ports[q, SOURCE], units, ports, ring, times, ends)
        if last:
            ports[q, BASE] += ports[q, BEATS]
    if emits[units[u, EMIT_AT] + phase]:
        ring[units[u, RING_AT] + units[u, PUT]] = start + units[u, DELAY]
        units[u, PUT] = 0 if units[u, PUT] + 1 == units[u, RING_SIZE] else units[u, PUT] + 1
        units[u, MADE] += 1
    units[u, NEXT] = end
    units[u, PHASE] = 0 if last else phase + 1
    units[u, LEFT] -= 1


@inlined
def go(
    u: int,
    units: Int64,
    ports: Int64,
    counts: Int32,
    emits: Bools,
    ring: Int64,
    times: Int64,
    ends: Int64,
) -> bool:
    """Do the steps of unit ``u`` whose beats are known; whether there were any."""
    before = units[u, LEFT]
    lo, hi = units[u, PORT_LO], units[u, PORT_HI]
    if hi == lo or (hi == lo + 1 and ports[lo, CAPACITY] > 0):
        run_steps(u, units, ports, counts, emits, ring, times)
    else:
        while units[u, LEFT] > 0:
            start = next_start(u, units, ports, counts, emits, ring, times)
            if start < 0:
                break
            step(u, start, units, ports, counts, emits, ring, times, ends)
    return bool(units[u, LEFT] < before)


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
    line: Int64,
    waiting: Bools,
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
        line: int64 [units], written: units that may do something, a queue in a ring.
        waiting: bool [units], written: whether a unit is in the line.
    """
    total = units.shape[0]
    head = size = 0
    for u in range(total):
        if not units[u, PASSIVE]:
            line[size] = u
            waiting[u] = True
            size += 1
    while size:
        u = line[head]
        head = head + 1 if head + 1 < total else 0
        size -= 1
        waiting[u] = False
        woken = False
        while True:
            for q in range(units[u, PORT_LO], units[u, PORT_HI]):
                source = ports[q, SOURCE]
                if units[source, PASSIVE]:
                    source = ports[units[source, PORT_LO], SOURCE]
                if flow(source, units, ports, readers, ring, times, ends):
                    size = wake(source, u, units, ports, readers, line, waiting, head, size)
            if not go(u, units, ports, counts, emits, ring, times, ends):
                break
            woken = True
            flow(u, units, ports, readers, ring, times, ends)
        if woken:
            size = wake(u, u, units, ports, readers, line, waiting, head, size)
            for q in range(units[u, PORT_LO], units[u, PORT_HI]):
                source = ports[q, SOURCE]
                if units[source, PASSIVE]:
                    source = ports[units[source, PORT_LO], SOURCE]
                size = wake(source, u, units, ports, readers, line, waiting, head, size)
    for u in range(total):
        if units[u, PASSIVE]:  # as one that takes a step per beat would stand
            q = units[u, PORT_LO]
            units[u, MADE] = ports[q, BASE] = ports[q, ARRIVED]

# SPDX-License-Identifier: Apache-2.0
"""Frames through a network without time, compiled: who can go on, goes on, until none can.

What stands at the end depends on no order (a Kahn network), so a deadlock here is one at any speed.
A FIFO is more places before its port, and grows where the network has stopped: everything done
before would have been possible with the larger FIFO too, so the run goes on from where it is.
"""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import compiled, inlined
from hw.tokens.state import (
    ARRIVED,
    BASE,
    BEATS,
    CAPACITY,
    EDGE,
    EMIT_AT,
    FOR_SPACE,
    FREE_AT,
    LEFT,
    LIMIT,
    MADE,
    NEED_AT,
    PHASE,
    PORT_HI,
    PORT_LO,
    QUEUE,
    READ_HI,
    READ_LO,
    SOURCE,
    STEPS,
    TAKEN,
)
from hw.tokens.wait_kernel import wait_cycle
from hw.tokens.worklist import wake

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@inlined
def spread(u: int, units: Int64, ports: Int64, readers: Int64) -> bool:
    """Move the beats of unit ``u`` as far as its readers have places; whether any moved."""
    made, lo, hi = units[u, MADE], units[u, READ_LO], units[u, READ_HI]
    least = made
    for k in range(lo, hi):
        q = readers[k]
        least = min(least, ports[q, LIMIT] if ports[q, CAPACITY] > 0 else ports[q, ARRIVED])
    moved = bool(least > units[u, TAKEN])
    units[u, TAKEN] = least
    for k in range(lo, hi):
        q = readers[k]
        if ports[q, CAPACITY] > 0:
            # A branch of a fork is at most one beat ahead of the others.
            arrived = min(least + 1, ports[q, LIMIT], made)
            if arrived > ports[q, ARRIVED]:
                ports[q, ARRIVED] = arrived
                moved = True
    return moved


@inlined
def step(u: int, units: Int64, ports: Int64, readers: Int64, counts: Int32, emits: Bools) -> bool:
    """Do the next step of unit ``u``, or return false if it has to wait."""
    phase = units[u, PHASE]
    if emits[units[u, EMIT_AT] + phase] and units[u, MADE] - units[u, TAKEN] >= units[u, QUEUE]:
        return False
    for q in range(units[u, PORT_LO], units[u, PORT_HI]):
        if ports[q, ARRIVED] < ports[q, BASE] + counts[ports[q, NEED_AT] + phase]:
            if ports[q, CAPACITY] > 0:
                return False
            source = ports[q, SOURCE]
            if (
                units[source, TAKEN] < ports[q, ARRIVED]
                or units[source, MADE] == units[source, TAKEN]
            ):
                return False
    last = phase + 1 == units[u, STEPS]
    for q in range(units[u, PORT_LO], units[u, PORT_HI]):
        if ports[q, CAPACITY] > 0:
            ports[q, LIMIT] = (
                ports[q, BASE] + counts[ports[q, FREE_AT] + phase] + ports[q, CAPACITY]
            )
        elif ports[q, ARRIVED] < ports[q, BASE] + counts[ports[q, NEED_AT] + phase]:
            ports[q, ARRIVED] += 1
            spread(ports[q, SOURCE], units, ports, readers)
        if last:
            ports[q, BASE] += ports[q, BEATS]
    if emits[units[u, EMIT_AT] + phase]:
        units[u, MADE] += 1
    units[u, PHASE] = 0 if last else phase + 1
    units[u, LEFT] -= 1
    return True


@compiled
def go(
    line: Int64,
    waiting: Bools,
    size: int,
    units: Int64,
    ports: Int64,
    readers: Int64,
    counts: Int32,
    emits: Bools,
) -> None:
    """Let the first ``size`` units of ``line``, and all that they help, go on until none can."""
    total = line.shape[0]
    head = 0
    while size:
        u = line[head]
        head = head + 1 if head + 1 < total else 0
        size -= 1
        waiting[u] = False
        stepped = False
        while True:
            for q in range(units[u, PORT_LO], units[u, PORT_HI]):
                if spread(ports[q, SOURCE], units, ports, readers):
                    size = wake(
                        ports[q, SOURCE], u, units, ports, readers, line, waiting, head, size
                    )
            before = units[u, LEFT]
            while units[u, LEFT] > 0 and step(u, units, ports, readers, counts, emits):
                pass
            if units[u, LEFT] == before:
                break
            stepped = True
            spread(u, units, ports, readers)
        if stepped:
            size = wake(u, u, units, ports, readers, line, waiting, head, size)
            for q in range(units[u, PORT_LO], units[u, PORT_HI]):
                size = wake(ports[q, SOURCE], u, units, ports, readers, line, waiting, head, size)


@compiled
def run(
    units: Int64,
    ports: Int64,
    readers: Int64,
    counts: Int32,
    emits: Bools,
    group_of_edge: Int64,
    cost: Int64,
    grown: Int64,
    line: Int64,
    waiting: Bools,
    path: Int64,
    seen: Int64,
) -> bool:
    """Do every step that is LEFT and possible; grow FIFOs where nothing else helps.

    Args:
        units: int64 [units, UNIT_COLUMNS].
        ports: int64 [ports, PORT_COLUMNS].
        readers: int64: ports that read a unit's output, unit after unit.
        counts: int32: token counts of the steps.
        emits: bool: flags of the steps.
        group_of_edge: int64 [edges]: edges of a group have one depth.
        cost: int64 [groups]: of the FIFOs in a cycle of waiting units the cheapest grows;
            negative: a FIFO that may not.
        grown: int64 [groups], written: beats by which the FIFOs have grown.
        line: int64 [units], written: units that may do something, a queue in a ring.
        waiting: bool [units], written: whether a unit is in the line.
        path: int64 [2 * units + 2, 3], written: a cycle of waiting units.
        seen: int64 [units], written: where a unit stands in ``path``.

    Returns:
        Whether all is done.
    """
    total = units.shape[0]
    for u in range(total):
        line[u] = u
        waiting[u] = True
    go(line, waiting, total, units, ports, readers, counts, emits)
    while True:
        begin, end = wait_cycle(units, ports, readers, counts, emits, path, seen)
        if begin == end:
            return True
        chosen = -1
        for k in range(begin, end):
            if path[k, 1] == FOR_SPACE and ports[path[k, 2], EDGE] >= 0:
                group = group_of_edge[ports[path[k, 2], EDGE]]
                if cost[group] >= 0 and (chosen < 0 or cost[group] < cost[chosen]):
                    chosen = group
        if chosen < 0:
            return False
        grown[chosen] += 1
        size = 0
        for q in range(ports.shape[0]):
            if ports[q, EDGE] >= 0 and group_of_edge[ports[q, EDGE]] == chosen:
                if ports[q, CAPACITY] == 0:
                    ports[q, LIMIT] = ports[q, ARRIVED]
                ports[q, CAPACITY] += 1
                ports[q, LIMIT] += 1
                if spread(ports[q, SOURCE], units, ports, readers):
                    size = wake(ports[q, SOURCE], -1, units, ports, readers, line, waiting, 0, size)
        go(line, waiting, size, units, ports, readers, counts, emits)

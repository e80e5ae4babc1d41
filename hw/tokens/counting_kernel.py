# SPDX-License-Identifier: Apache-2.0
"""Frames through a network without time, compiled: who can go on, goes on, until none can.

What stands at the end depends on no order (a Kahn network), so a deadlock here is one at any speed.
A FIFO is more places before its port, and grows where the network has stopped: everything done
before would have been possible with the larger FIFO too, so the run goes on from where it is.
"""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import compiled
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


@compiled
def spread(u: int, units: Int64, ports: Int64, readers: Int64) -> bool:
    """Move the beats of unit ``u`` as far as its readers have places; whether any moved."""
    row = units[u]
    made, lo, hi = row[MADE], row[READ_LO], row[READ_HI]
    least = made
    for k in range(lo, hi):
        port = ports[readers[k]]
        least = min(least, port[LIMIT] if port[CAPACITY] > 0 else port[ARRIVED])
    moved = bool(least > row[TAKEN])
    row[TAKEN] = least
    for k in range(lo, hi):
        port = ports[readers[k]]
        if port[CAPACITY] > 0:
            # A branch of a fork is at most one beat ahead of the others.
            arrived = min(least + 1, port[LIMIT], made)
            if arrived > port[ARRIVED]:
                port[ARRIVED] = arrived
                moved = True
    return moved


@compiled
def step(u: int, units: Int64, ports: Int64, readers: Int64, counts: Int32, emits: Bools) -> bool:
    """Do the next step of unit ``u``, or return false if it has to wait."""
    row = units[u]
    phase = row[PHASE]
    if emits[row[EMIT_AT] + phase] and row[MADE] - row[TAKEN] >= row[QUEUE]:
        return False
    for q in range(row[PORT_LO], row[PORT_HI]):
        port = ports[q]
        if port[ARRIVED] < port[BASE] + counts[port[NEED_AT] + phase]:
            if port[CAPACITY] > 0:
                return False
            source = units[port[SOURCE]]
            if source[TAKEN] < port[ARRIVED] or source[MADE] == source[TAKEN]:
                return False
    last = phase + 1 == row[STEPS]
    for q in range(row[PORT_LO], row[PORT_HI]):
        port = ports[q]
        if port[CAPACITY] > 0:
            port[LIMIT] = port[BASE] + counts[port[FREE_AT] + phase] + port[CAPACITY]
        elif port[ARRIVED] < port[BASE] + counts[port[NEED_AT] + phase]:
            port[ARRIVED] += 1
            spread(port[SOURCE], units, ports, readers)
        if last:
            port[BASE] += port[BEATS]
    if emits[row[EMIT_AT] + phase]:
        row[MADE] += 1
    row[PHASE] = 0 if last else phase + 1
    row[LEFT] -= 1
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
        row = units[u]
        stepped = False
        while True:
            for q in range(row[PORT_LO], row[PORT_HI]):
                if spread(ports[q, SOURCE], units, ports, readers):
                    size = wake(
                        ports[q, SOURCE], u, units, ports, readers, line, waiting, head, size
                    )
            before = row[LEFT]
            while row[LEFT] > 0 and step(u, units, ports, readers, counts, emits):
                pass
            if row[LEFT] == before:
                break
            stepped = True
            spread(u, units, ports, readers)
        if stepped:
            size = wake(u, u, units, ports, readers, line, waiting, head, size)
            for q in range(row[PORT_LO], row[PORT_HI]):
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

    Returns:
        Whether all is done.
    """
    total = units.shape[0]
    line = np.arange(total)
    waiting = np.ones(total, np.bool_)
    path = np.zeros((2 * total + 2, 3), np.int64)
    go(line, waiting, total, units, ports, readers, counts, emits)
    while True:
        begin, end = wait_cycle(units, ports, readers, counts, emits, path)
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
            port = ports[q]
            if port[EDGE] >= 0 and group_of_edge[port[EDGE]] == chosen:
                if port[CAPACITY] == 0:
                    port[LIMIT] = port[ARRIVED]
                port[CAPACITY] += 1
                port[LIMIT] += 1
                if spread(port[SOURCE], units, ports, readers):
                    size = wake(port[SOURCE], -1, units, ports, readers, line, waiting, 0, size)
        go(line, waiting, size, units, ports, readers, counts, emits)

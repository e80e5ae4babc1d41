# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom in a network that has stopped, compiled.

A unit that has steps left and does none waits for another that does none either; so following any
of its reasons leads into a cycle. In a network without loops a cycle waits for space at least once.
"""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import compiled
from hw.tokens.state import (
    ARRIVED,
    BASE,
    EMIT_AT,
    FOR_DATA,
    FOR_SPACE,
    LEFT,
    MADE,
    NEED_AT,
    PHASE,
    PORT_HI,
    PORT_LO,
    QUEUE,
    READ_HI,
    READ_LO,
    SOURCE,
    TAKEN,
    UNIT,
)

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@compiled
def lagging(u: int, units: Int64, ports: Int64, readers: Int64) -> int:
    """Return the first reader of unit ``u`` that has not taken the beat offered."""
    for k in range(units[u, READ_LO], units[u, READ_HI]):
        if ports[readers[k], ARRIVED] == units[u, TAKEN]:
            return int(readers[k])
    return -1


@compiled
def wait_cycle(
    units: Int64,
    ports: Int64,
    readers: Int64,
    counts: Int32,
    emits: Bools,
    path: Int64,
    seen: Int64,
) -> tuple[int, int]:
    """Find a cycle of waiting units.

    Args:
        units: int64 [units, UNIT_COLUMNS] of a network that has stopped.
        ports: int64 [ports, PORT_COLUMNS].
        readers: int64: ports that read a unit's output, unit after unit.
        counts: int32: token counts of the steps.
        emits: bool: flags of the steps.
        path: int64 [>= 2 * units + 2, 3], written: waiting unit, reason, port where it waits.
        seen: int64 [units], written: row of a unit in ``path``; -1: none.

    Returns:
        First row of the cycle in ``path`` and the row after its last; (0, 0) if all is done.
    """
    total = units.shape[0]
    u = -1
    for index in range(total):
        if units[index, LEFT] > 0:
            u = index
            break
    if u < 0:
        return 0, 0
    seen[:] = -1
    size = 0
    while seen[u] < 0:
        seen[u] = size
        path[size, 0] = u
        if (
            emits[units[u, EMIT_AT] + units[u, PHASE]]
            and units[u, MADE] - units[u, TAKEN] >= units[u, QUEUE]
        ):
            q = lagging(u, units, ports, readers)
            path[size, 1], path[size, 2] = FOR_SPACE, q
            size += 1
            u = ports[q, UNIT]
            continue
        for q in range(units[u, PORT_LO], units[u, PORT_HI]):
            if ports[q, ARRIVED] >= ports[q, BASE] + counts[ports[q, NEED_AT] + units[u, PHASE]]:
                continue
            source = ports[q, SOURCE]
            if ports[q, ARRIVED] == units[source, TAKEN] < units[source, MADE]:
                continue  # a direct port whose beat is there
            path[size, 0], path[size, 1], path[size, 2] = u, FOR_DATA, q
            size += 1
            u = source
            if units[source, TAKEN] < units[source, MADE]:
                # The beat exists, but another branch of the fork has not taken the one before.
                other = lagging(source, units, ports, readers)
                path[size, 0], path[size, 1], path[size, 2] = source, FOR_SPACE, other
                size += 1
                u = ports[other, UNIT]
            break
    return seen[u], size

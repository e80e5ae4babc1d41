# SPDX-License-Identifier: Apache-2.0
"""The line of units that may be able to do something, compiled: a queue in a ring, each once."""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import inlined
from hw.tokens.state import PASSIVE, READ_HI, READ_LO, UNIT

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@inlined
def wake(
    u: int,
    awake: int,
    units: Int64,
    ports: Int64,
    readers: Int64,
    line: Int64,
    waiting: Bools,
    head: int,
    size: int,
) -> int:
    """Put unit ``u`` and its readers, but not ``awake``, into the line; return its new size."""
    total = line.shape[0]
    if u != awake and not waiting[u]:
        place = head + size
        line[place - total if place >= total else place] = u
        waiting[u] = True
        size += 1
    for k in range(units[u, READ_LO], units[u, READ_HI]):
        reader = ports[readers[k], UNIT]
        if units[reader, PASSIVE]:  # a FIFO does nothing by itself: the unit behind it
            reader = ports[readers[units[reader, READ_LO]], UNIT]
        if reader != awake and not waiting[reader]:
            place = head + size
            line[place - total if place >= total else place] = reader
            waiting[reader] = True
            size += 1
    return size

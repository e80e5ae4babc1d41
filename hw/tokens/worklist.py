# SPDX-License-Identifier: Apache-2.0
"""The line of units that may be able to do something, compiled: a queue in a ring, each once."""

import numpy as np
import numpy.typing as npt

from hw.tokens.compiled import inlined
from hw.tokens.state import READ_HI, READ_LO, UNIT

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
        line[(head + size) % total] = u
        waiting[u] = True
        size += 1
    for k in range(units[u, READ_LO], units[u, READ_HI]):
        reader = ports[readers[k], UNIT]
        if reader != awake and not waiting[reader]:
            line[(head + size) % total] = reader
            waiting[reader] = True
            size += 1
    return size

# SPDX-License-Identifier: Apache-2.0
"""Integer decode tables: the levels of every scheme in units of one integer step.

A table is ascending, so that the nearest of its levels follows from thresholds; equal entries are
codes that a scheme wastes. Entries stay within the contract's limit for the width of the codes.
"""

import numpy as np
import numpy.typing as npt

from quant.errors import QuantizationError
from quant.ptq.schemes.piecewise import Form, stored_bits
from quant.weights import ENTRY_LIMIT, MAX_TABLES

Tables = npt.NDArray[np.int64]

# E2M1 of OCP Microscaling Formats v1.0, times two.
E2M1_MAGNITUDES = (1, 2, 3, 4, 6, 8, 12)
# Levels that the code left over by -0 may take; 0 is a second zero.
SPARES = (0, 16, -16, 10, -10, 5, -5)
# Steps of centre and tail of PWLQ-16 without duplicates.
DEDUPLICATED_STEPS = ((1, 1), (2, 3), (1, 2), (2, 5), (1, 3), (1, 4), (1, 5), (1, 6))


def even_tables(bits: int, zeros: npt.NDArray[np.int64]) -> Tables:
    """Return ``code - zero`` of each zero point, int64 [T, 2**bits]."""
    return np.asarray(np.arange(1 << bits)[None, :] - zeros[:, None])


def zero_step(bits: int) -> int:
    """Return the distance of affine zero points: a layer has at most 16 decode tables."""
    return max(1, (1 << bits) // MAX_TABLES)


def pwlq_tables(region_bits: int, form: Form) -> tuple[Tables, npt.NDArray[np.int64]]:
    """Return the tables of PWLQ with one breakpoint.

    Args:
        region_bits: Bits b of a region, with the sign; 2 to 7.
        form: Paper: centre step k1 (1 or 2), breakpoint k1*(2**(b-1) - 1). Code: centre step 2,
            breakpoint 2**b - 1, the code -2**(b-1) of the centre is used. Overlap: both grids are
            two's complement, centre step 2, breakpoint 2**b - 1.

    Returns:
        int64 [T, 2**(b+1)] with tail steps from short to long, and the breakpoint of each, [T].
    """
    limit = ENTRY_LIMIT[stored_bits(region_bits, 1)]
    last = (1 << (region_bits - 1)) - 1
    made: list[tuple[float, int, npt.NDArray[np.int64]]] = []
    for centre in (2, 1) if form == "paper" else (2,):
        point = centre * last if form == "paper" else 2 * last + 1
        first, end = (3, limit // (last + 1)) if form == "overlap" else (1, (limit - point) // last)
        for tail in range(first, end + 1):
            ratio = tail / centre
            if len(made) < MAX_TABLES and all(ratio != known for known, _, _ in made):
                made.append((ratio, point, _pwlq_table(centre, point, tail, last, form)))
    made.sort(key=lambda entry: entry[0])
    tables = np.stack([table for _, _, table in made])
    return tables, np.array([point for _, point, _ in made], np.int64)


def _pwlq_table(centre: int, point: int, tail: int, last: int, form: Form) -> npt.NDArray[np.int64]:
    steps = np.arange(last + 1)
    if form == "overlap":
        both = np.arange(-last - 1, last + 1)
        return np.sort(np.concatenate([centre * both, tail * both]))
    outer = point + tail * steps
    inner = centre * steps
    # The code form's centre is two's complement: it has one level more instead of a second zero.
    below = -centre * (steps + 1) if form == "code" else -inner
    return np.sort(np.concatenate([-outer, below, inner, outer]))


def several_tables(region_bits: int, shares: npt.NDArray[np.float64]) -> Tables:
    """Return the tables of PWLQ with several breakpoints, paper's form.

    Args:
        region_bits: Bits of a region, with the sign.
        shares: float64 [T, n], breakpoints over m of each table, ascending; T <= 16.

    Returns:
        int64 [T, 2**bits]; codes that no region needs repeat the largest entry.
    """
    bits = stored_bits(region_bits, shares.shape[1])
    count = 1 << (region_bits - 1)
    room = ENTRY_LIMIT[bits] // (count - 1)
    ends = np.concatenate([np.zeros((len(shares), 1)), shares, np.ones((len(shares), 1))], axis=1)
    steps = np.maximum(1, np.floor(np.diff(ends, axis=1) * room).astype(np.int64))
    if room < steps.shape[1]:
        raise QuantizationError(
            f"{shares.shape[1]} breakpoints of {region_bits}-bit regions do not fit entries up to "
            f"{ENTRY_LIMIT[bits]}; use fewer breakpoints or shorter regions"
        )
    # Narrow regions were widened to one step: the widest one gives way.
    excess = np.maximum(steps.sum(axis=1) - room, 0)
    steps[np.arange(len(steps)), steps.argmax(axis=1)] -= excess
    starts = np.cumsum(steps, axis=1) * (count - 1)
    starts = np.concatenate([np.zeros((len(shares), 1), np.int64), starts[:, :-1]], axis=1)
    regions = starts[:, :, None] + steps[:, :, None] * np.arange(count)
    magnitudes = regions.reshape(len(shares), -1)
    spare = (1 << bits) - 2 * magnitudes.shape[1]
    filled = np.repeat(magnitudes[:, -1:], spare, axis=1)
    return np.sort(np.concatenate([-magnitudes, magnitudes, filled], axis=1), axis=1)


def deduplicated_tables() -> Tables:
    """Return PWLQ-16 without duplicates: centre {-3..3}*k1, tails 3*k1 + k2*{1..4}.

    Its 15 values leave a code: it continues the tail on one side, one table for each.
    """
    tables = []
    for centre, tail in DEDUPLICATED_STEPS:
        inner = centre * np.arange(4)
        outer = inner[-1] + tail * np.arange(1, 5)
        values = np.concatenate([-outer[::-1], -inner[:0:-1], inner, outer])
        fifth = min(int(outer[-1]) + tail, ENTRY_LIMIT[4])
        tables += [np.append(values, fifth), np.append(-fifth, values)]
    return np.stack(tables)


def e2m1_tables(spare: bool) -> Tables:
    """Return E2M1 as integers {0, 1, 2, 3, 4, 6, 8, 12} of both signs.

    Args:
        spare: Whether the sixteenth code may be a level of its own, one table per choice.
    """
    magnitudes = np.array(E2M1_MAGNITUDES)
    both = np.concatenate([-magnitudes, [0], magnitudes])
    return np.stack([np.sort(np.append(both, extra)) for extra in (SPARES if spare else (0,))])

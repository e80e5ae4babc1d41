# SPDX-License-Identifier: Apache-2.0
"""Free codebooks: levels where the weights are, first real ones per group, then shared integers.

A layer stores at most 16 decode tables, so groups of like shape share one: tables and their readers
are found in turn, as in k-means, on squared errors that count with the importance of the inputs.

Source: Lloyd, Least squares quantization in PCM, IEEE Trans. Information Theory 28 (1982).
"""

import numpy as np
import numpy.typing as npt

from quant.ptq.codebooks import integer_levels
from quant.ptq.schemes.integers import Fit, Integers, best_fit
from quant.ptq.schemes.levels import Levels, SortedGroups
from quant.weights import ENTRY_LIMIT, MAX_TABLES

Floats = npt.NDArray[np.float64]

ITERATIONS = 40
ROUNDS = 6
# Steps to try around the one that gives a group the table's own deviation.
STRETCHES = np.linspace(0.7, 1.3, 13)


def free_levels(groups: SortedGroups, bits: int) -> Levels:
    """Return levels of (locally) least squared error of each group.

    Args:
        groups: The sorted weights, G groups of n.
        bits: Bits of a code.
    """
    count = 1 << bits
    members = groups.rows.shape[1]
    shares = (np.arange(count) + 0.5) / count
    places = np.minimum((shares * members).astype(np.int64), members - 1)
    low, high = groups.rows[:, :1], groups.rows[:, -1:]
    # Half way between equal shares of the weights and equal steps: tails keep levels.
    values = (groups.rows[:, places] + low + (high - low) * shares) / 2.0
    for _ in range(ITERATIONS):
        weight, first, _second = groups.cells(Levels.nearest(values).thresholds)
        means = np.divide(first, weight, out=values.copy(), where=weight > 0.0)
        # An empty cell keeps its level, and must not fall behind its neighbour's mean.
        values = np.maximum.accumulate(means, axis=1)
    return Levels.nearest(values)


def shared_tables(groups: SortedGroups, bits: int) -> tuple[Integers, Fit]:
    """Return integer tables that the groups share, and the fit of each group.

    Args:
        groups: The sorted weights.
        bits: Bits of a code.

    Returns:
        int64 [T, 2**bits] ascending, each with a 0, T <= 16; table and step of each group.
    """
    deviation = np.sqrt(np.square(groups.rows).mean(axis=1))
    deviation = np.where(deviation > 0.0, deviation, np.finfo(np.float32).tiny)
    shapes = free_levels(groups, bits).values / deviation[:, None]
    # Seeds from narrow to wide shapes.
    order = np.argsort(np.ptp(shapes, axis=1), kind="stable")
    count = min(MAX_TABLES, len(order))
    seeds = order[((np.arange(count) + 0.5) * len(order) / count).astype(np.int64)]
    real = shapes[seeds]
    best: tuple[Integers, Fit] | None = None
    for _ in range(ROUNDS):
        tables, step = _integers(real, bits)
        fit = best_fit(
            groups,
            tables,
            (
                (np.full(len(deviation), t), deviation * step[t] * stretch)
                for t in range(len(tables))
                for stretch in STRETCHES
            ),
        )
        if best is None or fit.error.sum() < best[1].error.sum():
            best = tables, fit
        real = _refined(groups, tables, fit, step, deviation)
    if best is None:
        raise ValueError("no round was made")
    return best


def _integers(real: Floats, bits: int) -> tuple[Integers, Floats]:
    """Return integer tables [T, L] of real shapes, and the real value of an integer step, [T]."""
    limit = ENTRY_LIMIT[bits]
    step = np.abs(real).max(axis=1) / limit
    step = np.where(step > 0.0, step, 1.0)
    rows = [integer_levels(row + limit, limit, 2 * limit) - limit for row in real / step[:, None]]
    return np.stack(rows), step


def _refined(
    groups: SortedGroups, tables: Integers, fit: Fit, step: Floats, deviation: Floats
) -> Floats:
    """Return each table's best real levels for the groups that chose it, in deviations."""
    weight, first, _second = groups.cells(fit.levels(tables).thresholds)
    # In units of a deviation, a group's levels are its table times its own stretch.
    stretch = fit.step / (deviation * step[fit.selector])
    scale = (deviation * stretch)[:, None]
    above, below = np.zeros(tables.shape), np.zeros(tables.shape)
    np.add.at(above, fit.selector, scale * first)
    np.add.at(below, fit.selector, scale * scale * weight)
    old = tables * step[:, None]
    means = np.divide(above, below, out=old.copy(), where=below > 0.0)
    return np.asarray(np.maximum.accumulate(means, axis=1))

# SPDX-License-Identifier: Apache-2.0
"""Folds of activations and weights for a packed core, extremes among them, and what they give."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.packed.core import PackedCore

IntArray = npt.NDArray[np.int64]

# Kinds of folds: random, the corners of the operands, corners mixed, nothing.
_MOODS = 6


@dataclass(frozen=True, eq=False)
class Stimulus:
    """Taps of the folds of one frame, in order.

    Attributes:
        acts: int64 [taps, pixels, simd], 0 .. 2**act_bits - 1.
        weights: int64 [taps, pe, simd, columns], signed.
        first: bool [taps], first tap of a fold.
        last: bool [taps], last tap of a fold.
        row: bool [taps], tap of a fold of a row's first group of columns.
    """

    acts: IntArray
    weights: IntArray
    first: npt.NDArray[np.bool_]
    last: npt.NDArray[np.bool_]
    row: npt.NDArray[np.bool_]


def random_stimulus(
    core: PackedCore,
    lengths: IntArray,
    rows: npt.NDArray[np.bool_],
    rng: np.random.Generator,
    limits: tuple[IntArray, IntArray],
) -> Stimulus:
    """Draw one frame.

    Args:
        core: The core.
        lengths: int64 [groups, folds], taps of every fold.
        rows: bool [groups], whether a group of columns begins a row; the first one does.
        rng: Source of every draw.
        limits: Smallest and largest weight of every column, int64 [columns] each.
    """
    taps = lengths.reshape(-1)
    fold = np.repeat(np.arange(len(taps)), taps)
    low, high = limits
    largest = 2**core.act_bits - 1
    shape = (len(fold), core.pe, core.simd, core.columns)
    weights = rng.integers(low, high + 1, shape)
    acts = rng.integers(0, largest + 1, (len(fold), core.pixels, core.simd))
    mood = rng.integers(0, _MOODS, len(taps))[fold]
    corner = np.where(rng.integers(0, 2, shape) == 1, high, low)
    for number, forced in ((1, low), (2, high), (3, corner)):
        weights = np.where((mood == number)[:, None, None, None], forced, weights)
    acts[(mood >= 1) & (mood <= 3)] = largest
    acts[mood == 4] = 0
    ends = np.cumsum(taps)
    first, last = np.zeros(len(fold), np.bool_), np.zeros(len(fold), np.bool_)
    first[ends - taps] = True
    last[ends - 1] = True
    return Stimulus(acts, weights, first, last, np.repeat(rows, lengths.shape[1])[fold])


def expected(core: PackedCore, given: Stimulus) -> IntArray:
    """Return the accumulators of every fold, int64 [folds, pixels, pe], in ``acc_bits`` signed.

    Results are windows that end in the group's columns. Sums of a fold's own columns and of the
    two columns before them are written out one by one.
    """
    starts = np.flatnonzero(given.first)
    pixels, columns = core.pixels, core.columns
    # Activation of column x through weight k reaches the window that ends columns - 1 - k later.
    reach = np.zeros((len(starts), pixels + columns - 1, core.pe), np.int64)
    for x in range(pixels):
        for k in range(columns):
            product = np.einsum("tps,ts->tp", given.weights[:, :, :, k], given.acts[:, x])
            reach[:, x + columns - 1 - k] += np.add.reduceat(product, starts)
    result = reach[:, :pixels].copy()
    row = given.row[starts]
    for group in range(core.folds, len(starts)):
        if not row[group] and columns > 1:
            result[group, : columns - 1] += reach[group - core.folds, pixels:]
    half = 1 << (core.acc_bits - 1)
    return (result + half) % (2 * half) - half

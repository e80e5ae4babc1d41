# SPDX-License-Identifier: Apache-2.0
"""From tables and real steps per group to stored weights ``M[g] * LUT[t[g]][code]``.

The real step of a group is the scale times its multiplier. Layer- and filter-wise the scale alone
is enough. Elsewhere the multiplier is an integer: C-shape-wise over a scale per filter, F-shape-
and channel-wise over one scale, because a filter's sum runs over their groups.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.ptq.schemes.grouping import Grouping
from quant.ptq.schemes.levels import Levels, SortedGroups
from quant.weights import Granularity, Scheme, Weights

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# With so many bits the multipliers cost next to nothing against real scales.
MULTIPLIER_BITS = {
    Granularity.LAYER: 0,
    Granularity.FILTER: 0,
    Granularity.CHANNEL: 8,
    Granularity.F_SHAPE: 8,
    Granularity.C_SHAPE: 6,
}


@dataclass(frozen=True, eq=False)
class Fit:
    """Table and real step of each group.

    Attributes:
        selector: int64 [G], table of each group.
        step: float64 [G], > 0, real value of one integer step.
        error: float64 [G], squared error of the weights with these.
    """

    selector: Integers
    step: Floats
    error: Floats

    def levels(self, tables: Integers) -> Levels:
        """Return the real levels of each group."""
        return Levels.nearest(tables[self.selector] * self.step[:, None])


def best_fit(
    groups: SortedGroups, tables: Integers, candidates: Iterable[tuple[Integers, Floats]]
) -> Fit:
    """Return the candidate of least error of each group; the first one of equals.

    Args:
        groups: The sorted weights.
        tables: int64 [T, L], ascending.
        candidates: Selectors [G] and steps [G] to try; at least one.
    """
    best: Fit | None = None
    for selector, step in candidates:
        error = groups.error(Levels.nearest(tables[selector] * step[:, None]))
        if best is None:
            best = Fit(selector, step, error)
            continue
        better = error < best.error
        best = Fit(
            np.where(better, selector, best.selector),
            np.where(better, step, best.step),
            np.where(better, error, best.error),
        )
    if best is None:
        raise ValueError("no candidate to fit")
    return best


def stored_weights(
    weight: npt.NDArray[np.float32],
    grouping: Grouping,
    bits: int,
    tables: Integers,
    fit: Fit,
    least_scale: Floats,
    scheme: Scheme,
    multiplier_bits: int | None = None,
) -> Weights:
    """Return the weights as integers, every code the nearest level of what is stored.

    Args:
        weight: float32 OIHW.
        grouping: Its groups.
        bits: Stored bits of a code.
        tables: int64 [T, 2**bits], ascending; those that no group uses are left out.
        fit: Table and step of each group.
        least_scale: float64 [F], > 0; a filter's scale is raised to at least this, so that the
            bias fits (vanishing weights then round to zero).
        scheme: Name of the encoding.
        multiplier_bits: Width of the group multipliers; that of the granularity when absent.
    """
    scale, multipliers = _scales(grouping, fit.step, least_scale, multiplier_bits)
    # The stored scale is float32: codes are made for the value that is stored.
    stored = scale.astype(np.float32)
    used, selectors = np.unique(fit.selector, return_inverse=True)
    tables = tables[used]
    units = weight.astype(np.float64) / stored.astype(np.float64)[:, None, None, None]
    entries = tables[selectors] * multipliers[:, None]
    levels = Levels.nearest(entries.astype(np.float64))
    codes = grouping.tensor(levels.codes(grouping.rows(units)))
    one_scale = bool(np.all(stored == stored[0]))
    return Weights(
        codes=codes,
        bits=bits,
        tables=tables.astype(np.int16),
        selectors=grouping.per_group(selectors.reshape(-1).astype(np.uint8)),
        multipliers=grouping.per_group(multipliers.astype(np.uint8)),
        scale=stored[:1] if one_scale else stored,
        granularity=grouping.granularity,
        scheme=scheme,
    )


def real_weights(weights: Weights) -> Floats:
    """Return the real weights of stored ones, float64 OIHW."""
    scale = np.broadcast_to(weights.scale.astype(np.float64), weights.shape[:1])
    return np.asarray(weights.integers() * scale[:, None, None, None])


def _scales(
    grouping: Grouping, step: Floats, least_scale: Floats, multiplier_bits: int | None
) -> tuple[Floats, Integers]:
    """Return a scale per filter, float64 [F], and a multiplier per group, int64 [G]."""
    filters = grouping.shape[0]
    granularity = grouping.granularity
    per_filter = granularity in (Granularity.FILTER, Granularity.C_SHAPE)
    steps = step.reshape(filters if per_filter else 1, -1)
    width = MULTIPLIER_BITS[granularity] if multiplier_bits is None else multiplier_bits
    largest = (1 << width) - 1
    if steps.shape[1] == 1 or largest < 1:
        scale = np.maximum(np.broadcast_to(steps[:, 0], filters), least_scale)
        return scale, np.ones(step.shape, np.int64)
    base = steps.max(axis=1) / largest
    if per_filter:
        # A raised scale of a filter leaves its multipliers less to do.
        base = np.maximum(base, least_scale)
    ratio = steps / base[:, None]
    multipliers = np.clip(np.floor(ratio + 0.5), 1, largest).astype(np.int64)
    return np.maximum(np.broadcast_to(base, filters), least_scale), multipliers.reshape(-1)

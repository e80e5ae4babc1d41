# SPDX-License-Identifier: Apache-2.0
"""Weights to codes: every scheme at every granularity, by rounding to nearest.

One way for all: rows of groups, candidate levels, the least error of each group. The result has two
forms: real levels per group (what the study measures) and the stored integers
``M[g] * LUT[t[g]][code]`` (what hardware runs), whose own error is that of tables and multipliers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

from quant.errors import QuantizationError
from quant.ptq.schemes.breakpoints import Method, closed_form, ends_of, searched, several
from quant.ptq.schemes.grouping import Grouping
from quant.ptq.schemes.integers import Fit, Integers, best_fit, real_weights, stored_weights
from quant.ptq.schemes.levels import Levels, SortedGroups
from quant.ptq.schemes.lloyd import free_levels, shared_tables
from quant.ptq.schemes.piecewise import Form, magnitude_levels, mirrored
from quant.ptq.schemes.tables import (
    deduplicated_tables,
    e2m1_tables,
    even_tables,
    pwlq_tables,
    several_tables,
    zero_step,
)
from quant.ptq.schemes.uniform import Clip, Even, grids, positive
from quant.weights import MAX_TABLES, Granularity, Scheme, Weights

Floats = npt.NDArray[np.float64]
SchemeName = Literal[
    "affine",
    "symmetric",
    "pwlq",
    "pwlq-code",
    "pwlq-overlap",
    "pwlq16",
    "e2m1",
    "e2m1-spare",
    "codebook",
]
# Stored bits of each scheme; PWLQ has a region bit on top of regions of at least 2 bits.
SCHEME_BITS: dict[SchemeName, tuple[int, int]] = {
    "affine": (2, 8),
    "symmetric": (2, 8),
    "pwlq": (3, 8),
    "pwlq-code": (3, 8),
    "pwlq-overlap": (3, 8),
    "pwlq16": (4, 4),
    "e2m1": (4, 4),
    "e2m1-spare": (4, 4),
    "codebook": (2, 5),
}
# The bundle's name of each scheme: it names the accounting.
STORED_SCHEME: dict[SchemeName, Scheme] = {
    "affine": "affine",
    "symmetric": "symmetric",
    "pwlq": "pwlq",
    "pwlq-code": "pwlq",
    "pwlq-overlap": "pwlq",
    "pwlq16": "codebook",
    "e2m1": "codebook",
    "e2m1-spare": "codebook",
    "codebook": "codebook",
}
FORMS: dict[SchemeName, Form] = {
    "pwlq": "paper",
    "pwlq-code": "code",
    "pwlq-overlap": "overlap",
}
TABLE_SHRINKS = np.linspace(1.0, 0.4, 13)
MAX_BREAKPOINTS = 3


@dataclass(frozen=True)
class Rounding:
    """How weights are rounded.

    Attributes:
        scheme: Which levels.
        bits: Stored bits per weight.
        clip: Full range of each group, or the shrunk one of least squared error.
        breakpoint_method: How PWLQ finds its breakpoint.
        breakpoints: Breakpoints of PWLQ, 1 to 3; several need 5 to 8 stored bits and are placed by
            dynamic programming.
        multiplier_bits: Width of the group multipliers; that of the granularity when absent.
    """

    scheme: SchemeName
    bits: int
    clip: Clip = "minmax"
    breakpoint_method: Method = "search"
    breakpoints: int = 1
    multiplier_bits: int | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            QuantizationError: The scheme does not have these bits or breakpoints.
        """
        low, high = SCHEME_BITS[self.scheme]
        if not low <= self.bits <= high:
            span = f"{low}" if low == high else f"{low} to {high}"
            raise QuantizationError(
                f"scheme '{self.scheme}' with {self.bits} stored bits is not available; it has "
                f"{span}"
            )
        if not 1 <= self.breakpoints <= MAX_BREAKPOINTS:
            raise QuantizationError(
                f"PWLQ with {self.breakpoints} breakpoints is not available; choose 1 to "
                f"{MAX_BREAKPOINTS}"
            )
        if self.breakpoints > 1 and (self.scheme != "pwlq" or self.region_bits < 3):
            raise QuantizationError(
                f"scheme '{self.scheme}' with {self.bits} stored bits has no {self.breakpoints} "
                "breakpoints; use 'pwlq' with 5 to 8 bits, or one breakpoint"
            )
        if self.multiplier_bits is not None and not 1 <= self.multiplier_bits <= 8:
            raise QuantizationError(
                f"group multipliers of {self.multiplier_bits} bits are not available; 1 to 8"
            )

    @property
    def region_bits(self) -> int:
        """Bits b of a PWLQ region, with the sign."""
        return self.bits - self.breakpoints.bit_length()


@dataclass(frozen=True, eq=False)
class Breakpoints:
    """Breakpoints of one layer as real numbers and as stored.

    Attributes:
        real: float64 [G, n], ascending, in units of the weights.
        tops: float64 [G], largest magnitude.
        integers: int64 [G], the first breakpoint's place in ``w_int``: multiplier times table.
        integer_tops: int64 [G], largest ``|w_int|`` that the table of the group can give.
    """

    real: Floats
    tops: Floats
    integers: Integers
    integer_tops: Integers


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """Weights of one layer after rounding, in both forms.

    Attributes:
        weights: The stored integers.
        grouping: Their groups.
        real_rows: float64 [G, n], every weight at its group's real level.
        breakpoints: Of PWLQ; ``None`` of other schemes.
    """

    weights: Weights
    grouping: Grouping
    real_rows: Floats
    breakpoints: Breakpoints | None

    @property
    def real(self) -> Floats:
        """Weights at the real levels of their groups, float64 OIHW: the study's fake quantizer."""
        return self.grouping.tensor(self.real_rows)

    @property
    def stored_real(self) -> Floats:
        """Real value of the stored integers, float64 OIHW."""
        return real_weights(self.weights)


class LayerGroups:
    """The weights of one layer in groups, with what several schemes ask of them."""

    def __init__(
        self,
        weight: npt.NDArray[np.float32],
        granularity: Granularity,
        importance: Floats | None = None,
    ) -> None:
        """Arrange the weights.

        Args:
            weight: float32 [F, C/groups, KH, KW].
            granularity: Which weights share a group.
            importance: float64 that broadcasts to the weights, >= 0: how much the squared error of
                a weight counts (mean square of its input); all the same without it.
        """
        f, c, kh, kw = weight.shape
        self.weight = weight
        self.grouping = Grouping(granularity, (f, c, kh, kw))
        self.rows = self.grouping.rows(weight)
        self._importance = importance

    @cached_property
    def sorted(self) -> SortedGroups:
        """The signed weights."""
        return SortedGroups(self.rows, self._importance_rows)

    @cached_property
    def magnitudes(self) -> SortedGroups:
        """Their magnitudes."""
        return SortedGroups(np.abs(self.rows), self._importance_rows)

    @cached_property
    def top(self) -> Floats:
        """Largest magnitude of each group, float64 [G], > 0."""
        return positive(np.abs(self.rows).max(axis=1))

    @cached_property
    def _importance_rows(self) -> Floats | None:
        if self._importance is None:
            return None
        whole = np.broadcast_to(self._importance, self.weight.shape)
        return self.grouping.rows(np.asarray(whole, np.float64))

    def quantize(self, rounding: Rounding, least_scale: Floats | None = None) -> QuantizedLayer:
        """Round the weights.

        Args:
            rounding: Scheme and bits.
            least_scale: float64 [F], > 0; a filter's scale is raised to at least this, so that the
                bias fits (vanishing weights then round to zero). Without it nothing is raised.
        """
        if least_scale is None:
            least_scale = np.full(self.weight.shape[0], float(np.finfo(np.float32).tiny))
        found = None
        match rounding.scheme:
            case "affine" | "symmetric":
                levels, tables, fit = self._even(rounding, rounding.scheme)
            case "pwlq" | "pwlq-code" | "pwlq-overlap":
                levels, tables, fit, points = self._piecewise(rounding)
                found = points
            case "pwlq16" | "e2m1" | "e2m1-spare":
                if rounding.scheme == "pwlq16":
                    tables = deduplicated_tables()
                else:
                    tables = e2m1_tables(spare=rounding.scheme == "e2m1-spare")
                fit = best_fit(self.sorted, tables, self._stretched(tables, rounding.clip))
                levels = fit.levels(tables)
            case "codebook":
                levels = free_levels(self.sorted, rounding.bits)
                tables, fit = shared_tables(self.sorted, rounding.bits)
            case _:
                assert_never(rounding.scheme)
        weights = stored_weights(
            self.weight,
            self.grouping,
            rounding.bits,
            tables,
            fit,
            least_scale,
            STORED_SCHEME[rounding.scheme],
            rounding.multiplier_bits,
        )
        points_found = None if found is None else self._breakpoints(found, weights, rounding)
        return QuantizedLayer(weights, self.grouping, levels.rounded(self.rows), points_found)

    def _even(self, rounding: Rounding, scheme: Even) -> tuple[Levels, Integers, Fit]:
        bits = rounding.bits
        step = zero_step(bits) if scheme == "affine" else 1
        zeros = np.arange(0, 1 << bits, step) if scheme == "affine" else np.array([1 << (bits - 1)])
        tables = even_tables(bits, zeros)

        def candidates(each: int) -> Iterator[tuple[Integers, Floats]]:
            for grid in grids(self.rows, bits, scheme, rounding.clip, each):
                zero = grid.zero.astype(np.int64)
                yield zero // each if scheme == "affine" else np.zeros_like(zero), grid.scale

        fit = self._fitted(tables, candidates(step), rounding.clip)
        if step == 1:
            return fit.levels(tables), tables, fit
        # Real levels are free in their zero points; the stored ones lie on 16 of them.
        every = even_tables(bits, np.arange(1 << bits))
        return self._fitted(every, candidates(1), rounding.clip).levels(every), tables, fit

    def _fitted(
        self, tables: Integers, candidates: Iterator[tuple[Integers, Floats]], clip: Clip
    ) -> Fit:
        if clip == "minmax":  # one candidate: nothing to compare, nothing to sort
            selector, step = next(candidates)
            return Fit(selector, step, np.zeros(len(step)))
        return best_fit(self.sorted, tables, candidates)

    def _stretched(self, tables: Integers, clip: Clip) -> Iterator[tuple[Integers, Floats]]:
        """Yield every table at the step that covers the range, and at shorter ones."""
        low = np.minimum(self.rows.min(axis=1), 0.0)
        high = np.maximum(self.rows.max(axis=1), 0.0)
        for number, table in enumerate(tables):
            step = positive(np.maximum(high / table[-1], low / table[0]))
            for shrink in TABLE_SHRINKS if clip == "mse" else TABLE_SHRINKS[:1]:
                yield np.full(len(step), number), step * shrink

    def _piecewise(self, rounding: Rounding) -> tuple[Levels, Integers, Fit, Floats]:
        bits, count = rounding.region_bits, rounding.breakpoints
        form = FORMS[rounding.scheme]
        top = self.top
        if count > 1:
            shares = several(self.magnitudes, top, count)
            tables, fit = self._several_fit(bits, shares, rounding.clip)
        else:
            if rounding.breakpoint_method == "search":
                share = searched(self.magnitudes, top, bits, form)
            else:
                share = closed_form(self.rows, rounding.breakpoint_method)
            shares = share[:, None]
            tables, points = pwlq_tables(bits, form)
            fit = best_fit(self.sorted, tables, self._near(tables, points, share, rounding.clip))
        levels = mirrored(magnitude_levels(ends_of(shares, top), bits, form))
        return levels, tables, fit, shares

    def _near(
        self, tables: Integers, points: Integers, share: Floats, clip: Clip
    ) -> Iterator[tuple[Integers, Floats]]:
        """Yield the two tables around the real breakpoint, each with its top and point kept."""
        tops = tables[:, -1].astype(np.float64)
        falling = points / tops
        after = np.searchsorted(-falling, -share)
        for number in (np.maximum(after - 1, 0), np.minimum(after, len(tables) - 1)):
            kept_top = self.top / tops[number]
            for shrink in TABLE_SHRINKS[:7] if clip == "mse" else TABLE_SHRINKS[:1]:
                yield number, kept_top * shrink
            yield number, self.top * share / points[number]

    def _several_fit(self, bits: int, shares: Floats, clip: Clip) -> tuple[Integers, Fit]:
        """Return tables for several breakpoints: groups of like breakpoints share one."""
        order = np.lexsort(shares.T)
        count = min(MAX_TABLES, len(order))
        seeds = order[((np.arange(count) + 0.5) * len(order) / count).astype(np.int64)]
        tables = np.unique(several_tables(bits, shares[seeds]), axis=0)
        return tables, best_fit(self.sorted, tables, self._stretched(tables, clip))

    def _breakpoints(self, shares: Floats, weights: Weights, rounding: Rounding) -> Breakpoints:
        tables = weights.tables.astype(np.int64)
        multipliers = weights.multipliers.reshape(-1).astype(np.int64)
        selectors = weights.selectors.reshape(-1)
        region = 1 << (rounding.region_bits - 1)
        if rounding.scheme == "pwlq-overlap":  # no level: half a step above the centre's last
            places = np.full(len(tables), 2 * region - 1)
        else:  # ascending: all negative levels, then the centre's, then the first of the tail
            places = tables[:, region * (rounding.breakpoints + 2)]
        return Breakpoints(
            shares * self.top[:, None],
            self.top,
            multipliers * places[selectors],
            multipliers * tables.max(axis=1)[selectors],
        )

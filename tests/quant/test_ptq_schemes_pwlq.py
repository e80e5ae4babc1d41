# SPDX-License-Identifier: Apache-2.0
"""PWLQ: both forms against the paper's formulas, breakpoints, tables, and three accumulators."""

import itertools
import math

import numpy as np
import pytest

from quant.ptq.schemes.breakpoints import closed_form, ends_of, searched, several
from quant.ptq.schemes.levels import SortedGroups
from quant.ptq.schemes.piecewise import magnitude_levels, mirrored, stored_bits
from quant.ptq.schemes.tables import pwlq_tables, several_tables
from quant.ptq.weightquant import LayerGroups, Rounding
from quant.weights import ENTRY_LIMIT, Granularity


def paper_pwlq(r, b, m, p):
    """Equations 1 to 3, one weight."""

    def uni(x, bits, low, high):
        step = (high - low) / (2**bits - 1)
        return step * math.floor((min(max(x, low), high) - low) / step + 0.5) + low

    sign = -1.0 if r < 0 else 1.0
    inside = uni(abs(r), b - 1, 0.0, p) if abs(r) <= p else uni(abs(r), b - 1, p, m)
    return sign * inside


@pytest.mark.parametrize("bits", [2, 3, 4, 7])
def test_paper_form_is_equations_one_to_three(bits):
    rng = np.random.default_rng(bits)
    rows = rng.laplace(size=(4, 200))
    top = np.abs(rows).max(axis=1)
    shares = np.array([[0.11], [0.3], [0.42], [0.5]])
    levels = mirrored(magnitude_levels(ends_of(shares, top), bits, "paper"))
    assert levels.values.shape == (4, 1 << stored_bits(bits, 1))
    got = levels.rounded(rows)
    for g in range(4):
        for x, value in zip(rows[g], got[g], strict=True):
            exact = paper_pwlq(x, bits, top[g], shares[g, 0] * top[g])
            assert abs(value - exact) <= 4e-15 * top[g]  # the two sum the same products otherwise


def test_paper_form_wastes_three_of_32_codes():
    levels = mirrored(magnitude_levels(np.array([[0.0, 7.0, 21.0]]), 4, "paper"))
    expected = [*range(8), *range(9, 22, 2)]
    assert sorted(set(np.abs(levels.values[0]).tolist())) == expected
    assert len(set(levels.values[0].tolist())) == 29


def test_code_form_saturates_half_a_step_before_the_breakpoint():
    levels = magnitude_levels(np.array([[0.0, 15.0, 36.0]]), 4, "code")
    assert levels.values[0].tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 15, 18, 21, 24, 27, 30, 33, 36]
    # The region test is strict: below 15 the centre's last level, from 15 on the tail.
    assert levels.rounded(np.array([[14.9, 15.0, 13.0, 12.9]])).tolist() == [[14, 15, 14, 12]]


@pytest.mark.parametrize(
    ("method", "ratios"),
    [
        ("gaussian", {3: 1.161, 4: 1.400, 5: 1.592, 6: 1.754, 8: 2.015, 10: 2.222}),
        ("laplacian", {3: 1.074, 4: 1.289, 5: 1.479, 9: 2.092}),
    ],
)
def test_closed_form_is_in_deviations(method, ratios):
    for ratio, expected in ratios.items():
        rows = np.random.default_rng(0).normal(size=(1, 4000))
        rows -= rows.mean()
        rows = np.clip(rows, -2.9, 2.9)
        for _ in range(60):  # put the largest weight at the wanted multiple of the deviation
            rows[0, 0] = ratio * rows.std(ddof=1)
        share = closed_form(rows, method)[0]
        assert f"{share * ratio:.3f}" == f"{expected:.3f}"


def test_closed_forms_stay_inside_the_half():
    rows = np.array([[1.0, -1.0], [0.0, 0.0], [1e-30, 3.0]])
    for method in ("gaussian", "laplacian"):
        share = closed_form(rows, method)
        assert (share > 0.0).all()
        assert (share <= 0.5).all()
    assert closed_form(np.ones((3, 1)), "gaussian").shape == (3,)


def test_search_finds_what_trying_all_finds():
    rows = np.abs(np.random.default_rng(5).standard_t(5, (6, 400)))
    top = rows.max(axis=1)
    groups = SortedGroups(rows)
    share = searched(groups, top, 4, "paper")

    def error(tried):
        return groups.error(magnitude_levels(ends_of(tried[:, None], top), 4, "paper"))

    fine = np.min([error(np.full(6, s)) for s in np.arange(0.02, 0.98, 0.002)], axis=0)
    # The stages may end in another dip than the best of all; never far above it.
    assert (error(share) <= 1.03 * fine).all()
    closed = closed_form(rows, "gaussian")
    assert (error(share) <= error(closed) * 1.001).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_several_breakpoints_are_the_best_of_their_grid(count):
    rows = np.abs(np.random.default_rng(7).laplace(size=(3, 90)))
    top = rows.max(axis=1)
    found = several(SortedGroups(rows), top, count)
    assert (np.diff(found, axis=1) > 0).all()

    def expected_error(row, m, shares):
        ends = [0.0, *shares, 1.0]
        return sum(
            (b - a) ** 2 * np.sum((row >= a * m) & (row < b * m if b < 1.0 else row <= m))
            for a, b in itertools.pairwise(ends)
        )

    rng = np.random.default_rng(1)
    for g in range(3):
        least = expected_error(rows[g], top[g], found[g])
        for _ in range(300):
            other = np.sort(rng.choice(np.arange(1, 32), count, replace=False)) / 32
            assert least <= expected_error(rows[g], top[g], other) + 1e-9


@pytest.mark.parametrize("form", ["paper", "code", "overlap"])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_integer_tables_fit_the_contract(bits, form):
    tables, points = pwlq_tables(bits, form)
    assert 1 <= len(tables) <= 16
    assert tables.shape[1] == 1 << (bits + 1)
    assert int(np.abs(tables).max()) <= ENTRY_LIMIT[bits + 1]
    assert (np.diff(tables, axis=1) >= 0).all()
    for table, point in zip(tables, points, strict=True):
        # Overlapping grids have no level at the breakpoint but by chance.
        if form != "overlap":
            assert {point, -point} <= set(table.tolist())
    distinct = {len(set(table.tolist())) for table in tables}
    if form == "paper":
        assert max(distinct) == (1 << (bits + 1)) - 3


def test_code_form_of_the_contract_breaks_at_15():
    tables, points = pwlq_tables(4, "code")
    assert points.tolist() == [15] * len(points)
    assert tables[2].tolist() == sorted(
        [2 * j for j in range(-8, 8)] + [s * (15 + 3 * j) for j in range(8) for s in (-1, 1)]
    )


def test_overlapping_grids_both_start_at_zero():
    levels = magnitude_levels(np.array([[0.0, 15.0, 45.0]]), 4, "overlap")
    assert levels.values[0].tolist() == [*range(0, 16, 2), *range(0, 48, 6)]
    # Below the breakpoint the centre's nearest level, from it on the nearest of the whole range.
    weights = [12.9, 14.9, 15.0, 20.9, 21.0, 99.0]
    assert levels.rounded(np.array([weights])).tolist() == [[12, 14, 18, 18, 24, 42]]
    tables, points = pwlq_tables(4, "overlap")
    assert points.tolist() == [15] * len(points)
    assert tables[3].tolist() == sorted(
        [2 * j for j in range(-8, 8)] + [6 * j for j in range(-8, 8)]
    )


def test_several_tables_fit_and_repeat_only_at_the_end():
    tables = several_tables(4, np.array([[0.03, 0.06], [0.2, 0.5], [0.5, 0.95]]))
    assert tables.shape == (3, 64)
    assert int(np.abs(tables).max()) <= ENTRY_LIMIT[6]
    assert (tables[:, 47:] == tables[:, 47:48]).all()


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("granularity", [Granularity.LAYER, Granularity.FILTER])
def test_three_accumulators_equal_the_table_bit_for_bit(bits, granularity):
    """The paper's data path: centre products, tail products, tail inputs; recombined."""
    rng = np.random.default_rng(bits)
    weight = rng.laplace(size=(5, 7, 3, 3)).astype(np.float32)
    rounding = Rounding("pwlq", bits + 1)
    weights = LayerGroups(weight, granularity).quantize(rounding).weights
    inputs = rng.integers(0, 256, (7, 3, 3))
    last = (1 << (bits - 1)) - 1
    quarter = 1 << (bits - 1)
    selectors = np.broadcast_to(weights.selectors, weight.shape)
    for f in range(5):
        table = weights.tables[int(selectors[f, 0, 0, 0])].astype(np.int64)
        k1 = int(table[2 * quarter + 1])
        k2 = int(table[3 * quarter + 1] - table[3 * quarter])
        centre = tail = tail_inputs = 0
        for c, h, w in np.ndindex(7, 3, 3):
            code = int(weights.codes[f, c, h, w])
            x = int(inputs[c, h, w])
            sign = 1 if code >= 2 * quarter else -1
            place = code - 2 * quarter if sign > 0 else 2 * quarter - 1 - code
            if place < quarter:
                centre += sign * x * place
            else:
                tail += sign * x * (place - quarter)
                tail_inputs += sign * x
        recombined = k1 * centre + k2 * tail + k1 * last * tail_inputs
        assert recombined == int((weights.integers()[f].astype(np.int64) * inputs).sum())

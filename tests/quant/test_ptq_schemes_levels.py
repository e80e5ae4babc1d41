# SPDX-License-Identifier: Apache-2.0
"""Groups as rows, rounding by thresholds, errors from prefix sums: against plain loops."""

import numpy as np
import pytest

from quant.ptq.schemes.grouping import Grouping
from quant.ptq.schemes.levels import Levels, SortedGroups
from quant.weights import Granularity

SHAPE = (3, 4, 2, 5)


@pytest.mark.parametrize("granularity", list(Granularity))
def test_every_row_is_one_group(granularity):
    grouping = Grouping(granularity, SHAPE)
    group_shape = granularity.group_shape(SHAPE)
    numbers = np.broadcast_to(np.arange(grouping.groups).reshape(group_shape), SHAPE)
    rows = grouping.rows(numbers.astype(np.float32))
    assert rows.shape == (grouping.groups, grouping.members)
    assert (rows == np.arange(grouping.groups)[:, None]).all()
    assert (
        grouping.per_group(np.arange(grouping.groups))
        == numbers[tuple(slice(0, n) for n in group_shape)]
    ).all()


@pytest.mark.parametrize("granularity", list(Granularity))
def test_rows_go_back_to_their_places(granularity):
    weight = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    grouping = Grouping(granularity, SHAPE)
    assert (grouping.tensor(grouping.rows(weight)) == weight).all()


def test_the_studys_shapes_by_hand():
    # C-shape runs along channels, W[f, :, h, w]; F-shape along filters, W[:, c, h, w].
    weight = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    c_shape = Grouping(Granularity.C_SHAPE, SHAPE).rows(weight)
    assert c_shape[(1 * 2 + 1) * 5 + 3].tolist() == weight[1, :, 1, 3].tolist()
    f_shape = Grouping(Granularity.F_SHAPE, SHAPE).rows(weight)
    assert f_shape[(2 * 2 + 1) * 5 + 4].tolist() == weight[:, 2, 1, 4].tolist()


def test_a_threshold_belongs_to_the_level_above():
    levels = Levels.nearest(np.array([[-2.0, 0.0, 2.0]]))
    rows = np.array([[-9.0, -1.0, -1.0000001, 0.0, 0.9999999, 1.0, 7.0]])
    assert levels.codes(rows).tolist() == [[0, 1, 0, 1, 1, 2, 2]]
    assert levels.rounded(rows).tolist() == [[-2.0, 0.0, -2.0, 0.0, 0.0, 2.0, 2.0]]


@pytest.mark.parametrize("weighted", [False, True])
def test_error_of_integers_equals_the_sum_over_weights(weighted):
    # Integers below 2**53 make every sum exact, so that equality is equality.
    rng = np.random.default_rng(1)
    rows = rng.integers(-50, 50, (7, 33)).astype(np.float64)
    importance = rng.integers(0, 5, (7, 33)).astype(np.float64) if weighted else None
    levels = Levels.nearest(np.sort(rng.integers(-40, 40, (7, 8)), axis=1).astype(np.float64))
    counts = np.ones_like(rows) if importance is None else importance
    for g in range(7):
        expected = 0.0
        for x, h in zip(rows[g], counts[g], strict=True):
            code = sum(x >= t for t in levels.thresholds[g])
            expected += h * (x - levels.values[g, code]) ** 2
        assert SortedGroups(rows, importance).error(levels)[g] == expected


def test_cells_may_be_empty():
    weight, first, second = SortedGroups(np.array([[1.0, 2.0, 4.0]])).cells(
        np.array([[0.0, 0.0, 3.0]])
    )
    assert weight.tolist() == [[0.0, 0.0, 2.0, 1.0]]
    assert first.tolist() == [[0.0, 0.0, 3.0, 4.0]]
    assert second.tolist() == [[0.0, 0.0, 5.0, 16.0]]

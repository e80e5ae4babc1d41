# SPDX-License-Identifier: Apache-2.0
"""Codebooks put their few codes where the weighted values are."""

import numpy as np
import pytest

from quant.formats import TensorFormat
from quant.ptq.codebooks import WeightedHistogram, fit_codebook, integer_levels, levels_of
from quant.ptq.observers import RealRange

REAL = RealRange(-0.25, 64.0)


def filled(weights=(1.0, 1.0)):
    """One channel within a tenth of zero, one that reaches far."""
    rng = np.random.default_rng(1)
    values = np.stack([rng.uniform(-0.1, 0.1, 4000), rng.exponential(6.0, 4000).clip(0, 64)])
    histogram = WeightedHistogram(REAL)
    histogram.see(values.astype(np.float32), np.array(weights))
    return histogram, values


def literal_error(values, weights, levels):
    nearest = np.abs(values[:, :, None] - levels).min(axis=2)
    return float((np.square(nearest) * np.array(weights)[:, None]).sum())


def test_error_is_that_of_the_nearest_level():
    histogram, values = filled((3.0, 1.0))
    levels = np.array([-0.2, 0.0, 1.0, 5.0, 17.0, 40.0])
    exact = literal_error(values, (3.0, 1.0), levels)
    # The histogram moves every value by at most half a bin of 1e-3.
    assert abs(histogram.error(levels) - exact) < 1e-3 * exact


@pytest.mark.parametrize("weights", [(1.0, 0.0), (1.0, 1.0), (1000.0, 1.0)])
def test_least_error_of_all_tried(weights):
    histogram, _ = filled(weights)
    even = TensorFormat.plain(6, 64.25 / 63, 0, 2)
    book = fit_codebook(histogram, 6, 12, 0.0)
    assert book.error < 0.5 * histogram.error(levels_of(even))
    assert book.error == histogram.error(levels_of(book.format(2)))
    assert book.zero_point in book.entries


def test_the_important_channel_gets_the_codes():
    small, _ = filled((1000.0, 1.0))
    large, _ = filled((0.001, 1.0))
    near = [
        int(np.sum(np.abs(levels_of(fit_codebook(h, 6, 12, 0.0).format(2))) < 0.1))
        for h in (small, large)
    ]
    assert near[0] > 2 * near[1]


def test_the_narrowest_grid_that_is_good_enough():
    histogram, _ = filled((1000.0, 1.0))
    best = fit_codebook(histogram, 6, 13, 0.0)
    narrow = fit_codebook(histogram, 6, 13, 30.0 * best.error)
    assert 6 < narrow.width < best.width
    assert best.error < narrow.error <= 30.0 * best.error
    assert fit_codebook(histogram, 6, 6, 0.0) is None


@pytest.mark.parametrize(
    ("levels", "zero", "top", "expected"),
    [
        ((0.2, 0.4, 0.6, 5.0), 0, 7, (0, 1, 2, 5)),
        ((-3.0, 1.6, 1.7, 9.0), 2, 7, (0, 2, 3, 7)),
        ((6.9, 7.0, 7.1, 7.2), 7, 7, (4, 5, 6, 7)),
        ((0.0, 0.1, 0.2, 0.3), 1, 3, (0, 1, 2, 3)),
        ((3.0, 4.0, 5.0, 6.0), 0, 7, (0, 4, 5, 6)),
    ],
)
def test_integers_rise_and_hold_zero(levels, zero, top, expected):
    assert tuple(integer_levels(np.array(levels), zero, top)) == expected

# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from quant.ptq.lower import dead_filters, sqnr_db
from quant.ptq.weightquant import LayerGroups, Rounding
from quant.weights import Granularity

SMALL = np.full(8, 1e-12)


def quantize_weights(weight, bits, scheme, granularity, clip, least_scale):
    rounding = Rounding(scheme, bits, clip)
    return LayerGroups(weight, granularity).quantize(rounding, least_scale).weights


def drawn(shape=(8, 4, 3, 3), seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_t(4, shape) * rng.uniform(0.1, 2, (shape[0], 1, 1, 1))).astype(np.float32)


def real(weights):
    scale = np.broadcast_to(weights.scale.astype(np.float64), weights.shape[:1])
    return weights.integers() * scale[:, None, None, None]


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
@pytest.mark.parametrize("granularity", [Granularity.LAYER, Granularity.FILTER])
def test_full_range_error_is_at_most_half_a_step(bits, scheme, granularity):
    weight = drawn()
    weights = quantize_weights(weight, bits, scheme, granularity, "minmax", SMALL)
    step = np.broadcast_to(weights.scale.astype(np.float64), 8)[:, None, None, None]
    # Rounding the zero point of an affine grid may move an end of the range by half a step more;
    # above 4 bits zero points lie on a coarser grid and the scale grows until both ends fit.
    share = 1.0 if scheme == "affine" and bits <= 4 else 0.5
    assert (np.abs(real(weights) - weight) <= step * (share + 1e-6)).all()
    assert weights.tables.shape[0] <= 16


def test_codes_are_the_nearest_grid_points():
    weight = drawn()
    weights = quantize_weights(weight, 4, "affine", Granularity.FILTER, "mse", SMALL)
    for f in range(8):
        table = weights.tables[int(weights.selectors[f, 0, 0, 0])].astype(np.float64)
        levels = table * float(weights.scale[f])
        distance = np.abs(weight[f].reshape(-1, 1).astype(np.float64) - levels)
        chosen = distance[np.arange(36), weights.codes[f].reshape(-1)]
        assert (chosen <= distance.min(axis=1) + 1e-9).all()


def test_clipping_lowers_the_error_of_heavy_tails():
    weight = drawn((8, 32, 3, 3))
    full = quantize_weights(weight, 4, "affine", Granularity.FILTER, "minmax", SMALL)
    clipped = quantize_weights(weight, 4, "affine", Granularity.FILTER, "mse", SMALL)
    assert sqnr_db(weight, real(clipped)) > sqnr_db(weight, real(full)) + 0.4


def test_vanishing_weights_become_a_dead_filter():
    weight = drawn()
    weight[3] *= 1e-20
    least = SMALL.copy()
    least[3] = 0.01
    weights = quantize_weights(weight, 4, "affine", Granularity.FILTER, "mse", least)
    assert weights.scale[3] == np.float32(0.01)
    assert dead_filters(weights) == 1


def test_all_zero_weights():
    weights = quantize_weights(
        np.zeros((2, 1, 1, 1), np.float32), 4, "affine", Granularity.LAYER, "mse", np.ones(2)
    )
    assert not weights.integers().any()
    assert dead_filters(weights) == 2


def test_one_sided_filters_have_zero_points_at_the_ends():
    weight = np.abs(drawn())
    weight[1] *= -1
    weights = quantize_weights(weight, 4, "affine", Granularity.FILTER, "minmax", SMALL)
    zeros = [-int(weights.tables[int(s)].min()) for s in weights.selectors.reshape(-1)]
    assert zeros[0] == 0
    assert zeros[1] == 15

# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from quant.errors import QuantizationError
from quant.ptq.observers import MAX_BINS, Observer, RealRange, uniform_grid


def seen(values, batches=1):
    observer = Observer()
    for part in np.array_split(np.asarray(values, np.float32), batches):
        observer.see(torch.from_numpy(part.reshape(1, 1, 1, -1)), "x")
    return observer


def test_extremes_contain_zero():
    assert seen([1.0, 2.0]).extremes == RealRange(0.0, 2.0)
    assert seen([-3.0, -1.0]).extremes == RealRange(-3.0, 0.0)


def test_histogram_counts_every_value_and_stays_small():
    values = np.random.default_rng(0).normal(0, 100, 50_000).astype(np.float32)
    observer = seen(values, 7)
    centres, counts = observer.histogram()
    assert counts.sum() == len(values)
    assert len(counts) <= MAX_BINS
    width = centres[1] - centres[0]
    assert abs((centres * counts).sum() / len(values) - values.mean()) < width


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_histogram_does_not_depend_on_the_batches(batches, seed):
    values = np.random.default_rng(seed).standard_t(2, 300).astype(np.float32)
    one, many = seen(values), seen(values, batches)
    assert np.array_equal(one.histogram()[0], many.histogram()[0])
    assert np.array_equal(one.histogram()[1], many.histogram()[1])


def test_percentile_cuts_both_tails():
    values = np.concatenate([np.linspace(-1, 1, 9_998), [-50.0, 80.0]])
    cut = seen(values).real_range("percentile", 8, 99.98)
    assert -1.1 < cut.low < -0.9
    assert 0.9 < cut.high < 1.1
    assert seen(values).real_range("minmax", 8, 99.98) == RealRange(-50.0, 80.0)


def test_mse_range_has_less_error_than_the_extremes():
    values = np.random.default_rng(1).standard_t(3, 20_000)
    observer = seen(values)

    def error(real):
        scale, zero = uniform_grid(real, 4)
        codes = np.clip(np.floor(values / scale + 0.5) + zero, 0, 15)
        return np.square((codes - zero) * scale - values).sum()

    chosen = observer.real_range("mse", 4, 99.9)
    assert chosen.width < observer.extremes.width
    assert error(chosen) < 0.7 * error(observer.extremes)


def test_mse_range_shrinks_each_end_by_itself():
    rng = np.random.default_rng(2)
    silu_like = np.concatenate([-0.278 * rng.random(30_000), rng.exponential(0.5, 30_000), [40.0]])
    chosen = seen(silu_like).real_range("mse", 4, 99.9)
    assert chosen.high < 8
    mirrored = seen(-silu_like).real_range("mse", 4, 99.9)
    assert mirrored.low > -8


def test_channel_mean():
    observer = Observer()
    observer.see(torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]]), "x")
    observer.see(torch.tensor([[[[2.0, 2.0]], [[-5.0, -5.0]]]]), "x")
    assert observer.channel_mean.tolist() == [2.0, 0.0]


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(QuantizationError, match=r"^'conv1' has a value that is not finite"):
        Observer().see(torch.tensor([[[[float("nan")]]]]), "conv1")


def test_an_observer_without_images_is_refused():
    with pytest.raises(QuantizationError, match="has seen no image"):
        _ = Observer().extremes


@given(st.floats(-1e4, 0, allow_nan=False), st.floats(0, 1e4, allow_nan=False), st.integers(4, 12))
def test_uniform_grid_covers_the_range_up_to_about_half_a_step(low, high, bits):
    assume(high - low > 1e-30)
    scale, zero = uniform_grid(RealRange(low, high), bits)
    top = (1 << bits) - 1
    assert scale > 0
    assert 0 <= zero <= top
    assert -zero * scale <= low + scale * 0.55 + 1e-9
    assert (top - zero) * scale >= high - scale * 0.55 - 1e-9


def test_a_relu_range_wastes_no_code():
    assert uniform_grid(RealRange(0.0, 25.5), 8) == (0.1, 0)


def test_an_empty_range_has_codes_over_zero_to_one():
    assert uniform_grid(RealRange(0.0, 0.0), 8) == (1 / 255, 0)


def test_the_zero_point_with_the_smaller_scale_is_taken():
    # -0.278 lies 2.36 steps of 30/255 below 0: with zero point 2 the step would have to be 0.139.
    scale, zero = uniform_grid(RealRange(-0.278, 30.0), 8)
    assert zero == 3
    assert scale == 30.0 / 252

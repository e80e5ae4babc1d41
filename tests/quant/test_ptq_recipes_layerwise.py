# SPDX-License-Identifier: Apache-2.0
"""Layerwise stages: statistics, GPTQ and AdaRound against rounding to nearest and brute force."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from quant.floatgraph import FloatConv, FloatLinear
from quant.ptq.recipes.adaround import adaround
from quant.ptq.recipes.gptq import gptq
from quant.ptq.recipes.grid import Grid, in_groups
from quant.ptq.recipes.layerwise import LayerTask, refit, solve, spread
from quant.ptq.recipes.recipe import AdaRound, Gptq, Nearest
from quant.ptq.recipes.solution import LayerSolution, raised
from quant.ptq.recipes.statistics import MomentSums, damped
from quant.ptq.schemes.setting import Setting, quantize_layer
from quant.ptq.weightquant import Rounding

CPU = torch.device("cpu")
IMAGES = 4


def conv(seed=3, filters=8, channels=6, groups=1, kernel=3, stride=1, padding=(1, 1, 1, 1)):
    rng = np.random.default_rng(seed)
    weight = rng.standard_t(4, (filters, channels // groups, kernel, kernel)).astype(np.float32)
    bias = rng.normal(0, 1, filters).astype(np.float32)
    return FloatConv("c", "x", weight, bias, (stride, stride), padding, groups)


def inputs(seed=4, channels=6, size=9):
    """Images whose neighbours are alike, so that errors can make up for each other."""
    rng = np.random.default_rng(seed)
    noise = torch.from_numpy(rng.normal(0, 1, (IMAGES, channels, size, size))).float()
    mixed = torch.from_numpy(rng.normal(0, 1, (channels, channels))).float()
    return F.avg_pool2d(torch.einsum("nchw,cd->ndhw", noise, mixed), 3, 1, 1) + 0.5


def outputs(op, x):
    top, left, bottom, right = op.padding
    padded = F.pad(x, (left, right, top, bottom))
    weight, bias = torch.from_numpy(op.weight), torch.from_numpy(op.bias)
    return F.conv2d(padded, weight, bias, op.stride, groups=op.groups)


def moments(op, x, wanted=None, columns=10_000):
    sums = MomentSums(op, columns, len(x), 0)
    wanted = outputs(op, x) if wanted is None else wanted
    for i in range(len(x)):
        sums.see(x[i : i + 1], wanted[i : i + 1], i)
    return sums.moments()


def total_error(op, found, solution):
    groups = op.groups
    return float(found.error(in_groups(solution.real, groups)).sum())


def task(scheme="affine", granularity="filter", bits=4):
    return LayerTask(Setting(Rounding(scheme, bits, "mse"), granularity), None)


@pytest.mark.parametrize(
    "op",
    [
        conv(),
        conv(groups=6, filters=12),
        conv(groups=2, stride=2, padding=(0, 1, 1, 0)),
        conv(kernel=1, padding=(0, 0, 0, 0)),
    ],
    ids=["dense", "depthwise", "grouped", "pointwise"],
)
def test_the_moments_give_the_output_error_of_any_weights(op):
    x = inputs()
    found = moments(op, x)
    other = replace(op, weight=(op.weight + np.float32(0.1)).astype(np.float32))
    error = (outputs(other, x) - outputs(op, x)).double()
    # Behind the best bias the mean error is gone.
    left = error.var(dim=(0, 2, 3), correction=0).numpy()
    weights = in_groups(other.weight.astype(np.float64), op.groups)
    assert found.columns == IMAGES * outputs(op, x).shape[2] ** 2
    assert np.abs(found.error(weights).reshape(-1).numpy() - left).max() < 1e-4 * left.max()
    own = in_groups(op.weight.astype(np.float64), op.groups)
    assert float(found.error(own).max()) < 1e-4 * float(found.output_energy.max())


def test_a_sample_of_columns_is_the_same_again_and_differs_by_layer():
    op, x = conv(), inputs()
    first, again = moments(op, x, columns=40), moments(op, x, columns=40)
    assert first.columns == 40
    assert torch.equal(first.hessian, again.hessian)
    other = MomentSums(op, 40, IMAGES, 1)
    for i in range(IMAGES):
        other.see(x[i : i + 1], outputs(op, x[i : i + 1]), i)
    assert not torch.equal(first.hessian, other.moments().hessian)


def test_a_linear_layer_has_one_column_per_image():
    rng = np.random.default_rng(1)
    weight = rng.normal(0, 1, (5, 24)).astype(np.float32)
    op = FloatLinear("l", "x", weight, np.zeros(5, np.float32))
    x = torch.from_numpy(rng.normal(0, 1, (IMAGES, 6, 2, 2)).astype(np.float32))
    sums = MomentSums(op, 100, IMAGES, 0)
    for i in range(IMAGES):
        made = x[i].reshape(1, -1) @ torch.from_numpy(weight).T
        sums.see(x[i : i + 1], made[:, :, None, None], i)
    found = sums.moments()
    assert found.columns == IMAGES
    flat = x.reshape(IMAGES, -1).double()
    centred = flat - flat.mean(dim=0)
    assert float((found.hessian[0] - centred.T @ centred / IMAGES).abs().max()) < 1e-5


@pytest.mark.parametrize("groups", [1, 6], ids=["dense", "depthwise"])
@pytest.mark.parametrize(
    ("scheme", "granularity"),
    [
        ("affine", "filter"),
        ("affine", "c-shape"),
        ("e2m1-spare", "f-shape"),
        ("symmetric", "layer"),
    ],
)
def test_gptq_and_adaround_beat_rounding_to_nearest(groups, scheme, granularity):
    op, x = conv(groups=groups, filters=12), inputs()
    found = moments(op, x)
    chosen = task(scheme, granularity)
    error = {
        type(stage): total_error(op, found, solve(op, found, stage, chosen, CPU))
        for stage in (Nearest(), Gptq(), AdaRound(iterations=200))
    }
    assert error[Gptq] < error[Nearest]
    assert error[AdaRound] < error[Nearest]


def test_gptq_of_two_weights_is_the_best_of_all_codes():
    """Strongly coupled inputs: what one weight loses the other must give back."""
    hessian = torch.tensor([[[1.0, 0.9], [0.9, 1.0]]], dtype=torch.float64)
    weight = np.array([[1.0, -0.9], [0.42, 0.43], [-0.5, 0.21], [0.2, 0.6]], np.float32)
    stored = quantize_layer(
        weight[:, :, None, None], Setting(Rounding("symmetric", 3), "layer")
    ).weights
    grid = Grid.of(stored, 1, CPU)
    wanted = in_groups(weight[:, :, None, None].astype(np.float64), 1)
    codes = gptq(wanted, hessian, grid, damping=1e-6, act_order=False, block=1)
    for number in range(len(weight)):
        errors = {}
        for pair in itertools.product(range(8), repeat=2):
            tried = codes.clone()
            tried[0, number] = torch.tensor(pair)
            away = (grid.values(tried) - wanted)[0, number]
            errors[pair] = float(away @ hessian[0] @ away)
        # The first weight takes its own nearest code; of those pairs GPTQ's is the best.
        first = int(grid.nearest(wanted)[0, number, 0])
        best = min((p for p in errors if p[0] == first), key=errors.__getitem__)
        assert tuple(codes[0, number].tolist()) == best
        nearest = tuple(grid.nearest(wanted)[0, number].tolist())
        assert errors[best] <= errors[nearest]
    assert not torch.equal(codes, grid.nearest(wanted))


@pytest.mark.parametrize("act_order", [True, False])
def test_blocks_change_nothing(act_order):
    op = conv()
    found = moments(op, inputs())
    grid = Grid.of(quantize_layer(op.weight, task().setting).weights, 1, CPU)
    wanted = in_groups(op.weight.astype(np.float64), 1)
    made = [
        gptq(wanted, found.hessian, grid, damping=0.01, act_order=act_order, block=block)
        for block in (1, 7, 54, 500)
    ]
    assert all(torch.equal(made[0], other) for other in made[1:])


def test_resting_inputs_take_their_own_nearest_code():
    op, x = conv(kernel=1, padding=(0, 0, 0, 0)), inputs()
    x[:, 2] = 0.0
    found = moments(op, x)
    solution = solve(op, found, Gptq(), task(), CPU)
    grid = Grid.of(solution.weights, 1, CPU)
    nearest = grid.nearest(in_groups(op.weight.astype(np.float64), 1)).reshape(8, 6)
    assert np.array_equal(solution.weights.codes.reshape(8, 6)[:, 2], nearest[:, 2].numpy())
    assert float(damped(found.hessian, 0.01)[0, 2, 2]) == 1.0


def test_float_targets_make_up_for_rounded_inputs():
    op, exact = conv(), inputs()
    coarse = torch.round(exact)
    found = moments(op, coarse, wanted=outputs(op, exact))
    weights = in_groups(op.weight.astype(np.float64), 1)
    better = found.best_weights(weights, 1e-4)
    assert bool((found.error(better) < found.error(weights)).all())


def test_neighbours_and_nearest_agree_with_the_stored_rounding():
    op = conv()
    for scheme in ("affine", "e2m1", "pwlq16", "codebook"):
        weights = quantize_layer(op.weight, Setting(Rounding(scheme, 4), "c-shape")).weights
        grid = Grid.of(weights, 1, CPU)
        wanted = in_groups(op.weight.astype(np.float64), 1)
        nearest = grid.nearest(wanted).reshape(weights.shape).numpy()
        real = grid.values(grid.nearest(wanted)).reshape(weights.shape).numpy()
        stored = LayerSolution(weights, op.bias.astype(np.float64)).real
        same = np.abs(real - op.weight) <= np.abs(stored - op.weight) + 1e-12
        assert same.all()
        column = grid.column(torch.tensor([5])).nearest(wanted[:, :, 5])[0]
        assert np.array_equal(column.numpy().reshape(-1), nearest.reshape(8, -1)[:, 5])


@pytest.mark.parametrize("gain", ["none", "moments", "least-squares"])
def test_refit_takes_out_the_mean_and_sets_the_gain(gain):
    op = conv()
    found = moments(op, inputs())
    # Two bits: rounding changes every filter's deviation.
    rounded = solve(op, found, Nearest(), task(bits=2), CPU)
    fitted = refit(rounded, found, gain)
    real = in_groups(fitted.real, 1)
    mean = (real @ found.input_mean[:, :, None])[:, :, 0] + torch.from_numpy(fitted.bias)[None]
    assert float((mean - found.output_mean).abs().max()) < 1e-6
    energy = ((real @ found.hessian) * real).sum(2)
    ratio = (energy / found.output_energy).numpy()
    factor = fitted.weights.scale / np.broadcast_to(
        rounded.weights.scale, fitted.weights.scale.shape
    )
    assert np.array_equal(fitted.weights.codes, rounded.weights.codes)
    before = found.error(in_groups(rounded.real, 1))
    if gain == "none":
        assert np.all(factor == 1.0)
    elif gain == "moments":
        free = (factor > 0.5) & (factor < 2.0)
        assert free.any()
        assert np.abs(ratio.reshape(-1)[free] - 1.0).max() < 1e-5
    else:
        assert bool((found.error(real) < before).all())


def test_a_raised_scale_rounds_only_its_filter_anew():
    op = conv()
    weights = quantize_layer(op.weight, task().setting).weights
    solution = LayerSolution(weights, op.bias.astype(np.float64))
    least = np.zeros(8)
    assert raised(solution, least) is solution
    least[3] = 2.0 * float(weights.scale[3])
    moved = raised(solution, least)
    others = np.arange(8) != 3
    assert np.array_equal(moved.weights.codes[others], weights.codes[others])
    assert np.array_equal(moved.weights.scale[others], weights.scale[others])
    assert moved.weights.scale[3] >= least[3]
    assert np.abs(moved.real[3] - solution.real[3]).max() <= 0.5 * moved.weights.scale[3] * 1.001
    assert not np.array_equal(moved.weights.codes[3], weights.codes[3])


def test_adaround_chooses_one_of_the_two_levels_around_a_weight():
    op = conv()
    found = moments(op, inputs())
    grid = Grid.of(quantize_layer(op.weight, task().setting).weights, 1, CPU)
    wanted = in_groups(op.weight.astype(np.float64), 1)
    codes = adaround(wanted, found, grid, iterations=150, rate=0.02, pull=0.01)
    below, above = grid.neighbours(wanted)
    assert bool(((codes == below) | (codes == above)).all())
    assert not torch.equal(codes, grid.nearest(wanted))


def test_spread_reaches_over_all_images():
    assert spread(10, 4) == [0, 2, 5, 7]
    assert spread(3, 8) == [0, 1, 2]

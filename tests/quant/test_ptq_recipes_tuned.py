# SPDX-License-Identifier: Apache-2.0
"""A layer in block calibration: where it starts, what it learns, and QPRep's fold to integers."""

import numpy as np
import pytest
import torch

from quant.floatgraph import FloatConv, FloatGraph, FloatInput
from quant.formats import TensorFormat
from quant.memory import memory_summary
from quant.ptq.calibrate import Statistics
from quant.ptq.formats import FormatPlan
from quant.ptq.lower import Lowering
from quant.ptq.recipes.solution import LayerSolution
from quant.ptq.recipes.tuned import LEAST_GAIN, Affine, TunedLayer, folded
from quant.ptq.schemes.setting import quantize_layer
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import plan_steps
from sim.golden import GoldenModel

CPU = torch.device("cpu")
RATES = {"weight": 1e-2, "scale": 1e-2, "affine": 1e-2}
FILTERS, CHANNELS, SIDE = 6, 5, 7


def layer(seed=3):
    rng = np.random.default_rng(seed)
    weight = rng.standard_t(3, (FILTERS, CHANNELS, 3, 3)).astype(np.float32) * 0.1
    bias = rng.normal(0, 0.3, FILTERS).astype(np.float32)
    return FloatConv("c", "x", weight, bias, (1, 1), (1, 1, 1, 1), 1)


def start_of(op, **fields):
    setting = QuantizeSettings(**fields).weights_of(4)
    weights = quantize_layer(op.weight, setting).weights
    return LayerSolution(weights, op.bias.astype(np.float64))


@pytest.mark.parametrize("rounding", ["straight-through", "adaround", "frozen"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"scheme": "e2m1-spare"},
        {"granularity": "c-shape"},
        {"scheme": "codebook", "granularity": "f-shape"},
    ],
)
def test_it_starts_where_the_stage_before_ended(rounding, fields):
    op = layer()
    start = start_of(op, **fields)
    tuned = TunedLayer(op, start, rounding, CPU)
    back = tuned.solution()
    assert np.array_equal(back.weights.codes, start.weights.codes)
    assert np.array_equal(back.weights.scale.reshape(-1), scale(start))
    assert np.array_equal(back.bias, start.bias)
    weight, bias = tuned.real()
    assert np.array_equal(bias.detach().numpy(), start.bias.astype(np.float32))
    if rounding != "adaround":  # whose choices begin half open
        assert np.abs(weight.detach().numpy() - start.real).max() < 1e-6


def scale(solution):
    return np.broadcast_to(solution.weights.scale, solution.bias.shape)


def steps_of(tuned, target, count=40, rates=RATES):
    pairs = tuned.parameters(rates)
    for _, tensor in pairs:
        tensor.requires_grad_()
    adam = torch.optim.Adam([{"params": [t], "lr": rate} for rate, t in pairs])
    for _ in range(count):
        adam.zero_grad()
        weight, bias = tuned.real()
        loss = (weight - target[0]).square().sum() + (bias - target[1]).square().sum()
        loss.backward()
        adam.step()
        tuned.confine()
    return tuned.solution()


@pytest.mark.parametrize("rounding", ["straight-through", "adaround", "frozen"])
def test_what_it_learns_is_what_it_stores(rounding):
    """Training sees the weights that are stored, up to float32; adaround's once they are closed."""
    op = layer()
    tuned = TunedLayer(op, start_of(op), rounding, CPU)
    target = torch.from_numpy(op.weight) * 1.3, torch.from_numpy(op.bias) * 0.5
    found = steps_of(tuned, target)
    weight, bias = (t.detach().double().numpy() for t in tuned.real())
    assert np.abs(bias - found.bias).max() < 1e-6
    assert np.abs(found.bias - target[1].numpy()).max() < np.abs(op.bias * 0.5).max()
    step = found.weights.scale.astype(np.float64).reshape(-1, 1, 1, 1)
    apart = np.abs(weight - found.real)
    assert (apart < 1e-6).all() if rounding != "adaround" else (apart <= 0.5 * step + 1e-6).all()
    frozen = np.array_equal(found.weights.codes, start_of(op).weights.codes)
    assert frozen == (rounding == "frozen")


def test_another_scale_moves_codes_and_a_gain_none():
    op = layer()
    start = start_of(op)
    target = torch.from_numpy(op.weight) * 1.5, torch.from_numpy(op.bias)
    tuned = TunedLayer(op, start, "straight-through", CPU)
    gained = steps_of(tuned, target, rates={"weight": 0.0, "scale": 0.0, "affine": 1e-2})
    assert np.array_equal(gained.weights.codes, start.weights.codes)
    assert (gained.weights.scale > 1.2 * start.weights.scale).all()
    tuned = TunedLayer(op, start, "straight-through", CPU)
    with torch.no_grad():
        tuned.stretch += 0.5
    scaled = tuned.solution()
    assert not np.array_equal(scaled.weights.codes, start.weights.codes)


def test_gains_stay_positive():
    op = layer()
    tuned = TunedLayer(op, start_of(op), "frozen", CPU)
    with torch.no_grad():
        tuned.gain -= 5.0
    tuned.confine()
    assert (tuned.gain.numpy() == np.float32(LEAST_GAIN)).all()
    assert (tuned.solution().weights.scale > 0.0).all()


def lowered(op, solution, output):
    shape = (CHANNELS, SIDE, SIDE)
    graph = FloatGraph(
        "one", (FloatInput("x", shape), op), ("c",), {"x": shape, "c": (FILTERS, SIDE, SIDE)}, 0
    )
    steps = plan_steps(graph)
    source = TensorFormat.plain(8, 1.0 / 255.0, 0, CHANNELS)
    plan = FormatPlan({"x": source, "c": output}, frozenset(), (), ())
    statistics = Statistics({}, {}, {}, {}, 1)
    work = Lowering(
        graph, steps, plan, statistics, QuantizeSettings(), frozenset(), {"c": solution}
    )
    return work.run(), source


@pytest.mark.parametrize("seed", range(5))
def test_qprep_folds_into_multiplier_and_bias(seed):
    """The same nodes and bits; numbers apart by no more than the roundings of what is stored."""
    rng = np.random.default_rng(seed)
    op = layer(seed)
    plain = start_of(op)
    affine = Affine(np.exp(rng.normal(0, 0.7, FILTERS)), rng.normal(0, 0.4, FILTERS))
    output = TensorFormat.plain(16, 2e-3, 30_000, FILTERS)
    before, source = lowered(op, plain, output)
    after, _ = lowered(op, folded(plain, affine), output)
    first, second = before.convs[0], after.convs[0]
    assert np.array_equal(first.weights.codes, second.weights.codes)
    assert [type(n) for n in before.nodes] == [type(n) for n in after.nodes]
    assert memory_summary(before).bits == memory_summary(after).bits

    step = scale(plain).astype(np.float64) * source.scale
    wanted = affine.gain * step / output.scale
    requant = second.requant
    stored = requant.multiplier.astype(np.float64) * 2.0 ** -requant.shift.astype(np.float64)
    assert (np.abs(stored / wanted - 1.0) <= 2.0**-17 + 2.0**-23).all()
    bias = (affine.gain * plain.bias + affine.offset) / (affine.gain * step)
    assert (np.abs(second.bias - bias) <= 0.5 + np.abs(bias) * 2.0**-23).all()

    codes = rng.integers(0, 256, (2, CHANNELS, SIDE, SIDE)).astype(np.uint8)
    made = GoldenModel(after).run(codes, keep=["c"]).tensors["c"].astype(np.float64)
    weight = torch.from_numpy(first.weights.integers().astype(np.float64))
    sums = torch.nn.functional.conv2d(torch.from_numpy(codes.astype(np.float64)), weight, padding=1)
    column = (1, FILTERS, 1, 1)
    real = sums.numpy() * step.reshape(column) + plain.bias.reshape(column)
    exact = affine.gain.reshape(column) * real + affine.offset.reshape(column)
    exact = exact / output.scale + output.zero_point
    # Half a code, half a step of the bias, and the multiplier's share of the accumulator.
    sums = np.abs(sums.numpy() + second.bias.reshape(column))
    room = 0.5 + 0.5 * wanted.reshape(column) + sums * (wanted * 2.0**-16).reshape(column)
    assert (np.abs(made - exact) <= room).all()
    assert np.abs(made - exact).max() > 0.25  # and the codes are no coarser than they seem


def test_folding_is_one_product_and_one_sum():
    op = layer()
    plain = start_of(op)
    affine = Affine(np.full(FILTERS, 2.0), np.full(FILTERS, 0.25))
    found = folded(plain, affine)
    assert np.array_equal(found.real, 2.0 * plain.real)
    assert np.array_equal(found.bias, 2.0 * plain.bias + 0.25)
    again = folded(found, Affine(np.full(FILTERS, 0.5), np.full(FILTERS, -0.125)))
    assert np.array_equal(again.real, plain.real)
    assert np.array_equal(again.bias, plain.bias)

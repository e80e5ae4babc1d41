# SPDX-License-Identifier: Apache-2.0
"""Bits by what the outputs lose: the walk along the hulls, and whole networks."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from quant.errors import QuantizationError
from quant.floatgraph import FloatActivation, FloatConv, FloatGraph, FloatInput
from quant.ptq.recipes.bitbudget import Choice, bits_within, walked, with_bits
from quant.ptq.recipes.sensitivity import LayerInputs, OutputCosts
from quant.ptq.settings import LayerOverride, QuantizeSettings
from quant.ptq.study import quantize_weights_of

SETTINGS = QuantizeSettings(weight_bits=4, scheme="e2m1", least_ratio=2.5)


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(2)

    def conv(name, source, filters, channels, size):
        weight = size * rng.normal(0, 1 / np.sqrt(9 * channels), (filters, channels, 3, 3))
        bias = np.zeros(filters, np.float32)
        return FloatConv(name, source, weight.astype(np.float32), bias, (1, 1), (1,) * 4, 1)

    ops = (
        FloatInput("x", (3, 12, 12)),
        conv("stem", "x", 8, 3, 1.0),
        FloatActivation("act", "stem", "silu"),
        conv("inner", "act", 24, 8, 1.0),
        FloatActivation("more", "inner", "silu"),
        conv("head", "more", 4, 24, 1.0),
    )
    channels = {"x": 3, "stem": 8, "act": 8, "inner": 24, "more": 24, "head": 4}
    return FloatGraph("n", ops, ("head",), {n: (c, 12, 12) for n, c in channels.items()}, 0)


@pytest.fixture(scope="module")
def costs(network):
    images = np.random.default_rng(3).normal(0, 1, (2, 3, 12, 12)).astype(np.float32)
    return OutputCosts(LayerInputs(network, images))


def lost(costs, network, settings):
    found = quantize_weights_of(network, settings)
    return sum(costs.of(layer.name, layer.weights) for layer in found.layers), found.memory


def test_the_walk_is_the_best_where_its_budget_ends():
    rng = np.random.default_rng(1)
    for _ in range(20):
        curves = {
            name: [
                Choice(bits, 100 * (number + 1) * bits, scale * 4.0**-bits * rng.uniform(0.5, 2))
                for bits in (4, 5, 6, 8)
            ]
            for number, (name, scale) in enumerate(zip("abc", rng.uniform(1, 50, 3), strict=True))
        }
        chosen = walked(curves, 5000)
        by_bits = {n: {c.bits: c for c in curve} for n, curve in curves.items()}
        mine = [by_bits[n][b] for n, b in chosen.items()]
        spent = sum(c.stored for c in mine)
        assert spent <= 5000
        # No other choice that stores as little loses less, but for what the last step left over.
        room = 5000 - spent
        steps = [
            (a.lost - b.lost) / (b.stored - a.stored)
            for n, curve in curves.items()
            for a, b in itertools.combinations(curve, 2)
            if a.bits == chosen[n] and b.lost < a.lost
        ]
        slack = room * max(steps, default=0.0)
        least = min(
            sum(c.lost for c in some)
            for some in itertools.product(*curves.values())
            if sum(c.stored for c in some) <= 5000
        )
        assert sum(c.lost for c in mine) <= least + slack + 1e-12


def test_a_ratio_is_kept_and_its_bits_are_used(network, costs):
    settings, note = with_bits(SETTINGS, costs)
    assert settings.edge_bits == 4
    noise, memory = lost(costs, network, settings)
    plain, most = lost(costs, network, replace(SETTINGS, edge_bits=4))
    assert 2.5 <= memory.honest_ratio < 2.7 < most.honest_ratio
    assert noise < plain / 2
    words = ", ".join(f"'{o.pattern}' {o.weight_bits}" for o in settings.overrides)
    count = len(settings.overrides)
    assert note == (
        f"a memory-saving ratio of 2.5 leaves more than 4 bits for {count} of 3 layers: {words}"
    )


def test_layers_that_are_named_keep_their_bits(costs):
    own = replace(SETTINGS, overrides=(LayerOverride("in*", 7, None),))
    found = {o.pattern: o.weight_bits for o in bits_within(2.0, own, costs)}
    assert found["inner"] == 7


def test_other_bits_are_part_of_the_budget(costs):
    with_room = bits_within(2.5, SETTINGS, costs)
    without = bits_within(2.5, SETTINGS, costs, other_bits=3000)
    assert sum(o.weight_bits for o in without) < sum(o.weight_bits for o in with_room)


def test_a_ratio_out_of_reach(costs):
    pattern = (
        r"^a memory-saving ratio of 4 is out of reach: 4-bit 'e2m1' weights give (\d\.\d{3}); "
        r"choose fewer bits or a smaller ratio$"
    )
    with pytest.raises(QuantizationError, match=pattern) as caught:
        bits_within(4.0, SETTINGS, costs)
    assert float(re.match(pattern, str(caught.value)).group(1)) < 4.0

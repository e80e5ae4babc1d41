# SPDX-License-Identifier: Apache-2.0
"""Sensitivities: what is predicted for one rounded layer is what the outputs lose."""

import numpy as np
import pytest

from quant.floatgraph import FloatActivation, FloatConv, FloatGraph, FloatInput
from quant.ptq.executor import FloatExecutor
from quant.ptq.recipes.sensitivity import LayerInputs, OutputCosts, sensitivities, sensitivity_note
from quant.ptq.schemes.setting import quantize_layer
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import plan_steps
from quant.ptq.study import with_weights

SETTINGS = QuantizeSettings(weight_bits=4, edge_bits=8)


def network():
    rng = np.random.default_rng(2)

    def conv(name, source, filters, channels):
        weight = rng.normal(0, 1 / np.sqrt(9 * channels), (filters, channels, 3, 3))
        bias = np.zeros(filters, np.float32)
        return FloatConv(name, source, weight.astype(np.float32), bias, (1, 1), (1,) * 4, 1)

    ops = (
        FloatInput("x", (3, 12, 12)),
        conv("stem", "x", 8, 3),
        FloatActivation("act", "stem", "silu"),
        conv("inner", "act", 8, 8),
        FloatActivation("more", "inner", "silu"),
        conv("head", "more", 4, 8),
    )
    channels = {"x": 3, "stem": 8, "act": 8, "inner": 8, "more": 8, "head": 4}
    shapes = {name: (c, 12, 12) for name, c in channels.items()}
    return FloatGraph("n", ops, ("head",), shapes, 0)


def images():
    return np.random.default_rng(3).normal(0, 1, (4, 3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("name", ["stem", "inner", "head"])
def test_the_prediction_is_near_what_the_outputs_lose(name):
    graph = network()
    weight = next(op.weight for op in graph.ops if op.name == name)
    rounded = quantize_layer(weight, SETTINGS.weights_of(4)).stored_real.astype(np.float32)
    exact = FloatExecutor(graph).run(images())["head"].astype(np.float64)
    made = FloatExecutor(with_weights(graph, {name: rounded})).run(images())["head"]
    # The prediction leaves out the mean error, which a bias takes away; here it is small.
    measured = 10 * np.log10(np.square(exact).sum() / np.square(made - exact).sum())
    found = {
        s.name: s
        for s in sensitivities(
            plan_steps(graph), SETTINGS, OutputCosts(LayerInputs(graph, images()))
        )
    }
    assert abs(found[name].low_db - measured) < 1.5


def test_edges_are_named_with_their_bits_and_cost():
    graph = network()
    found = sensitivities(plan_steps(graph), SETTINGS, OutputCosts(LayerInputs(graph, images())))
    assert [s.low_db for s in found] == sorted(s.low_db for s in found)
    by_name = {s.name: s for s in found}
    assert (by_name["stem"].edge, by_name["inner"].edge, by_name["head"].edge) == (
        True,
        False,
        True,
    )
    assert (by_name["stem"].bits, by_name["inner"].bits) == (8, 4)
    assert by_name["stem"].own_db > by_name["stem"].low_db + 15
    assert by_name["inner"].own_db == by_name["inner"].low_db
    assert by_name["head"].extra_kib == 4 * 288 / 8192
    note = sensitivity_note(found)
    assert "stem and head" in note
    assert f"take {4 * (216 + 288) / 8192:.1f} KiB more than inner layers' bits would" in note

# SPDX-License-Identifier: Apache-2.0
"""Importance predicts what an error inside costs the outputs."""

import numpy as np
import torch

from quant.floatgraph import FloatActivation, FloatConv, FloatGraph, FloatInput
from quant.ptq.executor import apply_op
from quant.ptq.importance import output_importance

SIDE = 10


def network(gains=(1.0, 0.1, 0.0)):
    """Channel c of 'stem.act' reaches the head through a depthwise gain."""
    rng = np.random.default_rng(5)
    stem = rng.normal(0, 0.5, (3, 3, 1, 1)).astype(np.float32)
    depth = np.array(gains, np.float32).reshape(3, 1, 1, 1)
    head = rng.normal(0, 1, (4, 3, 1, 1)).astype(np.float32)

    def conv(name, source, weight, groups=1):
        bias = np.zeros(len(weight), np.float32)
        return FloatConv(name, source, weight, bias, (1, 1), (0, 0, 0, 0), groups)

    ops = (
        FloatInput("x", (3, SIDE, SIDE)),
        conv("stem", "x", stem),
        FloatActivation("stem.act", "stem", "silu"),
        conv("depth", "stem.act", depth, 3),
        conv("head", "depth", head),
    )
    shapes = dict.fromkeys(("x", "stem", "stem.act", "depth"), (3, SIDE, SIDE))
    return FloatGraph("net", ops, ("head",), shapes | {"head": (4, SIDE, SIDE)}, 0)


def test_equals_the_energy_gain_of_a_linear_rest():
    graph = network()
    images = np.random.default_rng(2).random((1, 3, SIDE, SIDE), dtype=np.float32)
    found = output_importance(graph, {"stem.act"}, np.repeat(images, 400, axis=0))["stem.act"]
    values = {"x": torch.from_numpy(images)}
    for op in graph.ops[1:]:
        values[op.name] = apply_op(op, [values[op.source]])
    energy = float(values["head"].double().square().sum())
    depth, head = graph.ops[3].weight.reshape(3), graph.ops[4].weight.reshape(4, 3)
    exact = np.square(depth) * np.square(head.astype(np.float64)).sum(axis=0) / energy
    assert exact[2] == found[2] == 0.0
    # Random signs: 400 images of 100 pixels leave about 1 percent.
    assert np.all(np.abs(found[:2] / exact[:2] - 1.0) < 0.05)


def test_the_same_images_give_the_same_bits():
    images = np.random.default_rng(2).random((2, 3, SIDE, SIDE), dtype=np.float32)
    first, again = (output_importance(network(), {"stem", "depth"}, images) for _ in range(2))
    assert all(np.array_equal(first[n], again[n]) for n in ("stem", "depth"))
    assert first["stem"].shape == (3,)

# SPDX-License-Identifier: Apache-2.0
"""Equalised networks compute the same, with even channels beside depthwise convolutions."""

import numpy as np
import pytest
import torch
from torch import nn

from quant.hostspec import HostSpec
from quant.ptq.equalize import DENSE_SHARE, MOST, Pair, equalise, find_pairs
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.loaded import LoadedModel

SIDE = 12


def graph_of(module: nn.Module):
    host = HostSpec(
        SIDE, SIDE, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, "none", (), (), (), ()
    )
    return import_model(LoadedModel(module.eval(), host, "net")).graph


def uneven(activation=nn.ReLU, seed=0):
    """1x1, depthwise, 1x1 twice; channels whose ranges differ by far."""
    torch.manual_seed(seed)
    layers = []
    for inputs, filters, groups in ((3, 8, 1), (8, 8, 8), (8, 6, 1), (6, 12, 6), (12, 12, 12)):
        conv = nn.Conv2d(inputs, filters, 3, padding=1, groups=groups)
        with torch.no_grad():
            conv.weight *= torch.logspace(0, -1.2, filters)[:, None, None, None]
            conv.bias *= torch.logspace(0, -1.2, filters)
        layers += [conv, activation()]
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12 * 36, 5))


@pytest.fixture
def images():
    return np.random.default_rng(3).random((4, 3, SIDE, SIDE)).astype(np.float32)


def channel_maxima(graph, images):
    found = {}

    def visit(name, tensor):
        found[name] = tensor.abs().amax((0, 2, 3)).numpy()

    FloatExecutor(graph).run(images, visit)
    return found


def test_same_function_and_even_channels(images):
    graph = graph_of(uneven())
    even, count = equalise(graph, iter(images))
    pairs = find_pairs(graph)
    assert count == len(pairs) == 5
    assert [p.second for p in pairs][-1] == "12"  # through the pool to the linear layer
    before, after = FloatExecutor(graph).run(images), FloatExecutor(even).run(images)
    for name in graph.outputs:
        np.testing.assert_allclose(before[name], after[name], 1e-4, 1e-6)
    maxima, old = channel_maxima(even, images), channel_maxima(graph, images)
    for pair in pairs:
        seen = maxima[pair.tensor]
        live = old[pair.tensor] > old[pair.tensor].max() / MOST
        assert live.sum() > 1
        spread = old[pair.tensor][live] / old[pair.tensor].max()
        assert spread.min() < 0.6
        # Depthwise readers get even channels, dense ones a part of the way.
        left = 0.0 if pair.second in ("2", "6", "8") else 1 - DENSE_SHARE
        np.testing.assert_allclose(seen[live] / seen.max(), spread**left, 1e-4)


def test_what_a_factor_does_not_pass_is_left_alone(images):
    never = iter(())  # no image is read
    for activation in (nn.SiLU, nn.ReLU6, nn.Hardswish):
        graph = graph_of(uneven(activation))
        same, count = equalise(graph, never)
        assert (same, count) == (graph, 0)


def test_dense_layers_are_left_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU())
    assert find_pairs(graph_of(net)) == ()


class Twice(nn.Module):
    """The tensor between the layers has a second reader, or leaves."""

    def __init__(self, leaves):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.leaves = leaves

    def forward(self, x):
        y = torch.relu(self.first(x))
        z = self.second(y)
        return (z, y) if self.leaves else y + z


@pytest.mark.parametrize("leaves", [False, True])
def test_tensors_with_other_readers_are_left_alone(leaves):
    assert find_pairs(graph_of(Twice(leaves))) == ()


def test_pairs_are_named():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, groups=4)
    )
    assert find_pairs(graph_of(net)) == (Pair("0", "1", "3"),)


def test_dead_channels_stay_finite(images):
    net = uneven()
    with torch.no_grad():
        net[0].weight[2] = 0
        net[0].bias[2] = -1
    even, count = equalise(graph_of(net), iter(images))
    assert count == 5
    assert all(np.isfinite(v).all() for v in FloatExecutor(even).run(images).values())

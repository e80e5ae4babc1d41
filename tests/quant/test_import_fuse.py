# SPDX-License-Identifier: Apache-2.0
"""Fusion: found by structure, equal to the unfused module, and only where it is allowed."""

import numpy as np
import pytest
import torch
from torch import nn

from quant.floatgraph import FloatAdd, FloatConv, FloatGraph
from quant.hostspec import HostSpec
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.loaded import LoadedModel


class Branches(nn.Module):
    """Sum of parallel branches of one tensor."""

    def __init__(self, *branches, channels=6):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 1)
        self.branches = nn.ModuleList(branches)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.act(self.stem(x))
        return self.act(sum(branch(x) for branch in self.branches))


def conv_norm(kernel, stride=1, padding=None, groups=1, inputs=6, filters=6):
    padding = kernel // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(inputs, filters, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(filters, eps=1e-3),
    )


def import_equal(module: nn.Module, size: int = 12) -> FloatGraph:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                values = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(values + 0.3 if name.endswith("running_var") else values - 0.5)
    host = HostSpec(
        size, size, "center", 114, "rgb", (0.0, 0.0, 0.0), (255.0,) * 3, "none", (), (), (), ()
    )
    graph = import_model(LoadedModel(module.eval(), host, "net")).graph
    batch = np.random.default_rng(3).random((2, 3, size, size), dtype=np.float32)
    (found,) = FloatExecutor(graph).run(batch).values()
    with torch.no_grad():
        wanted = module(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    return graph


def layers(graph):
    return [op for op in graph.ops if isinstance(op, FloatConv | FloatAdd)]


FUSED = {
    "repvgg": ((3, 3), lambda: [conv_norm(3), conv_norm(1), nn.BatchNorm2d(6)]),
    "mobileone depthwise": (
        (3, 3),
        lambda: [
            nn.BatchNorm2d(6),
            *[conv_norm(3, groups=6) for _ in range(3)],
            conv_norm(1, groups=6),
        ],
    ),
    "grouped identity": ((3, 3), lambda: [conv_norm(3, groups=2), nn.BatchNorm2d(6)]),
    "stride two": ((3, 3), lambda: [conv_norm(3, 2), conv_norm(1, 2)]),
    "asymmetric": (
        (3, 3),
        lambda: [nn.Conv2d(6, 6, (1, 3), padding=(0, 1)), nn.Conv2d(6, 6, (3, 1), padding=(1, 0))],
    ),
    "large kernel": ((7, 7), lambda: [conv_norm(1), conv_norm(7), conv_norm(3)]),
    "no norm": ((3, 3), lambda: [nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(6, 4, 1, bias=False)]),
    "two norms": ((1, 1), lambda: [nn.BatchNorm2d(6), nn.BatchNorm2d(6)]),
}


@pytest.mark.parametrize("name", FUSED)
def test_parallel_branches_become_one_convolution(name):
    kernel, branches = FUSED[name]
    graph = import_equal(Branches(*branches()))
    stem, conv = layers(graph)
    assert isinstance(conv, FloatConv)
    assert conv.weight.shape[2:] == kernel
    assert conv.source == "act"
    assert stem.name == "stem"


def test_named_by_the_largest_branch():
    graph = import_equal(Branches(conv_norm(1), conv_norm(3), nn.BatchNorm2d(6)))
    assert [op.name for op in graph.ops] == ["images", "stem", "act", "branches.1.0", "act_1"]


NOT_FUSED = {
    "activation inside": lambda: [
        nn.Conv2d(6, 6, 3, padding=1),
        nn.Sequential(nn.Conv2d(6, 6, 1), nn.ReLU()),
    ],
    "other groups": lambda: [conv_norm(3), conv_norm(3, groups=6)],
    "plain identity": lambda: [conv_norm(3), nn.Identity()],
    # Equal output sizes, but the windows are not aligned at their centres.
    "off centre": lambda: [nn.Conv2d(6, 6, 3, 4, 1), nn.Conv2d(6, 6, 2, 4, 0)],
    "other strides": lambda: [nn.Conv2d(6, 6, 12, 1), nn.Conv2d(6, 6, 12, 2)],
}


@pytest.mark.parametrize("name", NOT_FUSED)
def test_kept_as_a_sum(name):
    graph = import_equal(Branches(*NOT_FUSED[name]()))
    assert any(isinstance(op, FloatAdd) for op in graph.ops)


def test_branch_that_something_else_reads_is_kept():
    class Tapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3, padding=1)
            self.b = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            a = self.a(x)
            return torch.cat([a + self.b(x), a], 1)

    assert len(layers(import_equal(Tapped()))) == 3


def test_branches_of_different_tensors_are_kept():
    class Different(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 3, 1)
            self.b = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.a(x) + self.b(x.relu())

    assert len(layers(import_equal(Different()))) == 3


def test_same_tensor_twice_stays_an_add():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            y = self.a(x)
            return y + y

    add = layers(import_equal(Twice()))[-1]
    assert isinstance(add, FloatAdd)
    assert add.sources == ("a", "a")


def test_norm_of_a_tapped_convolution_stays_apart():
    class Tapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            return torch.cat([self.norm(y), y], 1)

    conv, norm = layers(import_equal(Tapped()))
    assert (conv.name, norm.name) == ("conv", "norm")
    assert norm.groups == 4
    assert norm.weight.shape == (4, 1, 1, 1)


def test_fusion_happens_in_float64():
    # Cancelling branches: float32 sums of large terms would leave noise of 1e-4 and more.
    net = Branches(conv_norm(3), conv_norm(3))
    graph = import_equal(net)
    with torch.no_grad():
        first, second = net.branches
        total = np.zeros((6, 6, 3, 3))
        for conv, norm in (first, second):
            gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            total += (conv.weight.double() * gain[:, None, None, None]).numpy()
    np.testing.assert_array_equal(layers(graph)[-1].weight, total.astype(np.float32))


class Focus(nn.Module):
    """YOLOX's stem: four pixel phases side by side, then a convolution."""

    def __init__(self, stride=1, twice=False):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(12, 5, 3, stride, 1, bias=False), nn.BatchNorm2d(5))
        self.twice = twice

    def forward(self, x):
        parts = [x[..., i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
        y = torch.cat(parts, 1)
        z = self.conv(y)
        return torch.cat([z, y], 1) if self.twice else z


@pytest.mark.parametrize("stride", [1, 2])
def test_focus_becomes_one_strided_convolution(stride):
    graph = import_equal(Focus(stride))
    (conv,) = layers(graph)
    assert conv.name == "conv.0"
    assert conv.source == "images"
    assert conv.weight.shape == (5, 3, 6, 6)
    assert (conv.stride, conv.padding) == ((2 * stride,) * 2, (2, 2, 2, 2))


def test_focus_that_something_else_reads_stays_as_depthwise_convolutions():
    graph = import_equal(Focus(twice=True))
    assert [c.groups for c in layers(graph)] == [3, 3, 3, 3, 1]

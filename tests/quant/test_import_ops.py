# SPDX-License-Identifier: Apache-2.0
"""Every supported operation imports, runs equal to the torch module, and has a readable name."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from quant.floatgraph import FloatActivation, FloatConv, FloatMaxPool, FloatUpsample
from quant.hostspec import HostSpec
from quant.ptq.check import check_model
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import Imported, import_model
from quant.zoo.loaded import LoadedModel


class Net(nn.Module):
    """A stem convolution, then the function under test."""

    def __init__(self, body, channels=8):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.body = body

    def forward(self, x):
        return self.body(self.stem(x))


class Body(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def load(module: nn.Module, size: int = 16, seed: int = 1) -> LoadedModel:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                values = torch.rand(tensor.shape, generator=generator)
                positive = name.endswith(("running_var", "norm.weight"))
                tensor.copy_(values + 0.5 if positive else values - 0.5)
    host = HostSpec(
        size, size, "center", 114, "rgb", (0.0, 0.0, 0.0), (255.0,) * 3, "none", (), (), (), ()
    )
    return LoadedModel(module.eval(), host, "net")


def import_equal(module: nn.Module, size: int = 16) -> Imported:
    """Import and compare the outputs on a batch that the importer has not seen."""
    loaded = load(module, size)
    result = import_model(loaded)
    batch = np.random.default_rng(3).random((2, 3, size, size), dtype=np.float32)
    found = FloatExecutor(result.graph).run(batch)
    with torch.no_grad():
        wanted = loaded.module(torch.from_numpy(batch))
    wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    assert len(found) == len(wanted)
    for a, b in zip(found.values(), wanted, strict=True):
        b = b.numpy()
        assert a.size == b.size
        np.testing.assert_allclose(a.reshape(b.shape), b, rtol=1e-4, atol=1e-4)
    assert result.host.outputs == tuple((name,) for name in result.graph.outputs)
    for op in result.graph.ops:
        assert op.name in result.graph.shapes
    return result


class ChunkAdd(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, 1)
        return a + b


class Slices(nn.Module):
    def forward(self, x):
        return torch.cat([x[:, 2:5], x[:, -2:], x.narrow(1, 0, 3), *x.split([3, 5], 1)], dim=-3)


class Sums(nn.Module):
    def forward(self, x):
        return torch.add(x, x) + sum([x, torch.relu(x)])


class HandSwish(nn.Module):
    def forward(self, x):
        return torch.sigmoid(x) * x


class Shared(nn.Module):
    """One module called twice, and dropped operations."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)
        self.drop = nn.Dropout()
        self.nothing = nn.Identity()

    def forward(self, x):
        return self.drop(self.conv(self.nothing(self.conv(x).contiguous()).clone()))


class Inplace(nn.Module):
    """What reads a tensor after an in-place activation reads the activated one."""

    def forward(self, x):
        y = F.relu_(x)
        return x + torch.sigmoid(y)


class Classifier(nn.Module):
    def __init__(self, pool):
        super().__init__()
        self.pool = pool
        self.fc1 = nn.Linear(8, 6)
        self.fc2 = nn.Linear(6, 4)

    def forward(self, x):
        x = torch.flatten(self.pool(x), 1)
        return self.fc2(F.relu(self.fc1(F.dropout(x, 0.5, self.training))))


class Flat(nn.Module):
    """Flattening of a plane: the linear layer reads channel-major values."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8 * 16, 5)

    def forward(self, x):
        x = F.max_pool2d(x, 4)
        return self.fc(F.relu(x.view(x.shape[0], -1)))


BODIES = {
    "same": nn.Conv2d(8, 4, (4, 3), padding="same"),
    "grouped": nn.Conv2d(8, 12, 3, stride=(2, 1), padding=(0, 2), groups=4, bias=False),
    "depthwise": nn.Conv2d(8, 8, 5, padding=2, groups=8),
    "norm": nn.Sequential(nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6, eps=0.03)),
    "standalone norm": nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8), nn.SiLU()),
    "norm without affine": nn.Sequential(nn.BatchNorm2d(8, affine=False)),
    "relu": nn.ReLU(inplace=True),
    "relu6": nn.ReLU6(),
    "silu": nn.SiLU(inplace=True),
    "leaky": nn.LeakyReLU(0.07),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "sigmoid": nn.Sigmoid(),
    "functional leaky": Body(lambda x: F.leaky_relu(x, 0.2)),
    "tensor method": Body(lambda x: x.sigmoid()),
    "swish by hand": HandSwish(),
    "max pool": nn.MaxPool2d(5, 1, 2),
    "max pool even": nn.MaxPool2d(2),
    "avg pool": nn.AvgPool2d(3, 2, count_include_pad=False, divisor_override=9),
    "global pool": nn.AdaptiveAvgPool2d((1, 1)),
    "mean": Body(lambda x: x.mean((2, 3))),
    "mean keepdim": Body(lambda x: x.mean([-1, -2], keepdim=True)),
    "chunk": ChunkAdd(),
    "slices": Slices(),
    "sums": Sums(),
    "upsample": nn.Upsample(scale_factor=3),
    "upsample exact": Body(lambda x: F.interpolate(x, size=(32, 32), mode="nearest-exact")),
    "shared": Shared(),
    "inplace": Inplace(),
    "classifier": Classifier(nn.AdaptiveAvgPool2d(1)),
    "flat": Flat(),
    "several outputs": Body(lambda x: [x.relu(), F.max_pool2d(x, 2), x]),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", BODIES)
def test_imports_equal_to_torch(name):
    import_equal(Net(BODIES[name]))


def test_names_come_from_module_paths():
    net = Net(nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.SiLU(), ChunkAdd()))
    names = [op.name for op in import_equal(net).graph.ops]
    assert names == [
        "images",
        "stem",
        "body.0",
        "body.2",
        "body.3.chunk.0",
        "body.3.chunk.1",
        "body.3.add",
    ]


def test_module_called_twice_gets_a_number():
    names = [op.name for op in import_equal(Net(Shared())).graph.ops]
    assert names == ["images", "stem", "body.conv", "body.conv_1"]


def test_shared_activation_is_named_by_its_place():
    act = nn.SiLU()

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 1)
            self.act = act

        def forward(self, x):
            return self.act(self.conv(x))

    graph = import_equal(Net(nn.Sequential(Block(), Block()))).graph
    assert [op.name for op in graph.ops if isinstance(op, FloatActivation)] == [
        "body.0.act",
        "body.1.act",
    ]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_same_padding_of_an_even_kernel_is_asymmetric():
    graph = import_equal(Net(nn.Conv2d(8, 4, (4, 3), padding="same"))).graph
    conv = graph.ops[-1]
    assert isinstance(conv, FloatConv)
    assert conv.padding == (1, 1, 2, 1)


def test_shapes_factors_and_windows():
    body = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Upsample(scale_factor=2))
    graph = import_equal(Net(body)).graph
    pool, up = graph.ops[2:]
    assert isinstance(pool, FloatMaxPool)
    assert (pool.kernel, pool.stride, pool.padding) == ((3, 3), (2, 2), (1, 1, 1, 1))
    assert isinstance(up, FloatUpsample)
    assert up.factor == 2
    assert graph.shapes == {
        "images": (3, 16, 16),
        "stem": (8, 16, 16),
        "body.0": (8, 8, 8),
        "body.1": (8, 16, 16),
    }


def test_a_dead_branch_is_dropped():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Conv2d(8, 8, 1)
            self.unused = nn.Conv2d(8, 8, 3)

        def forward(self, x):
            self.unused(x).softmax(1)
            return self.used(x)

    names = [op.name for op in import_equal(Net(Dead())).graph.ops]
    assert names == ["images", "stem", "body.used"]


def test_check_counts():
    report = check_model(load(Net(nn.Sequential(nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6)))))
    value = report.to_json()
    assert value["parameters"] == (3 * 8 * 9 + 8) + (8 * 6 * 9 + 6) + 2 * 6
    assert value["fused_parameters"] == (3 * 8 * 9 + 8) + (8 * 6 * 9 + 6)
    assert value["macs"] == 3 * 8 * 9 * 16 * 16 + 8 * 6 * 9 * 14 * 14
    assert value["operations"] == {"conv": 2}
    assert value["unsupported"] == []
    assert value["outputs"] == (("body.0",),)


def test_training_flag_is_set_to_eval():
    loaded = load(Net(nn.Sequential(nn.BatchNorm2d(8), nn.Dropout())))
    loaded.module.train()
    import_model(loaded)
    assert not loaded.module.training


def test_global_hooks_are_removed():
    import_model(load(Net(nn.ReLU())))
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert not torch.nn.modules.module._global_forward_hooks

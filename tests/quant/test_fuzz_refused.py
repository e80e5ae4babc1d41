# SPDX-License-Identifier: Apache-2.0
"""Random networks with one unsupported operation in the trunk: refused, by its name."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from quant.errors import UnsupportedLayerError
from quant.ptq.check import check_model
from quant.ptq.importer import import_model
from quant.zoo.random_network import random_model


class Call(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Gate(nn.Module):
    """Squeeze and excitation: a product of two computed tensors."""

    def __init__(self, channels):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(x, 1)))


class Shuffle(nn.Module):
    """Channel shuffle of two groups."""

    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


# Makes the module for 8 channels; the name that the message begins with; what else it says.
TWISTS = {
    "dilation": (lambda c: nn.Conv2d(c, c, 3, padding=2, dilation=2), "twist", "dilation (2, 2)"),
    "reflect": (
        lambda c: nn.Conv2d(c, c, 3, padding=1, padding_mode="reflect"), "twist", "mode 'reflect'",
    ),
    "circular": (
        lambda c: nn.Conv2d(c, c, 3, padding=1, padding_mode="circular"),
        "twist",
        "mode 'circular'",
    ),
    "replicate": (
        lambda c: nn.Conv2d(c, c, 3, padding=1, padding_mode="replicate"),
        "twist",
        "mode 'replicate'",
    ),
    "constant pad": (lambda c: nn.ConstantPad2d(1, 0.5), "twist", "pads (1, 1, 1, 1)"),
    "transposed": (lambda c: nn.ConvTranspose2d(c, c, 2, 2), "twist", "is ConvTranspose2d"),
    "unfold": (lambda c: nn.PixelShuffle(2), "twist", "is PixelShuffle"),
    "pool ceil": (lambda c: nn.MaxPool2d(3, 2, ceil_mode=True), "twist", "ceil_mode=True"),
    "pool dilation": (lambda c: nn.MaxPool2d(2, dilation=2), "twist", "dilation (2, 2)"),
    "average ceil": (lambda c: nn.AvgPool2d(3, 2, ceil_mode=True), "twist", "ceil_mode=True"),
    "average padding": (lambda c: nn.AvgPool2d(3, 1, 1), "twist", "padding (1, 1)"),
    "average divisor": (lambda c: nn.AvgPool2d(2, divisor_override=3), "twist", "divisor_override"),
    "adaptive 2x2": (lambda c: nn.AdaptiveAvgPool2d(2), "twist", "output_size 2"),
    "adaptive max": (lambda c: nn.AdaptiveMaxPool2d(3), "twist", "AdaptiveMaxPool2d"),
    "power pool": (lambda c: nn.LPPool2d(2, 2), "twist", "LPPool2d"),
    "group norm": (lambda c: nn.GroupNorm(2, c), "twist", "is GroupNorm"),
    "instance norm": (lambda c: nn.InstanceNorm2d(c), "twist", "InstanceNorm2d"),
    "response norm": (lambda c: nn.LocalResponseNorm(3), "twist", "LocalResponseNorm"),
    "batch statistics": (
        lambda c: nn.BatchNorm2d(c, track_running_stats=False), "twist", "statistics of the batch",
    ),
    "softmax": (lambda c: nn.Softmax(1), "twist", "is Softmax"),
    "elu": (lambda c: nn.ELU(), "twist", "is ELU"),
    "gelu": (lambda c: nn.GELU(), "twist", "is GELU"),
    "mish": (lambda c: nn.Mish(), "twist", "is Mish"),
    "tanh": (lambda c: nn.Tanh(), "twist", "is Tanh"),
    "softplus": (lambda c: nn.Softplus(), "twist", "is Softplus"),
    "prelu": (lambda c: nn.PReLU(c), "twist", "is PReLU"),
    "hardtanh": (lambda c: nn.Hardtanh(-1, 1), "twist", "clips to (-1.0, 1.0)"),
    "slope": (lambda c: nn.LeakyReLU(1.5), "twist", "negative_slope 1.5"),
    "bilinear": (lambda c: nn.Upsample(scale_factor=2, mode="bilinear"), "twist", "'bilinear'"),
    "bicubic": (lambda c: nn.Upsample(scale_factor=2, mode="bicubic"), "twist", "'bicubic'"),
    "one axis": (lambda c: nn.Upsample(scale_factor=(1, 2)), "twist", "one integer factor"),
    "gate": (Gate, "twist.mul", "multiplies two computed"),
    "square": (lambda c: Call(lambda x: x * x), "twist.mul", "multiplies two"),
    "scaled": (lambda c: Call(lambda x: x * 0.5), "twist.mul", "is mul"),
    "divided": (lambda c: Call(lambda x: x / (1 + x.abs())), "twist.", "nibbleflow builds"),
    "difference": (lambda c: Call(lambda x: x - x.mean((2, 3), True)), "twist.sub", "is sub"),
    "shifted": (lambda c: Call(lambda x: x + 1.0), "twist.add", "adds a constant"),
    "weighted sum": (lambda c: Call(lambda x: torch.add(x, x, alpha=2)), "twist.add", "alpha 2"),
    "broadcast": (lambda c: Call(lambda x: x + x[:, :1]), "twist.add", "adds tensors of shapes"),
    "exponential": (lambda c: Call(torch.exp), "twist.exp", "is exp"),
    "clamp": (lambda c: Call(lambda x: x.clamp(0, 4)), "twist.clamp", "is clamp"),
    "maximum": (lambda c: Call(lambda x: torch.maximum(x, -x)), "twist.", "nibbleflow builds"),
    "rows": (lambda c: Call(lambda x: torch.cat([x, x], 2)), "twist.cat", "dim=2"),
    "halves": (lambda c: Call(lambda x: x.chunk(2, 3)[0]), "twist.chunk", "dim=3"),
    "crop": (lambda c: Call(lambda x: x[:, :, 1:-1]), "twist.getitem", "takes the elements"),
    "every other": (lambda c: Call(lambda x: x[:, ::2]), "twist.getitem", "takes the elements"),
    "permuted": (lambda c: Call(lambda x: x.permute(0, 1, 3, 2)), "twist.permute", "is permute"),
    "flipped": (lambda c: Call(lambda x: x.flip(3)), "twist.flip", "is flip"),
    "channel mean": (lambda c: Call(lambda x: x.mean(1, True)), "twist.mean", "takes the mean"),
    "shuffle": (lambda c: Shuffle(), "twist.view", "reshapes"),
}  # fmt: skip


def test_there_are_fifty():
    assert len(TWISTS) == 50


@pytest.mark.parametrize("name", TWISTS)
def test_refused_by_name(name):
    make, where, says = TWISTS[name]
    seed = 1000 + list(TWISTS).index(name)
    loaded = random_model(seed, steps=5, twist=make)
    with pytest.raises(UnsupportedLayerError) as caught:
        import_model(loaded)
    message = str(caught.value)
    assert message.startswith(f"'{where}"), message
    assert says in message
    assert "; " in message  # the way out
    listed = check_model(loaded).unsupported
    assert listed[0].name.startswith(where)

    # The same network without the twist is imported: nothing else was in the way.
    import_model(random_model(seed, steps=5))

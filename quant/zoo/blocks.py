# SPDX-License-Identifier: Apache-2.0
"""Torch building blocks of the YOLO family, attribute names as in the published state dicts.

Every block maps float32 [N, C, H, W] to float32 [N, F, H', W'] and traces with ``torch.fx``.
"""

from dataclasses import dataclass
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.errors import UnsupportedLayerError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "SiLU": nn.SiLU,
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "LeakyReLU": nn.LeakyReLU,
    "Hardswish": nn.Hardswish,
}


@dataclass(frozen=True)
class BlockStyle:
    """What all blocks of one network share.

    Attributes:
        activation: A key of ``ACTIVATIONS``.
        bn_eps: Epsilon of every batch normalisation, > 0.
        slope: Negative slope of ``LeakyReLU``.
    """

    activation: str
    bn_eps: float
    slope: float = 0.1

    def make_activation(self) -> nn.Module:
        """Return a new activation module.

        Raises:
            UnsupportedLayerError: The activation is not known.
        """
        kind = ACTIVATIONS.get(self.activation)
        if kind is None:
            raise UnsupportedLayerError(
                f"activation '{self.activation}' is not known; known: {', '.join(ACTIVATIONS)}"
            )
        return nn.LeakyReLU(self.slope) if kind is nn.LeakyReLU else kind()

    def make_norm(self, channels: int) -> nn.BatchNorm2d:
        """Return a new batch normalisation over ``channels``."""
        return nn.BatchNorm2d(channels, eps=self.bn_eps, momentum=0.03)


class Conv(nn.Module):
    """Convolution without bias, batch normalisation, activation."""

    def __init__(
        self,
        style: BlockStyle,
        inputs: int,
        filters: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
    ) -> None:
        """Make the block.

        Args:
            style: Activation and epsilon.
            inputs: Channels read.
            filters: Channels made.
            kernel: Kernel size, both ways.
            stride: Stride, both ways.
            padding: Zeros around; ``None`` for ``kernel // 2``.
            groups: Channel groups.
        """
        super().__init__()
        pad = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(inputs, filters, kernel, stride, pad, groups=groups, bias=False)
        self.bn = style.make_norm(filters)
        self.act = style.make_activation()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``act(bn(conv(x)))``."""
        result: Tensor = self.act(self.bn(self.conv(x)))
        return result


class RepConv(nn.Module):
    """3x3, 1x1 and (where shapes allow) identity branches, summed, then activated.

    The training form; ``fused_kernel`` gives the one 3x3 convolution that it equals in eval mode.
    Source: RepVGG (Ding et al., 2021).
    """

    def __init__(self, style: BlockStyle, inputs: int, filters: int, stride: int = 1) -> None:
        """Make the block; the identity branch exists when inputs = filters and stride = 1."""
        super().__init__()
        self.rbr_dense = nn.Sequential(
            nn.Conv2d(inputs, filters, 3, stride, 1, bias=False), style.make_norm(filters)
        )
        self.rbr_1x1 = nn.Sequential(
            nn.Conv2d(inputs, filters, 1, stride, 0, bias=False), style.make_norm(filters)
        )
        identity = inputs == filters and stride == 1
        self.rbr_identity = style.make_norm(inputs) if identity else None
        self.act = style.make_activation()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated sum of the branches."""
        y = self.rbr_dense(x) + self.rbr_1x1(x)
        if self.rbr_identity is not None:
            y = y + self.rbr_identity(x)
        result: Tensor = self.act(y)
        return result


class Bottleneck(nn.Module):
    """1x1, 3x3, and the input added where channels agree."""

    def __init__(
        self, style: BlockStyle, inputs: int, filters: int, shortcut: bool, expansion: float
    ) -> None:
        """Make the block with ``int(filters * expansion)`` hidden channels."""
        super().__init__()
        hidden = int(filters * expansion)
        self.cv1 = Conv(style, inputs, hidden, 1)
        self.cv2 = Conv(style, hidden, filters, 3)
        self.add = shortcut and inputs == filters

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + cv2(cv1(x))``, or without ``x``."""
        y: Tensor = self.cv2(self.cv1(x))
        return x + y if self.add else y


class RepBottleneck(nn.Module):
    """1x1 to half the channels, RepConv back, and the input added."""

    def __init__(self, style: BlockStyle, channels: int) -> None:
        """Make the block; input and output have ``channels`` channels."""
        super().__init__()
        self.cv1 = Conv(style, channels, channels // 2, 1)
        self.cv2 = RepConv(style, channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + cv2(cv1(x))``."""
        y: Tensor = self.cv2(self.cv1(x))
        return x + y


class C3(nn.Module):
    """Two 1x1 paths, one with bottlenecks, concatenated and mixed by a third 1x1."""

    def __init__(
        self, style: BlockStyle, inputs: int, filters: int, repeats: int, shortcut: bool
    ) -> None:
        """Make the block with ``repeats`` bottlenecks on half the filters."""
        super().__init__()
        hidden = filters // 2
        self.cv1 = Conv(style, inputs, hidden, 1)
        self.cv2 = Conv(style, inputs, hidden, 1)
        self.cv3 = Conv(style, 2 * hidden, filters, 1)
        self.m = nn.Sequential(
            *(Bottleneck(style, hidden, hidden, shortcut, 1.0) for _ in range(repeats))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``cv3(cat(m(cv1(x)), cv2(x)))``."""
        result: Tensor = self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))
        return result


class SPPF(nn.Module):
    """1x1, three chained max pools, all four concatenated, 1x1."""

    def __init__(self, style: BlockStyle, inputs: int, filters: int, kernel: int = 5) -> None:
        """Make the block; the pools have odd size ``kernel`` and stride 1."""
        super().__init__()
        hidden = inputs // 2
        self.cv1 = Conv(style, inputs, hidden, 1)
        self.cv2 = Conv(style, hidden * 4, filters, 1)
        self.m = nn.MaxPool2d(kernel, 1, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``cv2(cat(x1, m(x1), m(m(x1)), m(m(m(x1)))))`` with ``x1 = cv1(x)``."""
        x1 = self.cv1(x)
        x2 = self.m(x1)
        x3 = self.m(x2)
        result: Tensor = self.cv2(torch.cat((x1, x2, x3, self.m(x3)), 1))
        return result


class SPP(nn.Module):
    """1x1, max pools of several sizes side by side, all concatenated, 1x1."""

    def __init__(
        self, style: BlockStyle, inputs: int, filters: int, kernels: tuple[int, ...] = (5, 9, 13)
    ) -> None:
        """Make the block; the pools have odd sizes ``kernels`` and stride 1."""
        super().__init__()
        hidden = inputs // 2
        self.cv1 = Conv(style, inputs, hidden, 1)
        self.cv2 = Conv(style, hidden * (len(kernels) + 1), filters, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in kernels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``cv2`` of ``cv1(x)`` and its pools."""
        y = self.cv1(x)
        result: Tensor = self.cv2(torch.cat([y, *(pool(y) for pool in self.m)], 1))
        return result


class Concat(nn.Module):
    """Concatenation along channels of the tensors of a list."""

    def forward(self, tensors: list[Tensor]) -> Tensor:
        """Return the tensors one after the other along axis 1."""
        return torch.cat(tensors, 1)


def fused_kernel(block: Conv | RepConv) -> tuple[Tensor, Tensor]:
    """Return the one convolution that ``block`` equals before its activation in eval mode.

    Returns:
        float32 weight [F, C/groups, KH, KW] and bias [F]; gradients flow to the block's parameters.
    """
    match block:
        case Conv():
            return _fold_norm(block.conv.weight, block.bn)
        case RepConv():
            weight, bias = _fold_norm(_weight(block.rbr_dense), _norm(block.rbr_dense))
            point, point_bias = _fold_norm(_weight(block.rbr_1x1), _norm(block.rbr_1x1))
            weight, bias = weight + F.pad(point, (1, 1, 1, 1)), bias + point_bias
            if block.rbr_identity is not None:
                eye = torch.eye(weight.shape[0], dtype=weight.dtype)[:, :, None, None]
                one, one_bias = _fold_norm(eye, block.rbr_identity)
                weight, bias = weight + F.pad(one, (1, 1, 1, 1)), bias + one_bias
            return weight, bias
        case _:
            assert_never(block)


def _fold_norm(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None:
        raise UnsupportedLayerError("a batch normalisation without running statistics; retrain it")
    gain = norm.weight / torch.sqrt(var + norm.eps)
    return weight * gain[:, None, None, None], norm.bias - mean * gain


def _weight(branch: nn.Sequential) -> Tensor:
    weight: Tensor = branch[0].get_parameter("weight")
    return weight


def _norm(branch: nn.Sequential) -> nn.BatchNorm2d:
    norm = branch[1]
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"RepConv branch ends with {type(norm).__name__}")
    return norm

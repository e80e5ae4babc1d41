# SPDX-License-Identifier: Apache-2.0
"""Building blocks of YOLOX, attribute names as in the published state dicts.

Every block maps float32 [N, C, H, W] to float32 [N, F, H', W'].
Source: YOLOX (Ge et al., 2021); depthwise form.
"""

import torch
from torch import Tensor, nn

from quant.zoo.blocks import BlockStyle, Conv


class DepthwiseConv(nn.Module):
    """Depthwise convolution, then 1x1, each normalised and activated."""

    def __init__(
        self, style: BlockStyle, inputs: int, filters: int, kernel: int, stride: int = 1
    ) -> None:
        """Make the block with an odd ``kernel``."""
        super().__init__()
        self.dconv = Conv(style, inputs, inputs, kernel, stride, groups=inputs)
        self.pconv = Conv(style, inputs, filters)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``pconv(dconv(x))``."""
        result: Tensor = self.pconv(self.dconv(x))
        return result


class Focus(nn.Module):
    """Four pixel phases side by side in the channels, then a convolution."""

    def __init__(self, style: BlockStyle, inputs: int, filters: int, kernel: int) -> None:
        """Make the block with an odd ``kernel`` on the phases."""
        super().__init__()
        self.conv = Conv(style, inputs * 4, filters, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [N, filters, H/2, W/2]; H and W are even."""
        phases = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        result: Tensor = self.conv(torch.cat(phases, 1))
        return result


class DepthwiseBottleneck(nn.Module):
    """1x1, depthwise 3x3 with 1x1, and the input added where wanted."""

    def __init__(self, style: BlockStyle, channels: int, shortcut: bool) -> None:
        """Make the block; input and output have ``channels`` channels."""
        super().__init__()
        self.conv1 = Conv(style, channels, channels)
        self.conv2 = DepthwiseConv(style, channels, channels, 3)
        self.add = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + conv2(conv1(x))``, or without ``x``."""
        y: Tensor = self.conv2(self.conv1(x))
        return x + y if self.add else y


class CspLayer(nn.Module):
    """Two 1x1 paths, one with bottlenecks, concatenated and mixed by a third 1x1."""

    def __init__(
        self, style: BlockStyle, inputs: int, filters: int, repeats: int, shortcut: bool
    ) -> None:
        """Make the block with ``repeats`` bottlenecks on half the filters."""
        super().__init__()
        hidden = filters // 2
        self.conv1 = Conv(style, inputs, hidden)
        self.conv2 = Conv(style, inputs, hidden)
        self.conv3 = Conv(style, 2 * hidden, filters)
        self.m = nn.Sequential(
            *(DepthwiseBottleneck(style, hidden, shortcut) for _ in range(repeats))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``conv3(cat(m(conv1(x)), conv2(x)))``."""
        deep, plain = self.conv1(x), self.conv2(x)
        result: Tensor = self.conv3(torch.cat((self.m(deep), plain), 1))
        return result


class SppBottleneck(nn.Module):
    """1x1, max pools of several sizes side by side, all concatenated, 1x1."""

    def __init__(
        self, style: BlockStyle, inputs: int, filters: int, kernels: tuple[int, ...] = (5, 9, 13)
    ) -> None:
        """Make the block; the pools have odd sizes ``kernels`` and stride 1."""
        super().__init__()
        hidden = inputs // 2
        self.conv1 = Conv(style, inputs, hidden)
        self.m = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in kernels)
        self.conv2 = Conv(style, hidden * (len(kernels) + 1), filters)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``conv2`` of ``conv1(x)`` and its pools."""
        y = self.conv1(x)
        result: Tensor = self.conv2(torch.cat([y, *(pool(y) for pool in self.m)], 1))
        return result

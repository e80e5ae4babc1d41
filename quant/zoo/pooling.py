# SPDX-License-Identifier: Apache-2.0
"""Pooling blocks of the YOLOv7 family, attribute names as in the published state dicts.

Source: YOLOv7 (Wang et al., 2022).
"""

import torch
from torch import Tensor, nn

from quant.zoo.blocks import BlockStyle, Conv


class MP(nn.Module):
    """Max pool that shrinks both sides by ``size``."""

    def __init__(self, size: int = 2) -> None:
        """Make the block; window and stride are ``size``."""
        super().__init__()
        self.m = nn.MaxPool2d(size, size)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [N, C, H/size, W/size]."""
        result: Tensor = self.m(x)
        return result


class SP(nn.Module):
    """Max pool that keeps the size at stride 1."""

    def __init__(self, kernel: int = 3, stride: int = 1) -> None:
        """Make the block; the window has odd size ``kernel``."""
        super().__init__()
        self.m = nn.MaxPool2d(kernel, stride, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [N, C, H/stride, W/stride]."""
        result: Tensor = self.m(x)
        return result


class SPPCSPC(nn.Module):
    """Spatial pyramid pooling beside a plain 1x1 path (cross-stage partial)."""

    def __init__(
        self,
        style: BlockStyle,
        inputs: int,
        filters: int,
        expansion: float = 0.5,
        kernels: tuple[int, ...] = (5, 9, 13),
    ) -> None:
        """Make the block with ``int(2 * filters * expansion)`` hidden channels."""
        super().__init__()
        hidden = int(2 * filters * expansion)
        self.cv1 = Conv(style, inputs, hidden, 1)
        self.cv2 = Conv(style, inputs, hidden, 1)
        self.cv3 = Conv(style, hidden, hidden, 3)
        self.cv4 = Conv(style, hidden, hidden, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in kernels)
        self.cv5 = Conv(style, hidden * (len(kernels) + 1), hidden, 1)
        self.cv6 = Conv(style, hidden, hidden, 3)
        self.cv7 = Conv(style, 2 * hidden, filters, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``cv7`` of the pooled path and ``cv2(x)``."""
        deep = self.cv4(self.cv3(self.cv1(x)))
        pooled = self.cv6(self.cv5(torch.cat([deep, *(pool(deep) for pool in self.m)], 1)))
        result: Tensor = self.cv7(torch.cat((pooled, self.cv2(x)), 1))
        return result

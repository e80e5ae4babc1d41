# SPDX-License-Identifier: Apache-2.0
"""Blocks of ShuffleNetV2, attribute names as in YOLOv5-Lite's published state dicts.

Source: ShuffleNet V2 (Ma et al., 2018).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quant.zoo.blocks import BlockStyle


@dataclass(frozen=True)
class Run:
    """Channels ``begin`` to ``end`` (excluded) of a piece: 0 is the input, i what block i made."""

    piece: int
    begin: int
    end: int


Plan = tuple[tuple[Run, ...], ...]


class StemPool(nn.Module):
    """3x3 convolution of stride 2, then 3x3 max pool of stride 2."""

    def __init__(self, style: BlockStyle, inputs: int, filters: int) -> None:
        """Make the block."""
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, filters, 3, 2, 1, bias=False),
            style.make_norm(filters),
            style.make_activation(),
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [N, filters, H/4, W/4]."""
        result: Tensor = self.maxpool(self.conv(x))
        return result


class ShuffleBlock(nn.Module):
    """Half of the channels kept, half convolved (both convolved at stride 2), then interleaved.

    Attributes:
        stride: 1 or 2.
        plan: Without interleaving, see ``quant.zoo.unshuffle``; ``None`` as published.
    """

    def __init__(self, style: BlockStyle, inputs: int, filters: int, stride: int) -> None:
        """Make the block; at stride 1 ``inputs`` equals ``filters``.

        Raises:
            ValueError: The stride or the channels do not fit.
        """
        super().__init__()
        if stride not in (1, 2) or filters % 2 or (stride == 1 and inputs != filters):
            raise ValueError(f"it makes {filters} channels of {inputs} at stride {stride}")
        half = filters // 2
        self.stride = stride
        self.plan: Plan | None = None
        self.branch1 = nn.Sequential()
        if stride == 2:
            self.branch1 = nn.Sequential(
                *_depthwise(style, inputs, stride), *_pointwise(style, inputs, half)
            )
        self.branch2 = nn.Sequential(
            *_pointwise(style, inputs if stride == 2 else half, half),
            *_depthwise(style, half, stride),
            *_pointwise(style, half, half),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [N, filters, H/stride, W/stride]."""
        if self.plan is not None:
            return _run([self], self.plan, x)
        if self.stride == 2:
            kept, made = self.branch1(x), self.branch2(x)
        else:
            kept, second = x.chunk(2, 1)
            made = self.branch2(second)
        return torch.stack((kept, made), 2).flatten(1, 2)


class ShuffleStage(nn.Sequential):
    """Several blocks of stride 1.

    Attributes:
        plan: Without interleaving, see ``quant.zoo.unshuffle``; ``None`` as published.
    """

    def __init__(self, blocks: list[ShuffleBlock]) -> None:
        """Make the stage.

        Raises:
            ValueError: A block has stride 2.
        """
        super().__init__(*blocks)
        if any(block.stride != 1 for block in blocks):
            raise ValueError("it repeats a block of stride 2")
        self.blocks = tuple(blocks)
        self.plan: Plan | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [N, C, H, W]."""
        if self.plan is not None:
            return _run(list(self.blocks), self.plan, x)
        for block in self.blocks:
            x = block(x)
        return x


def _run(blocks: list[ShuffleBlock], plan: Plan, x: Tensor) -> Tensor:
    """Run blocks on slices of the pieces; the last entry of the plan is the result."""
    pieces = [x]
    for block, runs in zip(blocks, plan[:-1], strict=True):
        if block.stride == 2:
            pieces.append(torch.cat((block.branch1(x), block.branch2(x)), 1))
        else:
            pieces.append(block.branch2(_joined(pieces, runs)))
    return _joined(pieces, plan[-1])


def _joined(pieces: list[Tensor], runs: tuple[Run, ...]) -> Tensor:
    return torch.cat([pieces[r.piece][:, r.begin : r.end] for r in runs], 1)


def _pointwise(style: BlockStyle, inputs: int, filters: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(inputs, filters, 1, bias=False)
    return conv, style.make_norm(filters), style.make_activation()


def _depthwise(style: BlockStyle, channels: int, stride: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    return conv, style.make_norm(channels)

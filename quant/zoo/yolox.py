# SPDX-License-Identifier: Apache-2.0
"""YOLOX-Nano: depthwise CSPDarknet, path aggregation, decoupled head without anchors.

State dict names as published; ``drop_norms`` gives the form of networks exported with batch
normalisation fused. Source: YOLOX (Ge et al., 2021).
"""

import math

import torch
from torch import Tensor, nn

from quant.zoo.blocks import BlockStyle, Conv
from quant.zoo.csp import CspLayer, DepthwiseConv, Focus, SppBottleneck
from quant.zoo.head import check_image_size

STYLE = BlockStyle("SiLU", 0.001)
STRIDES = (8, 16, 32)
WIDTHS = (16, 32, 64, 128, 256)  # stem and the four stages
REPEATS = (1, 3, 3, 1)
HEAD_WIDTH = 64
PRIOR = 0.01


class CspDarknet(nn.Module):
    """Backbone; gives the last three stages."""

    def __init__(self) -> None:
        """Make the backbone."""
        super().__init__()
        self.stem = Focus(STYLE, 3, WIDTHS[0], 3)
        stages: list[nn.Module] = []
        for index, repeats in enumerate(REPEATS):
            inputs, filters, last = WIDTHS[index], WIDTHS[index + 1], index == len(REPEATS) - 1
            layers: list[nn.Module] = [DepthwiseConv(STYLE, inputs, filters, 3, 2)]
            if last:
                layers.append(SppBottleneck(STYLE, filters, filters))
            layers.append(CspLayer(STYLE, filters, filters, repeats, shortcut=not last))
            stages.append(nn.Sequential(*layers))
        self.dark2, self.dark3, self.dark4, self.dark5 = stages

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return float32 maps of strides 8, 16 and 32."""
        first = self.dark3(self.dark2(self.stem(image)))
        second = self.dark4(first)
        return first, second, self.dark5(second)


class Pafpn(nn.Module):
    """Backbone, then features passed top down and bottom up."""

    def __init__(self) -> None:
        """Make backbone and neck."""
        super().__init__()
        small, middle, large = WIDTHS[2:]
        self.backbone = CspDarknet()
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral_conv0 = Conv(STYLE, large, middle)
        self.C3_p4 = CspLayer(STYLE, 2 * middle, middle, 1, shortcut=False)
        self.reduce_conv1 = Conv(STYLE, middle, small)
        self.C3_p3 = CspLayer(STYLE, 2 * small, small, 1, shortcut=False)
        self.bu_conv2 = DepthwiseConv(STYLE, small, small, 3, 2)
        self.C3_n3 = CspLayer(STYLE, 2 * small, middle, 1, shortcut=False)
        self.bu_conv1 = DepthwiseConv(STYLE, middle, middle, 3, 2)
        self.C3_n4 = CspLayer(STYLE, 2 * middle, large, 1, shortcut=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return float32 maps of strides 8, 16 and 32."""
        x2, x1, x0 = self.backbone(image)
        top = self.lateral_conv0(x0)
        joined = self.C3_p4(torch.cat((self.upsample(top), x1), 1))
        side = self.reduce_conv1(joined)
        fine = self.C3_p3(torch.cat((self.upsample(side), x2), 1))
        medium = self.C3_n3(torch.cat((self.bu_conv2(fine), side), 1))
        return fine, medium, self.C3_n4(torch.cat((self.bu_conv1(medium), top), 1))


class YoloxHead(nn.Module):
    """Separate towers for classes and boxes; eval mode decodes, training mode leaves raw maps."""

    def __init__(self, classes: int, image_size: tuple[int, int]) -> None:
        """Make the head for an input of (height, width) pixels."""
        super().__init__()
        check_image_size(image_size, STRIDES)
        self.image_size = image_size
        self.stems = nn.ModuleList(Conv(STYLE, c, HEAD_WIDTH) for c in WIDTHS[2:])
        self.cls_convs = nn.ModuleList(_tower() for _ in STRIDES)
        self.reg_convs = nn.ModuleList(_tower() for _ in STRIDES)
        self.cls_preds = nn.ModuleList(nn.Conv2d(HEAD_WIDTH, classes, 1) for _ in STRIDES)
        self.reg_preds = nn.ModuleList(nn.Conv2d(HEAD_WIDTH, 4, 1) for _ in STRIDES)
        self.obj_preds = nn.ModuleList(nn.Conv2d(HEAD_WIDTH, 1, 1) for _ in STRIDES)

    def set_prior(self) -> None:
        """Start objectness and classes at a low probability."""
        with torch.no_grad():
            for conv in (*self.obj_preds, *self.cls_preds):
                conv.get_parameter("bias").fill_(math.log(PRIOR / (1 - PRIOR)))

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor | list[Tensor]:
        """Return the predictions.

        Args:
            maps: Per scale, float32 [N, C, H/stride, W/stride].

        Returns:
            In training mode, per scale float32 [N, 5 + classes, H/stride, W/stride] as the
            convolutions made it. In eval mode, float32 [N, rows, 5 + classes]: centre x, centre y,
            width, height in pixels, objectness, class scores; rows in order scale, y, x.
        """
        raw = [self._raw(i, x) for i, x in enumerate(maps)]
        if self.training:
            return [torch.cat(parts, 1) for parts in raw]
        rows = []
        for stride, (box, objectness, classes) in zip(STRIDES, raw, strict=True):
            joined = torch.cat((box, objectness.sigmoid(), classes.sigmoid()), 1)
            rows.append(self._decode(joined.flatten(2).permute(0, 2, 1), stride))
        return torch.cat(rows, 1)

    def _raw(self, scale: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return box, objectness and class maps."""
        stem = self.stems[scale](x)
        classes = self.cls_preds[scale](self.cls_convs[scale](stem))
        towered = self.reg_convs[scale](stem)
        return self.reg_preds[scale](towered), self.obj_preds[scale](towered), classes

    def _decode(self, rows: Tensor, stride: int) -> Tensor:
        ny, nx = self.image_size[0] // stride, self.image_size[1] // stride
        yv, xv = torch.meshgrid(torch.arange(ny), torch.arange(nx), indexing="ij")
        grid = torch.stack((xv, yv), -1).reshape(1, ny * nx, 2).float()
        xy = (rows[..., :2] + grid) * stride
        return torch.cat((xy, torch.exp(rows[..., 2:4]) * stride, rows[..., 4:]), -1)


class Yolox(nn.Module):
    """YOLOX-Nano."""

    def __init__(self, classes: int, image_size: tuple[int, int]) -> None:
        """Make the network.

        Raises:
            QuantizationError: The image size is not a multiple of the largest stride.
        """
        super().__init__()
        self.backbone = Pafpn()
        self.head = YoloxHead(classes, image_size)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return what the head makes of float32 [N, 3, H, W], see ``YoloxHead.forward``."""
        result: Tensor | list[Tensor] = self.head(self.backbone(image))
        return result


def drop_norms(module: nn.Module) -> None:
    """Give every block one convolution with bias and no normalisation, in place."""
    for block in module.modules():
        if isinstance(block, Conv):
            block.conv.bias = nn.Parameter(torch.zeros(block.conv.out_channels))
            block.add_module("bn", nn.Identity())


def _tower() -> nn.Sequential:
    return nn.Sequential(*(DepthwiseConv(STYLE, HEAD_WIDTH, HEAD_WIDTH, 3) for _ in range(2)))

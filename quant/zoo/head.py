# SPDX-License-Identifier: Apache-2.0
"""The anchor-based YOLOv5 detection head, with its decoding."""

import math

import torch
from torch import Tensor, nn

from quant.errors import QuantizationError

Anchors = tuple[tuple[tuple[float, float], ...], ...]


class Detect(nn.Module):
    """One 1x1 convolution per scale; eval mode decodes to boxes, training mode leaves raw maps.

    The grids are made from the configured input size, so that the trace has no shape arithmetic.

    Attributes:
        nc: Classes.
        na: Anchors per scale.
        no: Values per prediction row: 4 box, 1 objectness, ``nc`` classes.
        strides: Stride of each scale in pixels.
        image_size: (height, width) of the input in pixels.
        anchors: Buffer, float32 [scales, na, 2]: width and height in units of the stride (as the
            published state dicts have it).
        m: The head convolutions.
    """

    anchors: Tensor

    def __init__(
        self,
        inputs: tuple[int, ...],
        classes: int,
        anchors: Anchors,
        strides: tuple[int, ...],
        image_size: tuple[int, int],
    ) -> None:
        """Make the head.

        Args:
            inputs: Channels read at each scale.
            classes: Number of classes.
            anchors: Per scale, (width, height) in pixels.
            strides: Stride of each scale in pixels.
            image_size: (height, width) in pixels, multiples of the largest stride.
        """
        super().__init__()
        self.nc = classes
        self.na = len(anchors[0])
        self.no = classes + 5
        self.strides = strides
        self.m = nn.ModuleList(nn.Conv2d(c, self.na * self.no, 1) for c in inputs)
        scaled = torch.tensor(anchors) / torch.tensor(strides)[:, None, None]
        self.register_buffer("anchors", scaled)
        self.image_size = image_size
        for i in range(len(strides)):
            self.register_buffer(f"grid{i}", torch.empty(0), persistent=False)
        self.set_image_size(image_size)

    def set_image_size(self, image_size: tuple[int, int]) -> None:
        """Make the grids for another input size (height, width) in pixels.

        Raises:
            QuantizationError: A side is not a positive multiple of the largest stride.
        """
        check_image_size(image_size, self.strides)
        self.image_size = image_size
        for i, stride in enumerate(self.strides):
            ny, nx = image_size[0] // stride, image_size[1] // stride
            yv, xv = torch.meshgrid(torch.arange(ny), torch.arange(nx), indexing="ij")
            grid = torch.stack((xv, yv), -1).reshape(1, 1, ny, nx, 2).float()
            setattr(self, f"grid{i}", grid)

    def set_prior(self, objects_per_image: float) -> None:
        """Start the biases at the odds of an object being in a cell, for training from scratch."""
        with torch.no_grad():
            for i, stride in enumerate(self.strides):
                cells = self.image_size[0] * self.image_size[1] / stride**2
                bias = self.m[i].get_parameter("bias").view(self.na, self.no)
                bias[:, 4] = math.log(objects_per_image / cells / self.na)
                bias[:, 5:] = math.log(0.6 / (self.nc - 0.99))

    def pixel_anchors(self) -> Anchors:
        """Return per scale the (width, height) of the anchors in pixels."""
        result = []
        for row, stride in zip(self.anchors.tolist(), self.strides, strict=True):
            result.append(tuple((w * stride, h * stride) for w, h in row))
        return tuple(result)

    def forward(self, maps: list[Tensor]) -> Tensor | list[Tensor]:
        """Return the predictions.

        Args:
            maps: Per scale, float32 [N, C, H/stride, W/stride].

        Returns:
            In training mode, the raw maps, each float32 [N, na*no, H/stride, W/stride]. In eval
            mode, float32 [N, rows, no]: centre x, centre y, width, height in pixels, objectness,
            class scores; rows in order scale, anchor, y, x.
        """
        raw = self.raw_maps(maps)
        if self.training:
            return raw
        return torch.cat([self._decode(i, y) for i, y in enumerate(raw)], 1)

    def raw_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """Return per scale float32 [N, na*no, H/stride, W/stride]."""
        return [conv(x) for conv, x in zip(self.m, maps, strict=True)]

    def _decode(self, scale: int, raw: Tensor) -> Tensor:
        stride = self.strides[scale]
        ny, nx = self.image_size[0] // stride, self.image_size[1] // stride
        y = raw.reshape(-1, self.na, self.no, ny, nx).permute(0, 1, 3, 4, 2).sigmoid()
        xy, wh, scores = torch.split(y, [2, 2, self.nc + 1], 4)
        xy = (xy * 2.0 - 0.5 + self.get_buffer(f"grid{scale}")) * stride
        wh = (wh * 2.0) ** 2 * (self.anchors[scale] * stride).reshape(1, self.na, 1, 1, 2)
        return torch.cat((xy, wh, scores), 4).reshape(-1, self.na * ny * nx, self.no)


def check_image_size(image_size: tuple[int, int], strides: tuple[int, ...]) -> None:
    """Check that every scale divides the input evenly.

    Args:
        image_size: (height, width) in pixels.
        strides: Strides of the network in pixels.

    Raises:
        QuantizationError: A side is not a positive multiple of the largest stride.
    """
    largest = max(strides)
    for side in image_size:
        if side < largest or side % largest:
            raise QuantizationError(
                f"image size {image_size[0]}x{image_size[1]} is not a positive multiple of the "
                f"largest stride {largest}; {max(1, round(side / largest)) * largest} would be"
            )

# SPDX-License-Identifier: Apache-2.0
"""The detection head of YOLOv7's training form: head convolutions between learned constants.

``y = im * (W (x + ia) + b)`` is the convolution ``(im W) x + im * (W ia + b)``; only that is run.
Source: YOLOR's implicit knowledge (Wang et al., 2021), as YOLOv7 uses it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.zoo.head import Anchors, Detect


class Implicit(nn.Module):
    """A learned constant per channel; the head reads it, nothing calls it."""

    def __init__(self, channels: int, value: float) -> None:
        """Make ``implicit``, float32 [1, channels, 1, 1], filled with ``value``."""
        super().__init__()
        self.implicit = nn.Parameter(torch.full((1, channels, 1, 1), value))


class HeadConv(nn.Conv2d):
    """A 1x1 convolution that runs with the constants around it folded in."""

    def __init__(self, inputs: int, filters: int) -> None:
        """Make the convolution."""
        super().__init__(inputs, filters, 1)

    def folded(self, offset: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight [F, C, 1, 1] and bias [F] of ``gain * conv(x + offset)``, float32.

        Args:
            offset: [1, C, 1, 1], added to the input.
            gain: [1, F, 1, 1], multiplies the output.
        """
        # In float64, so that the one rounding to float32 is all that differs from exact.
        weight, factor = self.weight.double(), gain.double().reshape(-1, 1)
        matrix = weight[:, :, 0, 0]
        bias = matrix @ offset.double().reshape(-1)
        if self.bias is not None:
            bias = bias + self.bias.double()
        folded = (matrix * factor)[:, :, None, None]
        return folded.float(), (bias * factor[:, 0]).float()

    def apply_folded(self, x: Tensor, offset: Tensor, gain: Tensor) -> Tensor:
        """Return ``gain * conv(x + offset)`` as one convolution."""
        return F.conv2d(x, *self.folded(offset, gain))

    # torch passes what it is called with; the base class takes the input alone.
    def forward(
        self, x: Tensor, offset: Tensor | None = None, gain: Tensor | None = None
    ) -> Tensor:
        """Return the plain convolution, or with ``offset`` and ``gain`` the folded one."""
        if offset is None or gain is None:
            return super().forward(x)
        return self.apply_folded(x, offset, gain)


class IDetect(Detect):
    """``Detect`` with a learned offset before and a learned gain behind each head convolution.

    Attributes:
        ia: Offsets, one per scale.
        im: Gains, one per scale.
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        classes: int,
        anchors: Anchors,
        strides: tuple[int, ...],
        image_size: tuple[int, int],
    ) -> None:
        """Make the head; arguments as ``Detect``'s. The constants start neutral."""
        super().__init__(inputs, classes, anchors, strides, image_size)
        rows = self.na * self.no
        self.m = nn.ModuleList(HeadConv(c, rows) for c in inputs)
        self.ia = nn.ModuleList(Implicit(c, 0.0) for c in inputs)
        self.im = nn.ModuleList(Implicit(rows, 1.0) for _ in inputs)

    def raw_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """Return per scale float32 [N, na*no, H/stride, W/stride]."""
        return [
            conv(x, offset.implicit, gain.implicit)
            for conv, offset, gain, x in zip(self.m, self.ia, self.im, maps, strict=True)
        ]

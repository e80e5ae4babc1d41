# SPDX-License-Identifier: Apache-2.0
"""The detection head of YOLOv7's training form: head convolutions between learned constants.

``y = im * (W (x + ia) + b)`` is the convolution ``(im W) x + im * (W ia + b)``; only that is run.
Source: YOLOR's implicit knowledge (Wang et al., 2021), as YOLOv7 uses it.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from quant.zoo.head import Anchors, Detect


class Implicit(nn.Module):
    """A learned constant per channel; the head reads it, nothing calls it."""

    def __init__(self, channels: int, value: float) -> None:
        """Make ``implicit``, float32 [1, channels, 1, 1], filled with ``value``."""
        super().__init__()
        self.implicit = nn.Parameter(torch.full((1, channels, 1, 1), value))


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
        self.ia = nn.ModuleList(Implicit(c, 0.0) for c in inputs)
        self.im = nn.ModuleList(Implicit(self.na * self.no, 1.0) for _ in inputs)

    def raw_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """Return per scale float32 [N, na*no, H/stride, W/stride]."""
        made: list[Tensor] = []
        for i, x in enumerate(maps):
            weight, bias = self.folded(i)
            if torch.onnx.is_in_onnx_export():  # there no parameter can be replaced
                made.append(functional.conv2d(x, weight, bias))
            else:  # as a call of the module, so that the layer keeps its name
                made.append(functional_call(self.m[i], {"weight": weight, "bias": bias}, (x,)))
        return made

    def folded(self, scale: int) -> tuple[Tensor, Tensor]:
        """Return the one convolution of a scale: float32 weight [F, C, 1, 1] and bias [F]."""
        # In float64, so that the one rounding to float32 is all that differs from exact.
        weight = self.m[scale].get_parameter("weight").double()
        bias = self.m[scale].get_parameter("bias").double()
        offset = self.ia[scale].get_parameter("implicit").double().flatten()
        gain = self.im[scale].get_parameter("implicit").double().flatten()
        folded = weight * gain[:, None, None, None]
        return folded.float(), ((weight[:, :, 0, 0] @ offset + bias) * gain).float()

# SPDX-License-Identifier: Apache-2.0
"""Blocks of parallel linear branches, and the one convolution that they equal.

Source: RepVGG (Ding et al., 2021), MobileOne (Vasu et al., 2023).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.errors import UnsupportedLayerError


@dataclass(frozen=True)
class ConvShape:
    """What the branches of one block share.

    Attributes:
        inputs: Channels read.
        filters: Channels made.
        kernel: Odd size of the largest kernel, both ways; padding is half of it.
        stride: Stride, both ways.
        groups: Channel groups.
    """

    inputs: int
    filters: int
    kernel: int
    stride: int = 1
    groups: int = 1

    @property
    def keeps(self) -> bool:
        """Whether the output has the input's shape, so that an identity branch is possible."""
        return self.inputs == self.filters and self.stride == 1

    def make_conv(self, kernel: int, bias: bool) -> nn.Conv2d:
        """Return a new convolution of the block with another odd kernel size."""
        return nn.Conv2d(
            self.inputs, self.filters, kernel, self.stride, kernel // 2, 1, self.groups, bias
        )


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation."""

    def __init__(self, shape: ConvShape, kernel: int) -> None:
        """Make the branch with an odd ``kernel``."""
        super().__init__()
        self.conv = shape.make_conv(kernel, bias=False)
        self.bn = nn.BatchNorm2d(shape.filters)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``bn(conv(x))``."""
        result: Tensor = self.bn(self.conv(x))
        return result


Branch = nn.Conv2d | ConvNorm | nn.BatchNorm2d


class BranchBlock(nn.Module):
    """ReLU of the sum of parallel branches; with one branch, of that branch.

    Attributes:
        shape: What the branches share.
    """

    def __init__(self, shape: ConvShape, branches: dict[str, Branch | list[Branch]]) -> None:
        """Register the branches under their published names, lists as numbered branches."""
        super().__init__()
        self.shape = shape
        self._parts: list[Branch] = []  # a plain list; the modules are registered by name
        for name, branch in branches.items():
            if isinstance(branch, list):
                self.add_module(name, nn.ModuleList(branch))
                self._parts += branch
            else:
                self.add_module(name, branch)
                self._parts.append(branch)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [N, F, H/stride, W/stride]."""
        y = self._parts[0](x)
        for part in self._parts[1:]:
            y = y + part(x)
        result: Tensor = self.act(y)
        return result

    def fused(self) -> tuple[Tensor, Tensor]:
        """Return the one convolution that the block equals before its activation in eval mode.

        Returns:
            float32 weight [F, C/groups, K, K] and bias [F].
        """
        shape = self.shape
        size = (shape.filters, shape.inputs // shape.groups, shape.kernel, shape.kernel)
        weight = torch.zeros(size, dtype=torch.float64)
        bias = torch.zeros(shape.filters, dtype=torch.float64)
        for part in self._parts:
            kernel, offset = self._as_conv(part)
            margin = (shape.kernel - kernel.shape[-1]) // 2
            weight += F.pad(kernel, (margin,) * 4)
            bias += offset
        return weight.float(), bias.float()

    def _as_conv(self, part: Branch) -> tuple[Tensor, Tensor]:
        """Return a branch as float64 weight and bias."""
        if isinstance(part, nn.Conv2d):
            bias = part.get_parameter("bias") if part.bias is not None else None
            zero = torch.zeros(self.shape.filters, dtype=torch.float64)
            return part.weight.double(), zero if bias is None else bias.double()
        if isinstance(part, ConvNorm):
            gain, offset = _gain_and_offset(part.bn)
            return part.conv.weight.double() * gain[:, None, None, None], offset
        gain, offset = _gain_and_offset(part)
        per_group = self.shape.inputs // self.shape.groups
        index = torch.arange(self.shape.filters)
        weight = torch.zeros((self.shape.filters, per_group, 1, 1), dtype=torch.float64)
        weight[index, index % per_group, 0, 0] = gain
        return weight, offset


def _gain_and_offset(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise UnsupportedLayerError("a batch normalisation without running statistics; retrain it")
    gain = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
    return gain, norm.bias.double() - mean.double() * gain

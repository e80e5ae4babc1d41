# SPDX-License-Identifier: Apache-2.0
"""Parts of tensors that belong together: the same window of an image at several resolutions.

A step of block calibration need not see whole tensors. The window is chosen in pixels of the
coarsest tensor that the step will make; a finer one is cut where that window lies on it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from quant.floatgraph import FloatAvgPool, FloatLinear
from quant.ptq.recipes.blocks import StepGraph


@dataclass(frozen=True)
class Windows:
    """Where windows may lie.

    Attributes:
        whole: (height, width) of the coarsest tensor.
        side: (height, width) of a window on it; ``whole`` keeps tensors whole.
        factors: Per tensor, how much finer it is, vertically and horizontally.
    """

    whole: tuple[int, int]
    side: tuple[int, int]
    factors: Mapping[str, tuple[int, int]]

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Return top and left of a window, in pixels of the coarsest tensor."""
        top = int(rng.integers(0, self.whole[0] - self.side[0] + 1))
        left = int(rng.integers(0, self.whole[1] - self.side[1] + 1))
        return top, left

    def cut(self, name: str, tensor: torch.Tensor, corner: tuple[int, int]) -> torch.Tensor:
        """Return the window's part of a tensor [N, C, H, W]."""
        if self.side == self.whole:
            return tensor
        down, right = self.factors[name]
        top, left = corner[0] * down, corner[1] * right
        return tensor[:, :, top : top + self.side[0] * down, left : left + self.side[1] * right]


def windows_of(
    lines: StepGraph, sources: Sequence[str], made: Iterable[str], share: float
) -> Windows:
    """Return the windows of a part of the network.

    Args:
        lines: Of the network.
        sources: Tensors that are cut.
        made: Steps that then run; tensors stay whole where one of them needs them so, or where
            resolutions do not divide each other.
        share: Side of a window, as a share of the tensors' sides.
    """
    steps = list(made)
    shapes = [lines.shape[name][1:] for name in (*sources, *steps)]
    whole = min(height for height, _ in shapes), min(width for _, width in shapes)
    fixed = any(isinstance(lines.steps[n].op, FloatLinear | FloatAvgPool) for n in steps)
    uneven = any(h % whole[0] or w % whole[1] for h, w in shapes)
    factors = {n: _factor(lines.shape[n], whole) for n in sources}
    if fixed or uneven or share >= 1.0:
        return Windows(whole, whole, factors)
    side = tuple(max(1, int(length * share + 0.5)) for length in whole)
    return Windows(whole, (side[0], side[1]), factors)


def _factor(shape: tuple[int, int, int], whole: tuple[int, int]) -> tuple[int, int]:
    return shape[1] // whole[0], shape[2] // whole[1]

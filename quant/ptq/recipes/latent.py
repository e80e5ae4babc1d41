# SPDX-License-Identifier: Apache-2.0
"""Layers in training: real weights behind the stored ones, rounded on every pass.

A latent weight is measured in steps of its decode table, so that one learning rate suits all
layers; the scale of a filter is its gain, and the codes do not depend on it. Rounding passes
gradients straight through.
"""

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatConv, FloatLinear
from quant.ptq.recipes.network import shaped
from quant.ptq.recipes.solution import LayerSolution, scale_per_filter, with_units
from quant.ptq.schemes.grouping import Grouping
from quant.ptq.schemes.levels import Levels

Floats = npt.NDArray[np.float64]


class LatentLayer:
    """One layer's trained parameters.

    Attributes:
        weight: float32 OIHW, latent weights over half the span of their table.
        stretch: float32 [F, 1, 1, 1], logarithm of what the filter's scale counts times.
        bias: float32 [F].
    """

    def __init__(
        self, op: FloatConv | FloatLinear, solution: LayerSolution, device: torch.device
    ) -> None:
        """Start at a solution, every latent weight on the level of its code.

        A start elsewhere in the cell, nearer to the float weight, lets the noise of gradients undo
        the codes first.

        Args:
            op: The layer.
            solution: Where to start.
            device: Where parameters live.
        """
        self._op, self._solution = op, solution
        stored = solution.weights
        grouping = Grouping(stored.granularity, stored.shape)
        entries = stored.tables[stored.selectors.reshape(-1)].astype(np.float64)
        self.half_span = max(0.5, float(entries.max(axis=1).max() - entries.min(axis=1).min()) / 2)
        self._even = bool(np.all(np.diff(entries, axis=1) == 1.0))
        real_step = stored.multipliers * scale_per_filter(stored)[:, None, None, None]
        self._step = torch.from_numpy(np.broadcast_to(real_step, stored.shape).copy())
        self._step = self._step.float().to(device)
        rows = grouping.rows(stored.codes.astype(np.float64)).astype(np.int64)
        start = grouping.tensor(np.take_along_axis(entries, rows, 1))
        ends = [np.broadcast_to(grouping.per_group(e), stored.shape) for e in _ends(entries)]
        self._low, self._high = (torch.from_numpy(e.copy()).float().to(device) for e in ends)
        if not self._even:
            # Halves of integers decide between levels, so that half steps index the nearest one.
            self._first = int(2 * entries.min()) - 1
            halves = np.arange(self._first, int(2 * entries.max()) + 2) / 2
            used, readers = np.unique(entries, axis=0, return_inverse=True)
            middles = Levels.nearest(used)
            near = middles.rounded(np.tile(halves + 0.25, (len(used), 1)))
            starts = grouping.per_group(readers.reshape(-1) * len(halves) - self._first)
            begin = np.broadcast_to(starts, stored.shape).astype(np.int32)
            self._near = torch.from_numpy(near.reshape(-1)).float().to(device)
            self._begin = torch.from_numpy(begin).to(device)
        self.weight = torch.from_numpy(start / self.half_span).float().to(device)
        self.stretch = torch.zeros((stored.shape[0], 1, 1, 1), device=device)
        self.bias = torch.from_numpy(solution.bias).float().to(device)

    @property
    def parameters(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latent weights, stretches and bias."""
        return self.weight, self.stretch, self.bias

    def real(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return real weight and bias as the layer's operation takes them, with gradients."""
        units = self.weight * self.half_span
        with torch.no_grad():
            away = self._nearest(units.detach()) - units
        weight = (units + away) * (self._step * self.stretch.exp())
        return shaped(self._op, weight), self.bias

    @torch.no_grad()
    def confine(self) -> None:
        """Bring latent weights back to the span of their levels."""
        self.weight.clamp_(self._low / self.half_span, self._high / self.half_span)

    def solution(self) -> LayerSolution:
        """Return the layer as it is now."""
        stored = self._solution.weights
        latent = self.weight.detach().cpu().double().numpy() * self.half_span
        stretch = self.stretch.detach().cpu().double().numpy().reshape(-1)
        scale = scale_per_filter(stored) * np.exp(stretch)
        bias = self.bias.detach().cpu().double().numpy()
        return LayerSolution(with_units(stored, latent * stored.multipliers, scale), bias)

    def _nearest(self, units: torch.Tensor) -> torch.Tensor:
        if self._even:
            return torch.floor(units + 0.5).clamp(self._low.ceil(), self._high.floor())
        places = (2.0 * units).floor_().int().add_(self._begin)
        return self._near.take(places.long())


def _ends(entries: Floats) -> tuple[Floats, Floats]:
    """Return the least and largest latent value of each group, just inside half a step outside."""
    return entries.min(axis=1) - 0.49, entries.max(axis=1) + 0.49

# SPDX-License-Identifier: Apache-2.0
"""The real levels that each weight of a layer may take, whatever scheme and granularity made them.

Solvers see weights as [g, f, K]: channel groups, filters of a group, inputs under the kernel.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from quant.ptq.recipes.solution import scale_per_filter
from quant.weights import Weights


@dataclass(frozen=True, eq=False)
class Grid:
    """Levels by table and step.

    Attributes:
        tables: float64 [T, L], ascending.
        selectors: int64 [g, f, K], table of each weight.
        steps: float64 [g, f, K], > 0, real value of one table step.
    """

    tables: torch.Tensor
    selectors: torch.Tensor
    steps: torch.Tensor

    @classmethod
    def of(cls, weights: Weights, groups: int, device: torch.device) -> "Grid":
        """Return the levels of stored weights of a layer with ``groups`` channel groups."""
        shape = weights.shape
        scale = scale_per_filter(weights)[:, None, None, None]
        steps = np.broadcast_to(weights.multipliers.astype(np.float64) * scale, shape)
        selectors = np.broadcast_to(weights.selectors.astype(np.int64), shape)
        return cls(
            torch.from_numpy(weights.tables.astype(np.float64)).to(device),
            in_groups(selectors, groups).to(device),
            in_groups(steps, groups).to(device),
        )

    def column(self, place: torch.Tensor) -> "Column":
        """Return the levels of one weight of every filter.

        Args:
            place: int64 [g], which of the K weights, per channel group.
        """
        index = place[:, None, None].expand(-1, self.steps.shape[1], 1)
        selectors = self.selectors.gather(2, index)[:, :, 0]
        steps = self.steps.gather(2, index)[:, :, 0]
        return Column(self.tables[selectors] * steps[:, :, None])

    def neighbours(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the codes of the levels below and above each value.

        Args:
            values: float64 [g, f, K], real.

        Returns:
            Two int64 [g, f, K]; equal where the value lies outside the levels.
        """
        units = values / self.steps
        codes = torch.zeros_like(self.selectors)
        for number, table in enumerate(self.tables):
            found = torch.searchsorted(table, units.contiguous(), right=True) - 1
            codes = torch.where(self.selectors == number, found, codes)
        last = self.tables.shape[1] - 1
        return codes.clamp(0, last), (codes + 1).clamp(0, last)

    def values(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the real values of codes, float64 [g, f, K] of int64 [g, f, K]."""
        return self.tables[self.selectors, codes] * self.steps

    def nearest(self, values: torch.Tensor) -> torch.Tensor:
        """Return the code nearest to each value, int64 [g, f, K]; the upper one of equals."""
        below, above = self.neighbours(values)
        down, up = values - self.values(below), self.values(above) - values
        return torch.where(up <= down, above, below)


@dataclass(frozen=True, eq=False)
class Column:
    """Levels of one weight of every filter.

    Attributes:
        levels: float64 [g, f, L], ascending.
    """

    levels: torch.Tensor

    def nearest(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return code and level nearest to each value; the upper one of equals.

        Args:
            values: float64 [g, f].

        Returns:
            int64 [g, f] and float64 [g, f].
        """
        middles = (self.levels[:, :, 1:] + self.levels[:, :, :-1]) / 2.0
        codes = (values[:, :, None] >= middles).sum(dim=2)
        return codes, self.levels.gather(2, codes[:, :, None])[:, :, 0]


def in_groups(tensor: npt.NDArray[np.generic], groups: int) -> torch.Tensor:
    """Return an OIHW array as a tensor [g, f, K]."""
    return torch.from_numpy(np.array(tensor).reshape(groups, tensor.shape[0] // groups, -1))

# SPDX-License-Identifier: Apache-2.0
"""Levels and thresholds per group: how every scheme rounds, and what its rounding costs.

A weight takes the level between the two thresholds around it; at a threshold it takes the upper
one. The error of any levels follows from sorted groups with prefix sums, without touching the
weights again, so that a search is linear in its candidates.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Levels:
    """What the weights of each group may become.

    Attributes:
        values: float64 [G, L], real value of each code, L <= 256.
        thresholds: float64 [G, L - 1], not falling; a weight from threshold i on has code i + 1.
    """

    values: Floats
    thresholds: Floats

    @classmethod
    def nearest(cls, values: Floats) -> "Levels":
        """Return ascending ``values`` [G, L] with thresholds halfway between neighbours."""
        return cls(values, (values[:, 1:] + values[:, :-1]) / 2.0)

    def codes(self, rows: Floats) -> Codes:
        """Return the code of every weight.

        Args:
            rows: float64 [G, n].

        Returns:
            uint8 [G, n].
        """
        places = torch.searchsorted(
            torch.from_numpy(np.ascontiguousarray(self.thresholds)),
            torch.from_numpy(np.ascontiguousarray(rows)),
            right=True,
            out_int32=True,
        )
        return places.to(torch.uint8).numpy()

    def rounded(self, rows: Floats) -> Floats:
        """Return the level of every weight, float64 [G, n], of ``rows`` float64 [G, n]."""
        return np.asarray(np.take_along_axis(self.values, self.codes(rows).astype(np.int64), 1))


class SortedGroups:
    """Groups of weights, sorted once; gives the squared error of any levels."""

    def __init__(self, rows: Floats, importance: Floats | None = None) -> None:
        """Sort and sum.

        Args:
            rows: float64 [G, n].
            importance: float64 [G, n], >= 0: how much the squared error of each weight counts;
                all the same without it.
        """
        if importance is None:
            self.rows = np.sort(rows, axis=1)
            self._weight, weighted = None, self.rows
        else:
            order = np.argsort(rows, axis=1)
            self.rows = np.take_along_axis(rows, order, 1)
            weights = np.take_along_axis(importance, order, 1)
            self._weight, weighted = _prefix_sums(weights), weights * self.rows
        self._first, self._second = _prefix_sums(weighted), _prefix_sums(weighted * self.rows)

    def error(self, levels: Levels) -> Floats:
        """Return the (weighted) squared error of each group, float64 [G]."""
        weight, first, second = self.cells(levels.thresholds)
        values = levels.values
        error = (second - 2.0 * values * first + values * values * weight).sum(axis=1)
        return np.asarray(np.maximum(error, 0.0))

    def cells(self, thresholds: Floats) -> tuple[Floats, Floats, Floats]:
        """Return weight, weighted sum and weighted sum of squares between thresholds.

        Args:
            thresholds: float64 [G, L - 1], not falling.

        Returns:
            Three float64 [G, L].
        """
        groups, members = self.rows.shape
        places = torch.searchsorted(
            torch.from_numpy(self.rows), torch.from_numpy(np.ascontiguousarray(thresholds))
        ).numpy()
        edges = np.empty((groups, thresholds.shape[1] + 2), np.int64)
        edges[:, 0], edges[:, 1:-1], edges[:, -1] = 0, places, members
        count = np.diff(edges, axis=1).astype(np.float64)
        # One flat gather per sum: prefix sums have one entry more than a group has weights.
        edges += (np.arange(groups) * (members + 1))[:, None]
        first, second = (np.diff(s.take(edges), axis=1) for s in (self._first, self._second))
        weight = count if self._weight is None else np.diff(self._weight.take(edges), axis=1)
        return weight, first, second


def _prefix_sums(values: Floats) -> Floats:
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums.reshape(-1)

# SPDX-License-Identifier: Apache-2.0
"""Weights as rows: one row per quantization group, whatever the granularity.

Every scheme works on rows [G, n]; nothing else knows which axes a group runs over.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from quant.weights import Granularity

Floats = npt.NDArray[np.float64]
Shape = tuple[int, int, int, int]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Grouping:
    """How the weights of one layer fall into groups.

    Attributes:
        granularity: Which weights share a group.
        shape: OIHW of the weights.
    """

    granularity: Granularity
    shape: Shape

    @property
    def group_shape(self) -> Shape:
        """``shape`` with 1 along the axes that a group runs over."""
        return self.granularity.group_shape(self.shape)

    @property
    def groups(self) -> int:
        """Number of groups, G."""
        return int(np.prod(self.group_shape))

    @property
    def members(self) -> int:
        """Weights per group, n."""
        return int(np.prod(self.shape)) // self.groups

    def rows(self, weight: npt.NDArray[np.floating[Any]]) -> Floats:
        """Return float64 [G, n] of ``weight`` (OIHW); groups in C order of ``group_shape``."""
        moved = weight.transpose(self._order)
        return np.ascontiguousarray(moved, np.float64).reshape(self.groups, self.members)

    def tensor(self, rows: npt.NDArray[T]) -> npt.NDArray[T]:
        """Return the OIHW tensor of what ``rows`` made, any dtype [G, n]."""
        moved = rows.reshape([self.shape[axis] for axis in self._order])
        return np.ascontiguousarray(moved.transpose(np.argsort(self._order)))

    def per_group(self, values: npt.NDArray[T]) -> npt.NDArray[T]:
        """Return ``values`` [G] in the group shape, to broadcast over OIHW."""
        return values.reshape(self.group_shape)

    @property
    def _order(self) -> tuple[int, ...]:
        """Axes of the tensor: those that tell groups apart first, those inside a group last."""
        apart = self._apart
        return (*apart, *(axis for axis in range(4) if axis not in apart))

    @property
    def _apart(self) -> tuple[int, ...]:
        match self.granularity:
            case Granularity.LAYER:
                return ()
            case Granularity.FILTER:
                return (0,)
            case Granularity.CHANNEL:
                return (1,)
            case Granularity.F_SHAPE:
                return (1, 2, 3)
            case Granularity.C_SHAPE:
                return (0, 2, 3)

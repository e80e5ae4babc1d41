# SPDX-License-Identifier: Apache-2.0
"""Even steps: affine and symmetric grids of each group, full range or clipped.

Source: Quantizing YOLOv7: A Comprehensive Study, arXiv 2407.04943, section on quantizers; the
range always contains 0, which stays exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from quant.ptq.schemes.levels import Levels

Floats = npt.NDArray[np.float64]
Clip = Literal["minmax", "mse"]
Even = Literal["affine", "symmetric"]

SHRINKS = np.linspace(1.0, 0.4, 31)


@dataclass(frozen=True, eq=False)
class Grid:
    """Even grid of each group: real = scale * (code - zero).

    Attributes:
        scale: float64 [G], > 0.
        zero: float64 [G], integers: the code that means 0.
    """

    scale: Floats
    zero: Floats

    def levels(self, bits: int) -> Levels:
        """Return the levels of ``bits``-bit codes."""
        codes = np.arange(1 << bits)
        return Levels.nearest((codes[None, :] - self.zero[:, None]) * self.scale[:, None])


def grids(rows: Floats, bits: int, scheme: Even, clip: Clip, zero_step: int) -> Iterator[Grid]:
    """Yield the grids to choose from, the full range first.

    Args:
        rows: float64 [G, n].
        bits: Stored bits, 2 to 8.
        scheme: ``affine`` (range of the group, zero point inside) or ``symmetric``.
        clip: Full range alone, or shrunk ranges too.
        zero_step: Zero points are multiples of this (a layer has few decode tables).
    """
    low = np.minimum(rows.min(axis=1), 0.0)
    high = np.maximum(rows.max(axis=1), 0.0)
    for shrink in SHRINKS if clip == "mse" else SHRINKS[:1]:
        yield grid(low * shrink, high * shrink, bits, scheme, zero_step)


def grid(low: Floats, high: Floats, bits: int, scheme: Even, zero_step: int) -> Grid:
    """Return the grid that covers ``low``..``high``; both ends are inside up to half a step.

    Args:
        low: float64 [G], <= 0.
        high: float64 [G], >= 0.
        bits: Stored bits, 2 to 8.
        scheme: ``affine`` or ``symmetric``.
        zero_step: Zero points are multiples of this.
    """
    levels = (1 << bits) - 1
    half = 1 << (bits - 1)
    if scheme == "symmetric":
        # Codes -half..half-1: the negative end reaches one step further.
        scale = np.maximum(high / (half - 1), -low / half)
        return Grid(positive(scale), np.full_like(scale, half))
    scale = (high - low) / levels
    zero = np.floor(np.clip(-low / positive(scale), 0, levels) / zero_step + 0.5) * zero_step
    zero = np.minimum(zero, (1 << bits) - zero_step)
    if zero_step > 1:
        below = np.where(zero > 0, -low / np.maximum(zero, 1), 0.0)
        above = np.where(zero < levels, high / np.maximum(levels - zero, 1), 0.0)
        scale = np.maximum(np.maximum(below, above), scale)
    return Grid(positive(scale), zero)


def positive(scale: Floats) -> Floats:
    """Return ``scale`` with the zeros of empty ranges replaced by the least float32."""
    return np.where(scale > 0.0, scale, np.finfo(np.float32).tiny)

# SPDX-License-Identifier: Apache-2.0
"""Memories of what belongs to quantization groups, in the order in which the cell reads them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.geometry import ConvGeometry
from hw.groups import differs_by, factor_place, read_by_channel
from quant.formats import IntArray, TensorFormat
from quant.nodes import Conv
from quant.widths import accumulator_bits, partial_sum_bits


@dataclass(frozen=True, eq=False)
class GroupWords:
    """Words of a memory that the cell reads over and over.

    Attributes:
        values: int64 [depth, lanes].
        by_channel: Whether lanes are the SIMD channels of a tap, else the PE filters of a fold.
        taps: Taps that share a word.
    """

    values: IntArray
    by_channel: bool
    taps: int


@dataclass(frozen=True)
class GroupOrder:
    """In which order a layer's group values are read, whatever its folding.

    Attributes:
        by_channel: As ``GroupWords``.
        by_position: Whether values differ by kernel position.
    """

    by_channel: bool
    by_position: bool

    def taps(self, g: ConvGeometry) -> int:
        """Return the taps that share a word."""
        return 1 if self.by_channel else g.fold_taps // self._positions(g)

    def depth(self, g: ConvGeometry) -> int:
        """Return the words of the memory."""
        if self.by_channel:
            return self._positions(g) * (g.fold_taps // (g.kernel[0] * g.kernel[1]))
        return g.filters // g.pe * self._positions(g)

    def _positions(self, g: ConvGeometry) -> int:
        return g.kernel[0] * g.kernel[1] if self.by_position else 1


def group_order(values: npt.NDArray[np.integer[Any]]) -> GroupOrder:
    """Return the order of group values [F|1, C|1, KH|1, KW|1]."""
    _, by_position, _ = differs_by(values)
    return GroupOrder(read_by_channel(values), by_position)


def group_words(values: npt.NDArray[np.integer[Any]], g: ConvGeometry) -> GroupWords:
    """Return the memory of group values [F|1, C|1, KH|1, KW|1] of a layer folded as ``g``."""
    values = values.astype(np.int64)
    order = group_order(values)
    kernel = g.kernel if order.by_position else (1, 1)
    if order.by_channel:
        channels = g.fold_taps // (g.kernel[0] * g.kernel[1]) * g.simd
        full = np.broadcast_to(values[0], (channels, *g.kernel))[:, : kernel[0], : kernel[1]]
        # [channel, row, column] -> [row, column, fold, lane]
        return GroupWords(full.transpose(1, 2, 0).reshape(-1, g.simd), True, order.taps(g))
    full = np.broadcast_to(values[:, 0], (g.filters, *g.kernel))[:, : kernel[0], : kernel[1]]
    positions = kernel[0] * kernel[1]
    # [fold, lane, position] -> [fold, position, lane]
    folded = full.reshape(-1, g.pe, positions).transpose(0, 2, 1)
    return GroupWords(folded.reshape(-1, g.pe), False, order.taps(g))


def sum_bits(node: Conv, source: TensorFormat) -> int:
    """Return the signed bits of the sums that group multipliers scale; the accumulator's if none.

    Multiples modulo a power of two need no more bits of a sum than of the result.
    """
    bits = accumulator_bits(node, source)
    if factor_place(node.weights) != "parts":
        return bits
    _, by_position, _ = differs_by(node.weights.multipliers)
    return min(bits, partial_sum_bits(node, source, by_position=by_position))

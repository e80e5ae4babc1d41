# SPDX-License-Identifier: Apache-2.0
"""Memories of a convolution cell with a packed core: operands per place in the chain, offsets."""

import numpy as np

from hw.geometry import ConvGeometry
from hw.packing import packed_operands
from quant.formats import IntArray, TensorFormat
from quant.nodes import Conv
from quant.weights import signed_bits
from quant.widths import accumulator_bits


def operand_bits(node: Conv) -> int:
    """Return the signed bits of the operands of ``node``; two at least, as the cores take them."""
    operands, _ = packed_operands(node)
    return max(2, signed_bits(int(operands.min()), int(operands.max())))


def operand_words(node: Conv, geometry: ConvGeometry) -> list[IntArray]:
    """Return the operands in the order of the taps, one memory per place in the chain.

    Args:
        node: The convolution.
        geometry: Its folding.

    Returns:
        ``cascade`` arrays int64 [output_folds * fold_taps, lanes]: of memory k, filter ``p``, chain
        ``c`` and kernel column ``j`` of a tap at lane ``(p * chains + c) * columns + j``, which is
        channel ``c * cascade + k`` of the tap.
    """
    g = geometry
    operands, _ = packed_operands(node)
    _, channels, kh, kw = operands.shape
    fill = np.zeros((g.zero_filters, channels, kh, kw), np.int64)
    chains = g.simd // g.cascade
    folded = np.concatenate([operands, fill]).reshape(
        g.output_folds, g.pe, channels // g.simd, chains, g.cascade, kh, kw
    )
    # [fold, filter, channel fold, chain, place, row, column] -> [place, taps of a fold, lanes]
    order = (4, 0, 5, 2, 1, 3, 6) if g.by_rows else (4, 0, 5, 6, 2, 1, 3)
    words = folded.transpose(order).reshape(g.cascade, g.output_folds * g.fold_taps, -1)
    return list(words)


def window_bits(node: Conv, source: TensorFormat) -> int:
    """Return the unsigned bits of the sum of the activations of a window."""
    return int(np.prod(node.weights.shape[1:]) * source.max_decoded).bit_length()


def offset_bits(node: Conv) -> int:
    """Return the signed bits of the offsets of the filters."""
    _, offsets = packed_operands(node)
    return signed_bits(int(offsets.min()), int(offsets.max()))


def packed_accumulator_bits(node: Conv, source: TensorFormat, geometry: ConvGeometry) -> int:
    """Return the signed bits of the accumulator: those of the layer, or of one tap's sum.

    A core adds whole taps, which zero points and small kernels can make wider than their total.
    """
    g = geometry
    chains = (g.simd // g.cascade - 1).bit_length()
    match g.core:
        case "pack12":
            tap = 11 + (g.simd - 1).bit_length()
        case "w4a8":
            tap = 11 + chains + 5
        case _:
            tap = 11 + chains
    return max(accumulator_bits(node, source), tap)

# SPDX-License-Identifier: Apache-2.0
"""Proofs of accumulator widths from the weights themselves.

Source: the interval of arithmetic contract, "Accumulate": every partial sum that matters lies in
``[bias + a_max * sum(min(w, 0)), bias + a_max * sum(max(w, 0))]``.
"""

import numpy as np

from quant.formats import IntArray, TensorFormat
from quant.nodes import Conv, Linear
from quant.remember import remembered
from quant.weights import signed_bits

ACCUMULATOR_LIMIT_BITS = 32


def accumulator_interval(node: Conv | Linear, source: TensorFormat) -> tuple[IntArray, IntArray]:
    """Return the proven smallest and largest accumulator of each filter.

    Args:
        node: Layer with its integer weights and bias.
        source: Format of the layer's input; its largest decoded value enters.

    Returns:
        Two int64 [F] arrays, lower and upper bound, bias included.
    """
    weights = node.weights.integers().astype(np.int64).reshape(node.weights.shape[0], -1)
    largest = source.max_decoded
    low = node.bias + largest * np.minimum(weights, 0).sum(axis=1)
    high = node.bias + largest * np.maximum(weights, 0).sum(axis=1)
    return low, high


@remembered
def accumulator_bits(node: Conv | Linear, source: TensorFormat) -> int:
    """Return the signed width that holds every filter's accumulator and bias, <= 32 if legal."""
    low, high = accumulator_interval(node, source)
    lowest = min(int(low.min()), int(node.bias.min()))
    highest = max(int(high.max()), int(node.bias.max()))
    return signed_bits(lowest, highest)


def partial_sum_interval(node: Conv | Linear, source: TensorFormat) -> tuple[IntArray, IntArray]:
    """Return the proven smallest and largest sum over the channels before group multipliers.

    The sum over all channels, or over some of them, of activations times table entries at one
    kernel position of one filter lies between its two bounds, which are not above and not below 0.

    Args:
        node: Layer with its integer weights.
        source: Format of the layer's input; its largest decoded value enters.

    Returns:
        Two int64 [F, KH, KW] arrays, lower and upper bound.
    """
    weights = node.weights
    rows = np.broadcast_to(weights.selectors, weights.codes.shape)
    entries = weights.tables[rows, weights.codes].astype(np.int64)
    largest = source.max_decoded
    low = largest * np.minimum(entries, 0).sum(axis=1)
    high = largest * np.maximum(entries, 0).sum(axis=1)
    return low, high


@remembered
def partial_sum_bits(node: Conv | Linear, source: TensorFormat, *, by_position: bool) -> int:
    """Return the signed width of the sums that a group multiplier scales.

    Args:
        node: Layer with its integer weights.
        source: Format of the layer's input.
        by_position: Whether a sum ends with its kernel position, else with its filter.
    """
    low, high = partial_sum_interval(node, source)
    if not by_position:
        low, high = low.sum(axis=(1, 2)), high.sum(axis=(1, 2))
    return signed_bits(int(low.min()), int(high.max()))

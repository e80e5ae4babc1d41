# SPDX-License-Identifier: Apache-2.0
"""How the convolution cell reads what belongs to quantization groups: tables and multipliers.

``w_int = M[g] * LUT[t[g]][code]``. The cell goes through a fold's weights kernel position by kernel
position, channels innermost. Values that differ by filter come as words of PE lanes, one per kernel
position at most; values that differ by channel as words of SIMD lanes, one per tap. So a multiplier
by filter scales a partial sum over the channels, and a multiplier by channel scales activations:
it is the same for every filter, so that each activation meets it once.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quant.formats import IntArray
from quant.remember import remembered
from quant.weights import Granularity, Weights, signed_bits

FactorPlace = Literal["none", "parts", "acts"]
"""What group multipliers scale: nothing, partial sums, or activations."""

# The granularity of a linear layer's weights once its columns are (C, H, W) of a kernel: its one
# kernel position becomes all of them.
_AS_KERNEL = {
    Granularity.LAYER: Granularity.LAYER,
    Granularity.FILTER: Granularity.FILTER,
    Granularity.C_SHAPE: Granularity.FILTER,
    Granularity.CHANNEL: Granularity.F_SHAPE,
    Granularity.F_SHAPE: Granularity.F_SHAPE,
}


def differs_by(values: npt.NDArray[np.integer[Any]]) -> tuple[bool, bool, bool]:
    """Return whether group values [F|1, C|1, KH|1, KW|1] differ by filter, position, channel."""
    by_filter = bool((values != values[:1]).any())
    by_channel = bool((values != values[:, :1]).any())
    by_position = bool((values != values[:, :, :1, :1]).any())
    return by_filter, by_position, by_channel


def read_by_channel(values: npt.NDArray[np.integer[Any]]) -> bool:
    """Whether group values come as words of channels: never for values that differ by filter."""
    by_filter, by_position, by_channel = differs_by(values)
    return by_channel or (by_position and not by_filter)


@remembered
def factor_place(weights: Weights) -> FactorPlace:
    """Return what the group multipliers scale in the cell."""
    if not weights.multiplier_bits:
        return "none"
    return "acts" if read_by_channel(weights.multipliers) else "parts"


@remembered
def group_tables(weights: Weights) -> tuple[IntArray, IntArray]:
    """Return the decode tables in use and the number of every group's table.

    Returns:
        int64 [T, 2**bits] distinct tables and, in the shape of the selectors, int64 numbers < T.
    """
    used = np.unique(weights.selectors)
    tables, numbers = np.unique(weights.tables[used], axis=0, return_inverse=True)
    renumbered = np.zeros(len(weights.tables), np.int64)
    renumbered[used] = numbers.reshape(-1)
    found = tables.astype(np.int64), renumbered[weights.selectors]
    for array in found:
        array.setflags(write=False)  # the next caller gets the same ones
    return found


def kernel_weights(weights: Weights, in_shape: tuple[int, int, int]) -> Weights:
    """Return weights of a linear layer as those of a kernel of the size of the picture.

    A flattened tensor is channel-major, so the columns of a linear layer are (C, H, W).

    Args:
        weights: Codes [F, C*H*W, 1, 1].
        in_shape: (C, H, W) of the layer's input.
    """
    shape = (weights.shape[0], *in_shape)
    granularity = _AS_KERNEL[weights.granularity]
    groups = granularity.group_shape(shape)
    return Weights(
        codes=weights.codes.reshape(shape),
        bits=weights.bits,
        tables=weights.tables,
        selectors=weights.selectors.reshape(groups),
        multipliers=weights.multipliers.reshape(groups),
        scale=weights.scale,
        granularity=granularity,
        scheme=weights.scheme,
    )


@remembered
def table_bits(weights: Weights) -> int:
    """Return the signed bits of a decoded weight before its group multiplier."""
    tables, _ = group_tables(weights)
    return signed_bits(int(tables.min()), int(tables.max()))

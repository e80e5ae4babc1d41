# SPDX-License-Identifier: Apache-2.0
"""Pooling: maxima of codes, sums of decoded values; both separate into rows and columns."""

from typing import Any

import numpy as np
import numpy.typing as npt

from quant.formats import TensorFormat
from quant.nodes import AvgPool, MaxPool
from sim.golden.decode import Codes, code_dtype, decode_codes
from sim.golden.requantize import requantize

Array = npt.NDArray[Any]


def max_pool(node: MaxPool, codes: Codes) -> Codes:
    """Return the largest code of every window; ``codes`` is [C, H, W].

    Codes are unsigned and every window meets the picture (padding is smaller than the kernel), so
    code 0 as padding never wins over a pixel.
    """
    top, left, bottom, right = node.padding
    channels, height, width = codes.shape
    padded = np.zeros((channels, height + top + bottom, width + left + right), codes.dtype)
    padded[:, top : top + height, left : left + width] = codes
    return _windowed(np.maximum, padded, node.kernel, node.stride)


def average_sums(node: AvgPool, source: TensorFormat, codes: Codes) -> npt.NDArray[np.int64]:
    """Return ``sum(a) - n * zero_point`` of every window, int64 [C, OH, OW]."""
    values = decode_codes(source)[codes]
    sums: npt.NDArray[np.int64] = _windowed(np.add, values, node.kernel, node.stride)
    return sums - node.kernel[0] * node.kernel[1] * source.ranges[0].zero_point


def average_pool(node: AvgPool, sums: npt.NDArray[np.int64]) -> Codes:
    """Return the requantized means of the sums, [C, OH, OW]."""
    return requantize(sums, node.requant).astype(code_dtype(node.output.bits))


def _windowed(
    combine: np.ufunc, plane: Array, kernel: tuple[int, int], stride: tuple[int, int]
) -> Array:
    """Fold ``combine`` over the rows of every window, then over its columns."""
    for axis in (1, 2):
        size, step = kernel[axis - 1], stride[axis - 1]
        count = (plane.shape[axis] - size) // step + 1
        folded: Array | None = None
        for offset in range(size):
            part = slice(offset, offset + (count - 1) * step + 1, step)
            taken = plane[:, part] if axis == 1 else plane[:, :, part]
            if folded is None:
                folded = taken.copy()
            else:
                combine(folded, taken, out=folded)
        if folded is not None:
            plane = folded
    return plane

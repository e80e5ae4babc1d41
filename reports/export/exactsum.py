# SPDX-License-Identifier: Apache-2.0
"""Proofs that floating point computes the integers: sums in float32, requantizers in float64.

An ONNX runtime multiplies and adds convolutions in float32 and in an order of its own. That is
exact as long as no partial sum of any order can reach 2**24; a layer that could is written as
several convolutions over some of its weights each, whose sums meet in float64.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quant.errors import GraphError
from quant.formats import IntArray

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53


def exact_pieces(name: str, weights: IntArray, largest: int) -> tuple[IntArray, ...]:
    """Return weights whose sum is ``weights``, each exact in float32 by itself.

    Args:
        name: Name of the node.
        weights: Integers [F, C/groups, KH, KW].
        largest: Largest activation that enters; the smallest is 0.

    Returns:
        One array when float32 is exact for all taps together; else several, each with the taps of
        a contiguous range and zeros elsewhere.

    Raises:
        GraphError: One product alone is too large.
    """
    flat = weights.reshape(len(weights), -1)
    above = np.maximum(flat, 0) * largest
    below = np.maximum(-flat, 0) * largest
    if max(int(above.max()), int(below.max())) >= FLOAT32_EXACT:
        raise GraphError(
            f"'{name}' has a product up to {max(int(above.max()), int(below.max()))}; ONNX "
            f"convolutions are exact below {FLOAT32_EXACT}; export without --qonnx, or quantize "
            "this layer with fewer bits"
        )
    pieces: list[IntArray] = []
    begin = 0
    while begin < flat.shape[1]:
        sums = np.maximum(
            above[:, begin:].cumsum(axis=1).max(axis=0), below[:, begin:].cumsum(axis=1).max(axis=0)
        )
        end = begin + int(np.searchsorted(sums, FLOAT32_EXACT))
        piece = np.zeros_like(flat)
        piece[:, begin:end] = flat[:, begin:end]
        pieces.append(piece.reshape(weights.shape))
        begin = end
    return tuple(pieces)


def exact_factors(
    name: str,
    reach: IntArray,
    multiplier: npt.NDArray[np.integer],
    shift: npt.NDArray[np.integer],
    zero_point: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return ratio and offset with ``floor(acc * ratio + offset)`` equal to the requantizer.

    ``ratio = m * 2**-s`` and ``offset = (2**(s-1) + zero_point * 2**s) * 2**-s`` are integers below
    2**53 over a power of two, so are the product and, as this function makes sure, the sum: float64
    rounds none of them, and the floor is the arithmetic shift.

    Args:
        name: Name of the node.
        reach: int64 [F], largest magnitude of the accumulator.
        multiplier: [F], below 2**17.
        shift: [F], 1..47.
        zero_point: [F], of the result.

    Returns:
        Two float64 [F].

    Raises:
        GraphError: The sum could reach 2**53.
    """
    ratios, offsets = [], []
    columns: Sequence[list[int]] = [a.tolist() for a in (reach, multiplier, shift, zero_point)]
    for bound, m, s, zero in zip(*columns, strict=True):
        constant = (1 << (s - 1)) + (zero << s)
        if bound * m + constant >= FLOAT64_EXACT:
            raise GraphError(
                f"'{name}' requantizes sums up to {bound * m + constant}; float64 is exact below "
                f"{FLOAT64_EXACT}; export without --qonnx, or quantize this layer with fewer bits"
            )
        ratios.append(m * 2.0**-s)
        offsets.append(constant * 2.0**-s)
    return np.array(ratios), np.array(offsets)

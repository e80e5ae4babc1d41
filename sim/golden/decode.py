# SPDX-License-Identifier: Apache-2.0
"""What stored codes mean, written again from the contract (no function of quant is called)."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quant.formats import TensorFormat
from quant.weights import Weights

Codes: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]


def code_dtype(bits: int) -> type[np.uint8] | type[np.uint16]:
    """Return the array type of ``bits``-bit codes: uint8, or uint16 above 8 bits."""
    return np.uint8 if bits <= 8 else np.uint16


def decode_codes(fmt: TensorFormat) -> npt.NDArray[np.int64]:
    """Return the decoded value ``a`` of every code, int64 [2**bits]."""
    if fmt.codebook is None:
        return np.arange(2**fmt.bits, dtype=np.int64)
    return np.array(fmt.codebook, dtype=np.int64)


def zero_code(fmt: TensorFormat) -> int:
    """Return the code that means real 0 in a uniform tensor: what padding carries."""
    matches = np.flatnonzero(decode_codes(fmt) == fmt.ranges[0].zero_point)
    return int(matches[0])


def decode_weights(weights: Weights) -> npt.NDArray[np.int64]:
    """Return ``M[g] * LUT[t[g]][code]`` of every weight, int64 OIHW."""
    decoded = np.zeros(weights.codes.shape, np.int64)
    for selector, table in enumerate(weights.tables):
        # Selectors broadcast over the axes that a quantization group runs along.
        decoded += (weights.selectors == selector) * table.astype(np.int64)[weights.codes]
    return decoded * weights.multipliers.astype(np.int64)

# SPDX-License-Identifier: Apache-2.0
"""Nodes that look at one pixel at a time: add, requantize, lookup, concat, split, upsample.

A function of one code is tabulated over all codes by the contract's formula and then looked up.
"""

import numpy as np
import numpy.typing as npt

from quant.formats import TensorFormat
from quant.nodes import Add, Requantize, Split, Upsample
from sim.golden.decode import Codes, code_dtype, decode_codes
from sim.golden.requantize import requantize

# Elements per step of an addition: its 64-bit work memory stays in the second-level cache.
_ADD_BLOCK = 1 << 14


def add(node: Add, sources: tuple[TensorFormat, ...], first: Codes, second: Codes) -> Codes:
    """Return ``clip((((a1-z1)*m1 + (a2-z2)*m2 + (1 << (s-1))) >> s) + zy, low, high)``."""
    terms = [
        (decode_codes(fmt) - fmt.ranges[0].zero_point) * multiplier
        for fmt, multiplier in zip(sources, node.multipliers, strict=True)
    ]
    # The rounding constant rides on the first table.
    terms[0] = terms[0] + (1 << (node.shift - 1))
    result = np.empty(first.shape, code_dtype(node.output.bits))
    flat, left, right = result.reshape(-1), first.reshape(-1), second.reshape(-1)
    zero = node.output.ranges[0].zero_point
    for begin in range(0, flat.size, _ADD_BLOCK):
        part = slice(begin, begin + _ADD_BLOCK)
        total = terms[0][left[part]] + terms[1][right[part]]
        np.right_shift(total, node.shift, out=total)
        np.add(total, zero, out=total)
        np.clip(total, node.low, node.high, out=total)
        flat[part] = total
    return result


def requantize_codes(node: Requantize, source: TensorFormat, codes: Codes) -> Codes:
    """Return the codes in the output's format: ``acc = a - zero_point`` through the requantizer."""
    table = requantize(decode_codes(source) - source.ranges[0].zero_point, node.requant)
    return lookup(table, codes, node.output.bits)


def lookup(table: npt.NDArray[np.integer], codes: Codes, bits: int) -> Codes:
    """Return ``table[codes]`` as ``bits``-bit codes."""
    narrow: Codes = table.astype(code_dtype(bits))
    return narrow[codes]


def concat(sources: list[Codes]) -> Codes:
    """Return the channels of all sources one after the other."""
    joined: Codes = np.concatenate(sources, axis=0)
    return joined


def split(node: Split, codes: Codes) -> Codes:
    """Return channels ``begin`` to ``end`` as a view."""
    return codes[node.begin : node.end]


def upsample(node: Upsample, codes: Codes) -> Codes:
    """Return every pixel repeated ``factor`` times in both directions."""
    channels, height, width = codes.shape
    factor = node.factor
    result = np.empty((channels, height, factor, width, factor), codes.dtype)
    result[...] = codes[:, :, None, :, None]
    return result.reshape(channels, height * factor, width * factor)

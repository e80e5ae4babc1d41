# SPDX-License-Identifier: Apache-2.0
"""Memory contents of a convolution cell, as ``$readmemh`` texts in the order the cell reads."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hw.geometry import ConvGeometry
from quant.formats import IntArray
from quant.nodes import Requantizer
from quant.remember import remembered
from quant.weights import Weights

MULTIPLIER_BITS = 17


def mem_text(fields: Sequence[tuple[npt.ArrayLike, int]]) -> str:
    """Return words of bit fields as hexadecimal text, one word a line.

    Args:
        fields: From bit 0 up: integers [words] and the bits of the field; negative values are
            written in two's complement.

    Returns:
        One line per word, the same number of digits on each.
    """
    columns = [_bit_columns(np.asarray(values, np.int64), bits) for values, bits in fields]
    bits = np.concatenate(columns, axis=1)
    octets = np.packbits(bits, axis=1, bitorder="little")[:, ::-1]
    digits = -(-bits.shape[1] // 4)
    text = octets.tobytes().hex()
    step = 2 * octets.shape[1]
    lines = (text[end - digits : end] for end in range(step, len(text) + 1, step))
    return "\n".join(lines) + "\n"


def lanes_text(values: IntArray, bits: int) -> str:
    """Return words of equal lanes, int64 [words, lanes], lane 0 lowest, as ``mem_text``."""
    return mem_text([(values[:, lane], bits) for lane in range(values.shape[1])])


def load_words(values: IntArray, bits: int) -> npt.NDArray[np.uint32]:
    """Return words of equal lanes as the load stream carries them.

    Args:
        values: int64 [words, lanes], lane 0 lowest.
        bits: Bits of a lane.

    Returns:
        uint32 [words * ceil(lanes * bits / 32)]; the lowest bits of a word first, zeros on top.
    """
    octets = word_bytes(values, bits)
    count = octets.shape[1]
    padded = np.zeros((len(octets), -(-count // 4) * 4), np.uint8)
    padded[:, :count] = octets
    return padded.view("<u4").reshape(-1).astype(np.uint32)


def word_bytes(values: IntArray, bits: int) -> npt.NDArray[np.uint8]:
    """Return words of equal lanes as whole bytes.

    Args:
        values: int64 [words, lanes], lane 0 lowest.
        bits: Bits of a lane.

    Returns:
        uint8 [words, ceil(lanes * bits / 8)]; the lowest bits of a word first, zeros on top.
    """
    columns = [_bit_columns(values[:, lane], bits) for lane in range(values.shape[1])]
    return np.packbits(np.concatenate(columns, axis=1), axis=1, bitorder="little")


def weight_words(weights: Weights, geometry: ConvGeometry) -> IntArray:
    """Return weight codes in the order of the taps.

    Returns:
        int64 [output_folds * fold_taps, pe * simd]; per output fold, kernel row, kernel column and
        channel fold one word; filter ``p`` and channel ``s`` of the folds at lane ``p*simd + s``.
    """
    f, c, kh, kw = weights.shape
    g = geometry
    codes = weights.codes.reshape(f // g.pe, g.pe, c // g.simd, g.simd, kh, kw)
    return codes.transpose(0, 4, 5, 2, 1, 3).reshape(-1, g.pe * g.simd).astype(np.int64)


def is_affine(tables: IntArray) -> bool:
    """Whether every decode table is its first entry plus the code."""
    codes = np.arange(tables.shape[1])
    return bool(np.array_equal(tables, tables[:, :1] + codes))


@remembered
def shift_range(requant: Requantizer) -> tuple[int, int]:
    """Return the smallest and largest shift of the filters whose multiplier is not zero."""
    shifts = requant.shift[requant.multiplier > 0]
    return (int(shifts.min()), int(shifts.max())) if shifts.size else (1, 1)


def requant_text(
    requant: Requantizer, bias: IntArray, accumulator_bits: int, geometry: ConvGeometry
) -> str:
    """Return the parameter words of ``nf_requant``, one per group of requantizer lanes.

    A filter with multiplier 0 gives its zero point whatever the shift, so it takes the smallest
    shift of the others and widens no shifter.
    """
    low, high = shift_range(requant)
    shift_bits = max(1, (high - low).bit_length())
    shift = np.where(requant.multiplier > 0, requant.shift.astype(np.int64) - low, 0)
    columns = (
        (bias, accumulator_bits),
        (requant.multiplier, MULTIPLIER_BITS),
        (shift, shift_bits),
        (2 * requant.zero_point.astype(np.int64) + 1, requant.bits + 1),
    )
    words = [
        (filter_words(np.asarray(values, np.int64), geometry), bits) for values, bits in columns
    ]
    lanes = words[0][0].shape[1]
    return mem_text([(values[:, lane], bits) for lane in range(lanes) for values, bits in words])


def filter_words(values: IntArray, geometry: ConvGeometry) -> IntArray:
    """Return one value per filter as the words that the requantizer's lanes read.

    Args:
        values: int64 [filters]; those that fill the last fold get 0.
        geometry: Folding of the layer.

    Returns:
        int64 [words, filters of a step]; the pixels of a filter share it.
    """
    g = geometry
    full = np.concatenate([values, np.zeros(g.zero_filters, np.int64)])
    return full.reshape(-1, max(1, g.requant_lanes // g.pixels))


def _bit_columns(values: IntArray, bits: int) -> npt.NDArray[np.uint8]:
    """Return the bits of ``values`` [words], uint8 [words, bits], lowest first."""
    return ((values[:, None] >> np.arange(bits)) & 1).astype(np.uint8)

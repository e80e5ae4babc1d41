# SPDX-License-Identifier: Apache-2.0
"""Bit streams: integers of any width packed without gaps, element 0 in the lowest bits."""

from typing import Any

import numpy as np
import numpy.typing as npt

from quant.errors import BundleError

Bytes = npt.NDArray[np.uint8]

MAX_PACK_BITS = 32
# Elements per step; a multiple of 8, so that every step begins on a byte boundary at any width.
_STEP = 1 << 18


def packed_size(count: int, bits: int) -> int:
    """Return the bytes that ``count`` elements of ``bits`` bits occupy."""
    return (count * bits + 7) // 8


def value_range(bits: int, signed: bool) -> tuple[int, int]:
    """Return the smallest and largest value of ``bits`` bits (two's complement when signed)."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def pack(values: npt.NDArray[np.integer], bits: int, signed: bool) -> Bytes:
    """Pack integers: element i occupies bits [i*bits, (i+1)*bits), low bit first.

    Bit k of the stream is bit k % 8 of byte k // 8, so 4-bit codes are low nibble first. Unused
    bits of the last byte are 0.

    Args:
        values: Integers of any shape, read in C order.
        bits: Width of one element, 1..32.
        signed: Whether elements are two's complement.

    Returns:
        uint8 [ceil(values.size * bits / 8)].

    Raises:
        BundleError: The width is out of range or a value does not fit.
    """
    _check_bits(bits)
    low, high = value_range(bits, signed)
    if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
        raise BundleError(
            f"values {values.min()}..{values.max()} do not fit {bits} "
            f"{'signed' if signed else 'unsigned'} bits; limit {low}..{high}; "
            "this is a defect of whoever made the array"
        )
    flat = np.ravel(values)
    result = np.empty(packed_size(flat.size, bits), np.uint8)
    lane = _lane(bits)
    for start in range(0, flat.size, _STEP):
        # Two's complement: the cast keeps the low bits, the slice drops the sign extension.
        words = np.ascontiguousarray(flat[start : start + _STEP]).astype(lane)
        spread = np.unpackbits(words.view(np.uint8), bitorder="little")
        spread = spread.reshape(words.size, -1)[:, :bits]
        chunk = np.packbits(spread, bitorder="little")
        first = start * bits // 8
        result[first : first + chunk.size] = chunk
    return result


def unpack(
    stream: Bytes, count: int, bits: int, signed: bool, dtype: npt.DTypeLike = np.int64
) -> npt.NDArray[Any]:
    """Return the ``count`` integers that ``pack`` wrote.

    Args:
        stream: uint8, exactly ``packed_size(count, bits)`` bytes.
        count: Number of elements.
        bits: Width of one element, 1..32.
        signed: Whether elements are two's complement.
        dtype: Integer type of the result; every value of ``bits`` bits must fit.

    Returns:
        ``dtype`` [count].

    Raises:
        BundleError: The width is out of range or too large for ``dtype``, the stream has another
            length, or the unused bits of its last byte are not 0.
    """
    _check_bits(bits)
    limits, (low, high) = np.iinfo(np.dtype(dtype)), value_range(bits, signed)
    if low < limits.min or high > limits.max:
        raise BundleError(f"elements of {low}..{high} do not fit {np.dtype(dtype)}")
    if stream.size != packed_size(count, bits):
        raise BundleError(
            f"{count} elements of {bits} bits need {packed_size(count, bits)} bytes, "
            f"there are {stream.size}"
        )
    used = count * bits % 8
    if used and int(stream[-1]) >> used:
        raise BundleError(f"the {8 - used} unused bits of the last byte are not 0")
    result = np.empty(count, dtype)
    half = 1 << (bits - 1)
    lane = _lane(bits)
    for start in range(0, count, _STEP):
        number = min(_STEP, count - start)
        first = start * bits // 8
        chunk = stream[first : first + packed_size(number, bits)]
        spread = np.zeros((number, lane.itemsize * 8), np.uint8)
        spread[:, :bits] = np.unpackbits(chunk, count=number * bits, bitorder="little").reshape(
            number, bits
        )
        words = np.packbits(spread, bitorder="little").view(lane)
        if signed:
            words = (words.astype(np.int64) ^ half) - half
        result[start : start + number] = words
    return result


def _lane(bits: int) -> np.dtype[np.unsignedinteger]:
    """Return the little-endian unsigned type in which one element is taken apart."""
    return np.dtype("u1" if bits <= 8 else "<u2" if bits <= 16 else "<u4")


def _check_bits(bits: int) -> None:
    if not 1 <= bits <= MAX_PACK_BITS:
        raise BundleError(f"elements have {bits} bits; limit 1..{MAX_PACK_BITS}")

# SPDX-License-Identifier: Apache-2.0
"""Packing against a literal reading of the format: one long integer, sliced bit by bit."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.bundle import pack, packed_size, unpack
from quant.bundle.pack import value_range
from quant.errors import BundleError


@st.composite
def arrays(draw: st.DrawFn) -> tuple[list[int], int, bool]:
    bits = draw(st.integers(1, 32))
    signed = draw(st.booleans())
    low, high = value_range(bits, signed)
    return draw(st.lists(st.integers(low, high), max_size=70)), bits, signed


def long_integer(values: list[int], bits: int) -> int:
    return sum((v % (1 << bits)) << (i * bits) for i, v in enumerate(values))


@given(arrays())
@settings(max_examples=400, deadline=None)
def test_pack_is_one_long_little_endian_integer(case: tuple[list[int], int, bool]) -> None:
    values, bits, signed = case
    stream = pack(np.array(values, np.int64), bits, signed)
    assert stream.dtype == np.uint8
    assert stream.size == packed_size(len(values), bits)
    assert int.from_bytes(stream.tobytes(), "little") == long_integer(values, bits)


@given(arrays())
@settings(max_examples=400, deadline=None)
def test_unpack_returns_what_was_packed(case: tuple[list[int], int, bool]) -> None:
    values, bits, signed = case
    stream = np.frombuffer(
        long_integer(values, bits).to_bytes(packed_size(len(values), bits), "little"), np.uint8
    )
    result = unpack(stream, len(values), bits, signed)
    assert result.dtype == np.int64
    assert result.tolist() == values


@pytest.mark.parametrize("bits", range(1, 33))
@pytest.mark.parametrize("signed", [False, True])
def test_arrays_longer_than_one_step_round_trip(bits: int, signed: bool) -> None:
    low, high = value_range(bits, signed)
    values = np.random.default_rng(bits).integers(low, high, (3, 90_001), endpoint=True)
    values[0, :2] = low, high
    stream = pack(values, bits, signed)
    assert np.array_equal(unpack(stream, values.size, bits, signed), values.ravel())


def test_documented_examples() -> None:
    assert pack(np.array([1, 10, 15, 2, 7]), 4, False).tobytes() == bytes([0xA1, 0x2F, 0x07])
    assert pack(np.array([1, 10, 31]), 5, False).tobytes() == bytes([0x41, 0x7D])
    assert pack(np.array([-1, 2, -4]), 3, True).tobytes() == bytes([0x17, 0x01])


def test_strided_arrays_pack_in_c_order() -> None:
    codes = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(pack(codes.T, 4, False), pack(codes.T.copy(), 4, False))


def test_unpack_gives_the_type_asked_for() -> None:
    stream = pack(np.array([200, 3], np.uint8), 8, False)
    assert unpack(stream, 2, 8, False, "uint8").dtype == np.uint8


def refused(message: str) -> "pytest.RaisesExc[BundleError]":
    return pytest.raises(BundleError, match=f"^{re.escape(message)}$")


def test_pack_refuses_values_that_do_not_fit() -> None:
    with refused(
        "values 3..16 do not fit 4 unsigned bits; limit 0..15; "
        "this is a defect of whoever made the array"
    ):
        pack(np.array([3, 16]), 4, False)
    with refused(
        "values -9..3 do not fit 4 signed bits; limit -8..7; "
        "this is a defect of whoever made the array"
    ):
        pack(np.array([3, -9]), 4, True)


def test_widths_beyond_the_limit_are_refused() -> None:
    for bits in (0, 33):
        with refused(f"elements have {bits} bits; limit 1..32"):
            pack(np.array([0]), bits, False)


def test_unpack_refuses_another_length() -> None:
    with refused("5 elements of 4 bits need 3 bytes, there are 2"):
        unpack(np.zeros(2, np.uint8), 5, 4, False)


def test_unpack_refuses_bits_after_the_last_element() -> None:
    with refused("the 4 unused bits of the last byte are not 0"):
        unpack(np.array([0x21, 0x43, 0x15], np.uint8), 5, 4, False)


def test_unpack_refuses_a_type_that_is_too_small() -> None:
    with refused("elements of 0..511 do not fit uint8"):
        unpack(np.zeros(2, np.uint8), 1, 9, False, "uint8")

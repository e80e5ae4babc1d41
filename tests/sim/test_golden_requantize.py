# SPDX-License-Identifier: Apache-2.0
"""The requantizer against Python's big integers and exact fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.nodes import Requantizer
from sim.golden.requantize import FLOAT64_EXACT, float_requantizer, requantize

MULTIPLIERS = st.one_of(st.sampled_from([65536, 65537, 131071]), st.integers(65536, 131071))
SHIFTS = st.one_of(st.sampled_from([1, 2, 46, 47]), st.integers(1, 47))
INT32 = st.one_of(
    st.sampled_from([-(2**31), 2**31 - 1, -1, 0, 1]), st.integers(-(2**31), 2**31 - 1)
)


def one(m, s, zero=0, low=0, high=65535, bits=16):
    return Requantizer(np.array([m]), np.array([s]), np.array([zero]), low, high, bits)


def oracle(acc, m, s, zero, low, high):
    # Round half up of the exact fraction, without any shift.
    rounded = floor(Fraction(acc * m, 2**s) + Fraction(1, 2))
    return min(max(rounded + zero, low), high)


@given(INT32, MULTIPLIERS, SHIFTS, st.integers(0, 65535), st.integers(0, 65535))
@settings(max_examples=400, deadline=None)
def test_requantize_equals_exact_fractions(acc, m, s, zero, low):
    got = requantize(np.array([acc]), one(m, s, zero, low, 65535))
    assert got.tolist() == [oracle(acc, m, s, zero, low, 65535)]


@given(
    st.lists(INT32, min_size=1, max_size=20),
    INT32,
    MULTIPLIERS,
    SHIFTS,
    st.integers(0, 1023),
    st.integers(0, 500),
    st.integers(500, 1023),
)
@settings(max_examples=400, deadline=None)
def test_float_form_equals_the_formula_or_is_refused(dots, bias, m, s, zero, low, high):
    rq = one(m, s, zero, low, high, 10)
    bound = max(abs(d) for d in dots)
    fused = float_requantizer(rq, np.array([bias]), np.array([bound]))
    if fused is None:
        assert (bound + abs(bias)) * m + 2 ** (s - 1) + zero * 2**s >= FLOAT64_EXACT
        return
    values = np.array([dots], np.float64)
    fused.apply(values)
    expected = [oracle(d + bias, m, s, zero, low, high) for d in dots]
    assert values.astype(np.uint16).tolist() == [expected]


@pytest.mark.parametrize(
    ("acc", "expected"),
    # 65536 / 2**17 is one half: each odd accumulator is a tie, and ties go up.
    [(-5, 98), (-4, 98), (-3, 99), (-2, 99), (-1, 100), (0, 100), (1, 101), (2, 101), (3, 102)],
)
def test_ties_round_towards_plus_infinity(acc, expected):
    rq = one(65536, 17, 100, 0, 255, 8)
    assert requantize(np.array([acc]), rq).tolist() == [expected]
    fused = float_requantizer(rq, np.array([0]), np.array([5]))
    assert fused is not None
    values = np.array([[float(acc)]])
    fused.apply(values)
    assert values.astype(np.uint8).tolist() == [[expected]]


def test_rounding_is_not_numpys():
    rq = one(65536, 17, 100, 0, 255, 8)
    accs = np.arange(-7, 8)
    half_to_even = np.rint(accs / 2).astype(int) + 100
    assert requantize(accs, rq).tolist() != half_to_even.tolist()


def test_dead_filter_gives_the_zero_point():
    rq = one(0, 1, 77, 0, 255, 8)
    assert requantize(np.array([-(2**31), 0, 2**31 - 1]), rq).tolist() == [77, 77, 77]


def test_entries_follow_the_axis():
    rq = Requantizer(np.array([65536, 131071]), np.array([16, 17]), np.array([0, 5]), 0, 255, 8)
    accs = np.array([[10, 20], [10, 20]])
    assert requantize(accs, rq, axis=0).tolist() == [[10, 20], [15, 25]]
    assert requantize(accs, rq, axis=1).tolist() == [[10, 25], [10, 25]]


def test_float_form_is_refused_where_53_bits_do_not_hold_it():
    # A zero point of 1023 at shift 47 needs 57 bits.
    assert float_requantizer(one(65536, 47, 1023), np.array([0]), np.array([1])) is None

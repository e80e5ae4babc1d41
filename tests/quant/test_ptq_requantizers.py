# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.errors import QuantizationError
from quant.floatgraph import FloatActivation
from quant.formats import TensorFormat
from quant.ptq.observers import RealRange
from quant.ptq.requantizers import (
    apply_activation,
    clip_bounds,
    fixed_point,
    output_codes,
    table_requantizer,
)


@given(st.floats(1e-8, 60_000.0))
def test_fixed_point_is_within_half_a_unit(real):
    multiplier, shift = fixed_point(np.array([real]), "x")
    assert 1 << 16 <= int(multiplier[0]) < 1 << 17
    assert 1 <= int(shift[0]) <= 47
    assert abs(int(multiplier[0]) * 2.0 ** -int(shift[0]) / real - 1.0) <= 2.0**-17


def test_fixed_point_rounds_up_into_the_next_power():
    multiplier, shift = fixed_point(np.array([1.0 - 1e-9]), "x")
    assert (int(multiplier[0]), int(shift[0])) == (1 << 16, 16)


def test_tiny_multipliers_become_zero():
    multiplier, shift = fixed_point(np.array([2.0**-32, 0.0]), "x")
    assert multiplier.tolist() == [0, 0]
    assert shift.tolist() == [1, 1]


def test_a_multiplier_beyond_the_limit_is_refused():
    with pytest.raises(QuantizationError, match=r"^'conv' needs a requantize multiplier of 7e\+04"):
        fixed_point(np.array([70_000.0]), "conv")


def test_clip_bounds():
    fmt = TensorFormat.plain(8, 0.1, 20, 4)
    assert clip_bounds(None, fmt) == (0, 255)
    assert clip_bounds(FloatActivation("a", "x", "relu"), fmt) == (20, 255)
    assert clip_bounds(FloatActivation("a", "x", "relu6"), fmt) == (20, 80)


def test_codebook_outputs_take_the_nearest_entry():
    book = (0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 63)
    fmt = TensorFormat(4, TensorFormat.plain(4, 0.5, 2, 1).ranges, book)
    assert output_codes(np.array([-9.0, 0.0, 1.4, 99.0]), fmt).tolist() == [0, 2, 4, 15]


@pytest.mark.parametrize("kind", ["silu", "hardswish", "leaky_relu", "sigmoid", "hardsigmoid"])
@pytest.mark.parametrize("bits", [4, 6, 8])
def test_table_is_within_one_code_of_the_function(kind, bits):
    activation = FloatActivation("a", "x", kind, 0.1 if kind == "leaky_relu" else 0.0)
    seen = RealRange(-6.0, 7.0)
    x = np.linspace(seen.low, seen.high, 4001)
    y = apply_activation(activation, x)
    low, high = float(min(y.min(), 0.0)), float(y.max())
    levels = (1 << bits) - 1
    zero = round(-low / (high - low) * levels)
    output = TensorFormat.plain(bits, (high - low) / levels, zero, 1)
    step = 1e-4
    requant, table = table_requantizer(np.array([step]), "conv", activation, seen, output)
    acc = np.round(x / step).astype(np.int64)
    m, s = int(requant.multiplier[0]), int(requant.shift[0])
    pre = ((acc * m + (1 << (s - 1))) >> s) + int(requant.zero_point[0])
    got = table[np.clip(pre, requant.low, requant.high)].astype(np.int64)
    assert requant.bits == bits + 2
    assert np.abs(got - output_codes(y, output)).max() <= 1


def test_activation_functions():
    x = np.array([-4.0, -1.0, 0.0, 1.0, 8.0])
    apply = lambda kind, slope=0.0: apply_activation(  # noqa: E731
        FloatActivation("a", "x", kind, slope), x
    ).tolist()
    assert apply("relu") == [0, 0, 0, 1, 8]
    assert apply("relu6") == [0, 0, 0, 1, 6]
    assert apply("leaky_relu", 0.25) == [-1, -0.25, 0, 1, 8]
    assert apply("hardswish") == pytest.approx([0, -1 / 3, 0, 2 / 3, 8])
    assert apply("silu")[3] == pytest.approx(0.7310585786)

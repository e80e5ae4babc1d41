# SPDX-License-Identifier: Apache-2.0
"""Formats, stored weights and requantizers: what they mean and what they refuse, word for word."""

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from quant.errors import GraphError
from quant.formats import RowRange, TensorFormat, frozen_array
from quant.nodes import Requantizer
from quant.samples import sample_weights
from quant.weights import ENTRY_LIMIT, Granularity, Weights, signed_bits

Change = dict[str, object]


def refused(message: str) -> "pytest.RaisesExc[GraphError]":
    return pytest.raises(GraphError, match=f"^{re.escape(message)}$")


# Tensor formats

RANGE = (RowRange(3, 0.5, 2),)


def test_plain_format() -> None:
    plain = TensorFormat.plain(4, 0.25, 7, 10)
    assert plain == TensorFormat(4, (RowRange(10, 0.25, 7),))
    assert (plain.channels, plain.scale, plain.zero_point, plain.zero_code) == (10, 0.25, 7, 7)
    assert (plain.max_decoded, plain.decoded_bits, plain.uniform) == (15, 4, True)


def test_codebook_format() -> None:
    book = TensorFormat(2, (RowRange(3, 0.5, 3),), (0, 3, 4, 40))
    assert (book.zero_code, book.max_decoded, book.decoded_bits) == (1, 40, 6)
    assert TensorFormat(1, (RowRange(1, 1.0, 0),), (0, 1)).decoded_bits == 1
    assert TensorFormat(16, (RowRange(1, 1.0, 65535),)).max_decoded == 65535


def test_row_ranges() -> None:
    rows = TensorFormat(8, (RowRange(2, 0.5, 9), RowRange(5, 0.25, 1)))
    assert (rows.channels, rows.uniform) == (5, False)
    assert rows.scale_per_row.tolist() == [0.5, 0.5, 0.25, 0.25, 0.25]
    assert rows.zero_point_per_row.tolist() == [9, 9, 1, 1, 1]
    assert rows.zero_point_per_row.dtype == np.int64
    for read in (lambda: rows.scale, lambda: rows.zero_point, lambda: rows.zero_code):
        with refused("format has 2 row ranges where one is needed"):
            read()
    assert not rows.same_codes(rows)


def test_same_codes_ignores_only_the_channels() -> None:
    plain = TensorFormat.plain(4, 0.25, 7, 10)
    assert plain.same_codes(plain.with_channels(3))
    assert plain.with_channels(3).channels == 3
    for other in (
        TensorFormat.plain(5, 0.25, 7, 10),
        TensorFormat.plain(4, 0.5, 7, 10),
        TensorFormat.plain(4, 0.25, 6, 10),
        replace(plain, codebook=tuple(range(16))),
    ):
        assert not plain.same_codes(other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TensorFormat(0, RANGE), "a tensor format has 0 bits; limit 1..16"),
        (lambda: TensorFormat(17, RANGE), "a tensor format has 17 bits; limit 1..16"),
        (
            lambda: TensorFormat(2, RANGE, (0, 1, 2)),
            "codebook has 3 entries; 2-bit codes need 4",
        ),
        (
            lambda: TensorFormat(2, RANGE, (0, 1, 2, 65536)),
            "codebook (0, 1, 2, 65536) must be strictly increasing within 0..65535",
        ),
        (
            lambda: TensorFormat(2, RANGE, (-1, 1, 2, 3)),
            "codebook (-1, 1, 2, 3) must be strictly increasing within 0..65535",
        ),
        (
            lambda: TensorFormat(2, RANGE, (0, 2, 2, 3)),
            "codebook (0, 2, 2, 3) must be strictly increasing within 0..65535",
        ),
        (lambda: TensorFormat(4, ()), "a tensor format needs at least one row range"),
        (
            lambda: TensorFormat(4, (RowRange(0, 1.0, 0),)),
            "row ranges end at [0]; they must increase from 1",
        ),
        (
            lambda: TensorFormat(4, (RowRange(3, 1.0, 0), RowRange(3, 1.0, 0))),
            "row ranges end at [3, 3]; they must increase from 1",
        ),
        (
            lambda: TensorFormat(4, (RowRange(3, 0.0, 0),)),
            "scale 0.0 must be finite and positive",
        ),
        (
            lambda: TensorFormat(4, (RowRange(3, float("nan"), 0),)),
            "scale nan must be finite and positive",
        ),
        (
            lambda: TensorFormat(4, (RowRange(3, float("inf"), 0),)),
            "scale inf must be finite and positive",
        ),
        (
            lambda: TensorFormat(2, (RowRange(3, 1.0, 5),), (0, 1, 4, 6)),
            "zero point 5 is not an entry of the codebook",
        ),
        (
            lambda: TensorFormat(4, (RowRange(3, 1.0, 16),)),
            "zero point 16 is outside the codes 0..15",
        ),
        (
            lambda: TensorFormat(4, (RowRange(3, 1.0, -1),)),
            "zero point -1 is outside the codes 0..15",
        ),
    ],
)
def test_impossible_formats(make: Callable[[], TensorFormat], message: str) -> None:
    with refused(message):
        make()


# Arrays


def test_frozen_arrays_are_read_only_copies() -> None:
    source = np.array([[1, 2], [3, 4]])
    frozen = frozen_array(source.T, np.uint8)
    source[0, 0] = 9
    assert frozen.tolist() == [[1, 3], [2, 4]]
    assert frozen.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        frozen[0, 0] = 1


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ([3, 256], np.uint8, "values 3..256 do not fit uint8"),
        ([-1, 4], np.uint32, "values -1..4 do not fit uint32"),
        ([0.0, 0.5], np.int32, "values 0.0..0.5 do not fit int32"),
    ],
)
def test_arrays_that_lose_values(value: list[float], dtype: type, message: str) -> None:
    with refused(f"{message}; this is a defect of whoever made the array"):
        frozen_array(value, dtype)


# Weights


def weights(**change: object) -> Weights:
    """Six filters of 3x3x3, two tables, filter-wise."""
    made: Change = {
        "codes": np.arange(162).reshape(6, 3, 3, 3) % 16,
        "bits": 4,
        "tables": np.stack([np.arange(16), np.arange(16) - 8]),
        "selectors": np.array([0, 1, 1, 0, 0, 1]).reshape(6, 1, 1, 1),
        "multipliers": np.full((6, 1, 1, 1), 3),
        "scale": np.full(6, 0.5),
        "granularity": Granularity.FILTER,
        "scheme": "affine",
    }
    return Weights(**(made | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"codes": np.zeros((6, 3, 3), int)},
            "weight codes have shape (6, 3, 3); four axes OIHW needed",
        ),
        (
            {"codes": np.zeros((0, 3, 3, 3), int)},
            "weight codes have shape (0, 3, 3, 3); four axes OIHW needed",
        ),
        ({"bits": 0}, "weight codes have 0 bits; limit 1..8"),
        ({"bits": 9}, "weight codes have 9 bits; limit 1..8"),
        ({"bits": 3}, "weight code 15 does not fit 3 bits"),
        (
            {"tables": np.arange(16)},
            "decode tables have shape (16,); needed [1..16, 16]",
        ),
        (
            {"tables": np.zeros((2, 15), int)},
            "decode tables have shape (2, 15); needed [1..16, 16]",
        ),
        (
            {"tables": np.zeros((17, 16), int)},
            "decode tables have shape (17, 16); needed [1..16, 16]",
        ),
        (
            {"tables": np.zeros((0, 16), int)},
            "decode tables have shape (0, 16); needed [1..16, 16]",
        ),
        (
            {"tables": np.full((2, 16), -32)},
            "decode table entry 32 exceeds 31, the limit for 4-bit codes",
        ),
        (
            {"bits": 5, "tables": np.full((2, 32), 128)},
            "decode table entry 128 exceeds 127, the limit for 5-bit codes",
        ),
        (
            {"bits": 8, "tables": np.full((2, 256), -256)},
            "decode table entry 256 exceeds 255, the limit for 8-bit codes",
        ),
        (
            {"selectors": np.zeros((6, 1, 3, 3), int)},
            "filter-wise groups of (6, 3, 3, 3) need selectors and multipliers of shape "
            "(6, 1, 1, 1), got (6, 1, 3, 3) and (6, 1, 1, 1)",
        ),
        (
            {"granularity": Granularity.C_SHAPE, "selectors": np.zeros((6, 1, 3, 3), int)},
            "c-shape-wise groups of (6, 3, 3, 3) need selectors and multipliers of shape "
            "(6, 1, 3, 3), got (6, 1, 3, 3) and (6, 1, 1, 1)",
        ),
        (
            {"selectors": np.full((6, 1, 1, 1), 2)},
            "table selector 2 of 2 tables",
        ),
        (
            {"multipliers": np.zeros((6, 1, 1, 1), int)},
            "a group multiplier is 0; dead groups need codes that decode to 0",
        ),
        (
            {"multipliers": np.full((6, 1, 1, 1), 256)},
            "values 256..256 do not fit uint8; this is a defect of whoever made the array",
        ),
        ({"scale": np.ones(5)}, "weight scale has shape (5,); needed [1] or [6]"),
        ({"scale": np.ones((6, 1))}, "weight scale has shape (6, 1); needed [1] or [6]"),
    ],
)
def test_impossible_weights(change: Change, message: str) -> None:
    with refused(message):
        weights(**change)


def test_weights_are_frozen() -> None:
    made = weights()
    for field in fields(made):
        with pytest.raises(FrozenInstanceError):
            setattr(made, field.name, getattr(made, field.name))
        value = getattr(made, field.name)
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable


@pytest.mark.parametrize("granularity", list(Granularity))
def test_integers_equal_literal_loops(granularity: Granularity) -> None:
    made = sample_weights(5, (4, 3, 2, 3), granularity=granularity, scheme="codebook")
    result = made.integers()
    assert result.dtype == np.int32
    for f, c, kh, kw in np.ndindex(4, 3, 2, 3):
        g = {
            Granularity.LAYER: (0, 0, 0, 0),
            Granularity.FILTER: (f, 0, 0, 0),
            Granularity.CHANNEL: (0, c, 0, 0),
            Granularity.F_SHAPE: (0, c, kh, kw),
            Granularity.C_SHAPE: (f, 0, kh, kw),
        }[granularity]
        entry = int(made.tables[int(made.selectors[g]), int(made.codes[f, c, kh, kw])])
        assert result[f, c, kh, kw] == int(made.multipliers[g]) * entry


def test_stored_widths() -> None:
    made = weights()
    assert (made.multiplier_bits, made.selector_bits, made.table_bits) == (2, 1, 5)
    assert (made.groups, made.shape) == (6, (6, 3, 3, 3))
    plain = weights(
        tables=np.arange(16).reshape(1, 16) - 8,
        selectors=np.zeros((6, 1, 1, 1), int),
        multipliers=np.ones((6, 1, 1, 1), int),
    )
    assert (plain.multiplier_bits, plain.selector_bits, plain.table_bits) == (0, 0, 4)
    assert weights(tables=np.tile(np.arange(16), (3, 1))).selector_bits == 2


@pytest.mark.parametrize("low", [-129, -128, -2, -1, 0, 3])
@pytest.mark.parametrize("span", [0, 1, 5, 127, 128, 129, 130, 256, 257])
def test_signed_bits_is_the_smallest_width(low: int, span: int) -> None:
    high = low + span
    bits = signed_bits(low, high)
    assert -(1 << (bits - 1)) <= low <= high < 1 << (bits - 1)
    if bits > 1:
        assert low < -(1 << (bits - 2)) or high >= 1 << (bits - 2)


def test_entry_limits_cover_every_width() -> None:
    assert ENTRY_LIMIT == {1: 31, 2: 31, 3: 31, 4: 31, 5: 127, 6: 255, 7: 255, 8: 255}


# Requantizers


def requantizer(**change: object) -> Requantizer:
    made: Change = {
        "multiplier": np.array([65536, 131071, 0]),
        "shift": np.array([1, 47, 1]),
        "zero_point": np.array([3, 3, 3]),
        "low": 0,
        "high": 15,
        "bits": 4,
    }
    return Requantizer(**(made | change))  # type: ignore[arg-type]


def test_corner_requantizer_is_legal() -> None:
    made = requantizer()
    assert (made.multiplier.dtype, made.shift.dtype) == (np.uint32, np.uint8)
    assert made.zero_point.dtype == np.int32
    assert not made.multiplier.flags.writeable
    with pytest.raises(FrozenInstanceError):
        made.low = 1  # type: ignore[misc]


SHAPES = "requantizer arrays have shapes {}; one entry per filter each"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift": np.array([1, 2])}, SHAPES.format("(3,), (2,), (3,)")),
        ({"zero_point": np.array([1])}, SHAPES.format("(3,), (3,), (1,)")),
        (
            {k: np.zeros((3, 1), int) for k in ("multiplier", "shift", "zero_point")},
            SHAPES.format("(3, 1), (3, 1), (3, 1)"),
        ),
        (
            {k: np.zeros(0, int) for k in ("multiplier", "shift", "zero_point")},
            SHAPES.format("(0,), (0,), (0,)"),
        ),
        (
            {"multiplier": np.array([65536, 65535, 0])},
            "requantize multiplier 65535 must be 0 with shift 1 or in [65536, 131072)",
        ),
        (
            {"multiplier": np.array([65536, 131072, 0])},
            "requantize multiplier 131072 must be 0 with shift 1 or in [65536, 131072)",
        ),
        (
            {"shift": np.array([1, 47, 2])},
            "requantize multiplier 0 must be 0 with shift 1 or in [65536, 131072)",
        ),
        ({"shift": np.array([0, 47, 1])}, "requantize shift 0..47 must be in [1, 47]"),
        ({"shift": np.array([2, 48, 1])}, "requantize shift 1..48 must be in [1, 47]"),
        ({"bits": 0}, "requantized codes have 0 bits; limit 1..16"),
        ({"bits": 17}, "requantized codes have 17 bits; limit 1..16"),
        ({"high": 16}, "requantizer clips to 0..16, outside 4-bit codes"),
        ({"low": -1}, "requantizer clips to -1..15, outside 4-bit codes"),
        ({"low": 9, "high": 8}, "requantizer clips to 9..8, outside 4-bit codes"),
        (
            {"zero_point": np.array([3, 16, 0])},
            "requantizer zero point 0..16 is outside 4-bit codes",
        ),
        (
            {"zero_point": np.array([3, -1, 0])},
            "requantizer zero point -1..3 is outside 4-bit codes",
        ),
    ],
)
def test_impossible_requantizers(change: Change, message: str) -> None:
    with refused(message):
        requantizer(**change)

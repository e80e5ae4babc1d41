# SPDX-License-Identifier: Apache-2.0
"""Every node kind against literal loops over Python integers."""

from dataclasses import replace

import numpy as np
import pytest

from quant.formats import RowRange, TensorFormat
from quant.nodes import (
    Add,
    AvgPool,
    Concat,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Output,
    Requantize,
    Requantizer,
    Split,
    Upsample,
)
from quant.samples import sample_codes, sample_conv, sample_format, sample_weights
from quant.weights import Granularity
from sim.golden import decode_weights, golden_node, run_conv
from sim.golden.layer import prepare_layer


def decoded(fmt, code):
    return int(code) if fmt.codebook is None else fmt.codebook[int(code)]


def weight(weights, f, c, y, x):
    def pick(array):
        place = [i if n > 1 else 0 for i, n in zip((f, c, y, x), array.shape, strict=True)]
        return int(array[tuple(place)])

    return pick(weights.multipliers) * int(
        weights.tables[pick(weights.selectors)][int(weights.codes[f, c, y, x])]
    )


def requantized(acc, rq, f=0):
    m, s, z = int(rq.multiplier[f]), int(rq.shift[f]), int(rq.zero_point[f])
    return min(max(((acc * m + (1 << (s - 1))) >> s) + z, rq.low), rq.high)


def conv_oracle(node, fmt, frame):
    """Return codes and accumulators of one frame [C][H][W], seven nested loops."""
    filters, depth, kh, kw = node.weights.codes.shape
    top, left, bottom, right = node.padding
    _, height, width = frame.shape
    rows = (height + top + bottom - kh) // node.stride[0] + 1
    columns = (width + left + right - kw) // node.stride[1] + 1
    codes = np.zeros((filters, rows, columns), np.int64)
    sums = np.zeros((filters, rows, columns), np.int64)
    for f in range(filters):
        first = f // (filters // node.groups) * depth
        for y in range(rows):
            for x in range(columns):
                acc = int(node.bias[f])
                for c in range(depth):
                    for i in range(kh):
                        for j in range(kw):
                            iy, ix = y * node.stride[0] + i - top, x * node.stride[1] + j - left
                            inside = 0 <= iy < height and 0 <= ix < width
                            zero = fmt.ranges[0].zero_point
                            a = decoded(fmt, frame[first + c, iy, ix]) if inside else zero
                            acc += a * weight(node.weights, f, c, i, j)
                code = requantized(acc, node.requant, f)
                codes[f, y, x] = code if node.table is None else int(node.table[code])
                sums[f, y, x] = acc
    return codes, sums


CONVS = {
    "dense": {},
    "point": {"kernel": 1, "padding": 0},
    "point, stride 2": {"kernel": 1, "padding": 0, "stride": 2},
    "stride 2": {"stride": 2},
    "stride 3x2, kernel 2x3": {"stride": (3, 2), "kernel": (2, 3)},
    "stem 6x6": {"kernel": 6, "stride": 2, "padding": 2},
    "asymmetric padding": {"padding": (2, 0, 1, 3)},
    "wide padding": {"padding": (0, 4, 3, 1), "stride": 2},
    "no padding": {"padding": 0},
    "one row of output": {"kernel": (7, 2), "padding": 0},
    "one row of output, stride 2": {"kernel": (6, 1), "padding": 0, "stride": 2},
    "grouped": {"groups": 2},
    "grouped, stride 2": {"groups": 2, "stride": 2},
    "grouped point": {"groups": 2, "kernel": 1, "padding": 0},
    "depthwise": {"groups": 4, "filters": 4},
    "depthwise, stride 2": {"groups": 4, "filters": 4, "stride": 2, "codebook": True},
    "depthwise, two per channel": {"groups": 4, "filters": 8},
    "depthwise point": {"groups": 4, "filters": 4, "kernel": 1, "padding": 0},
    "table": {"table": True},
    "codebook": {"codebook": True},
    "codebook, point": {"codebook": True, "kernel": 1, "padding": 0},
    "codebook, table, 4 bits": {"codebook": True, "table": True, "act_bits": 4},
    "C-shape": {"granularity": Granularity.C_SHAPE},
    "F-shape": {"granularity": Granularity.F_SHAPE},
    "channel": {"granularity": Granularity.CHANNEL, "groups": 2},
    "layer": {"granularity": Granularity.LAYER, "scheme": "symmetric"},
    "PWLQ": {"scheme": "pwlq", "weight_bits": 5, "granularity": Granularity.F_SHAPE},
    "free codebook": {"scheme": "codebook", "granularity": Granularity.C_SHAPE},
    "8-bit weights": {"weight_bits": 8},
    "1-bit weights": {"weight_bits": 1, "act_bits": 4},
}


@pytest.mark.parametrize("options", CONVS.values(), ids=CONVS.keys())
def test_convolution_equals_loops(options):
    node, fmt = sample_conv(3, 4, **{"filters": 8, **options})
    codes = sample_codes(1, (2, 4, 7, 5), fmt.bits)
    got, sums = run_conv(node, fmt, codes)
    assert got.dtype == np.uint8
    assert sums.dtype == np.int32
    for frame in range(2):
        expected, accumulators = conv_oracle(node, fmt, codes[frame])
        assert np.array_equal(got[frame], expected)
        assert np.array_equal(sums[frame], accumulators)
    assert np.array_equal(golden_node(node, [fmt], [codes]), got)


def test_sample_convolution_reaches_both_ends():
    # Guards the tests above: a judge that never saturates or sees few codes judges little.
    node, fmt = sample_conv(5, 16, 15)
    got, _ = run_conv(node, fmt, sample_codes(2, (1, 16, 24, 24), 8))
    assert got.min() == 0
    assert got.max() == 255
    assert len(np.unique(got)) > 250


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_of_a_large_map_join_without_seams(bits):
    # Far more pixels than one block holds; the oracle is an int64 tensor product here.
    node, fmt = sample_conv(9, 24, 16, stride=2, act_bits=bits, table=True)
    codes = sample_codes(4, (1, 24, 150, 171), bits)
    got, sums = run_conv(node, fmt, codes)
    padded = np.pad(codes[0].astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    padded[:, 0] = padded[:, -1] = padded[:, :, 0] = padded[:, :, -1] = fmt.zero_point
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    w = decode_weights(node.weights)
    expected = np.einsum("cyxij,fcij->fyx", windows, w) + node.bias[:, None, None]
    assert np.array_equal(sums[0], expected)
    spot = [requantized(int(v), node.requant, 7) for v in expected[7].ravel()[::97]]
    assert got[0, 7].ravel()[::97].tolist() == [int(node.table[p]) for p in spot]


def test_wide_sums_take_float64_and_stay_exact():
    node, fmt = sample_conv(2, 64, 4, weight_bits=8, scheme="symmetric")
    codes = np.random.default_rng(1).integers(253, 256, node.weights.shape)
    node = replace(node, weights=replace(node.weights, codes=codes))
    assert prepare_layer(node, fmt).matrix.dtype == np.float64
    full = np.full((1, 64, 5, 5), 255, np.uint8)
    for codes in (full, sample_codes(7, full.shape, 8)):
        expected, accumulators = conv_oracle(node, fmt, codes[0])
        got, sums = run_conv(node, fmt, codes)
        assert np.array_equal(sums[0], accumulators)
        assert np.array_equal(got[0], expected)
    # Odd sums above 2**24 are what float32 would lose.
    dots = run_conv(node, fmt, full)[1][0] - node.bias[:, None, None]
    assert np.any((dots > 2**24) & (dots % 2 == 1))


def test_float32_holds_the_extreme_sums_it_is_used_for():
    # 15 * 255 * 4386 = 16,776,450 is the last multiple below 2**24; all codes at the maximum.
    depth = 4386
    node, fmt = sample_conv(1, 4, 1, kernel=1, padding=0, scheme="symmetric")
    weights = replace(
        sample_weights(0, (1, depth, 1, 1)),
        codes=np.full((1, depth, 1, 1), 15),
        tables=np.arange(16)[None] * 1,
        selectors=np.zeros((1, 1, 1, 1)),
    )
    node = replace(node, weights=weights)
    fmt = fmt.with_channels(depth)
    layer = prepare_layer(node, fmt)
    assert layer.matrix.dtype == np.float32
    codes = np.full((1, depth, 3, 3), 255, np.uint8)
    codes[0, 7, 1, 1] = 254
    _, sums = run_conv(node, fmt, codes)
    full = 15 * 255 * depth + int(node.bias[0])
    assert sums[0, 0].tolist() == [[full] * 3, [full, full - 15, full], [full] * 3]


def test_integer_requantizer_where_float64_does_not_hold_it():
    node, fmt = sample_conv(4, 4, 3)
    tiny = Requantizer(
        np.full(3, 131071), np.full(3, 47), np.full(3, 128), 0, 255, node.requant.bits
    )
    node = replace(node, requant=tiny, bias=np.array([2**30, -(2**30), 5]))
    assert prepare_layer(node, fmt).fused is None
    codes = sample_codes(3, (1, 4, 5, 5), 8)
    got, _ = run_conv(node, fmt, codes)
    assert np.array_equal(got[0], conv_oracle(node, fmt, codes[0])[0])


def test_row_ranges_use_their_own_zero_points():
    rows = TensorFormat(8, (RowRange(2, 1.0, 200), RowRange(3, 0.5, 0), RowRange(6, 1.0, 17)))
    node, fmt = sample_conv(6, 4, 6, kernel=1, padding=0, output=rows)
    codes = sample_codes(8, (1, 4, 6, 6), 8)
    got, _ = run_conv(node, fmt, codes)
    assert node.requant.zero_point.tolist() == [200, 200, 0, 17, 17, 17]
    assert np.array_equal(got[0], conv_oracle(node, fmt, codes[0])[0])


def test_sixteen_bit_outputs_are_uint16():
    node, fmt = sample_conv(6, 4, 6, kernel=1, padding=0, output=sample_format(6, 16, zero=30000))
    codes = sample_codes(8, (1, 4, 6, 6), 8)
    got, _ = run_conv(node, fmt, codes)
    assert got.dtype == np.uint16
    assert np.array_equal(got[0], conv_oracle(node, fmt, codes[0])[0])


@pytest.mark.parametrize("codebook", [False, True])
def test_linear_equals_loops(codebook):
    fmt = sample_format(5, 8, codebook=codebook, zero=40)
    conv, _ = sample_conv(3, 60, 7, 1, padding=0, source=fmt.with_channels(60))
    node = Linear(
        "fc", "x", conv.weights, conv.bias, conv.requant, None, conv.output.with_channels(7)
    )
    codes = sample_codes(1, (3, 5, 3, 4), 8)
    got = golden_node(node, [fmt], [codes])
    assert got.shape == (3, 7, 1, 1)
    for frame in range(3):
        # Flattened like torch: channel, row, column.
        flat = [int(codes[frame, c, y, x]) for c in range(5) for y in range(3) for x in range(4)]
        for f in range(7):
            acc = int(node.bias[f])
            for k, q in enumerate(flat):
                acc += decoded(fmt, q) * weight(node.weights, f, k, 0, 0)
            assert got[frame, f, 0, 0] == requantized(acc, node.requant, f)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((5, 5), (1, 1), (2, 2, 2, 2)),
        ((2, 2), (2, 2), (0, 0, 0, 0)),
        ((3, 2), (2, 1), (1, 0, 2, 1)),
        ((2, 2), (2, 2), (0, 0, 1, 1)),
    ],
)
@pytest.mark.parametrize("bits", [8, 12])
def test_max_pool_equals_loops(kernel, stride, padding, bits):
    node = MaxPool("pool", "x", kernel, stride, padding)
    codes = sample_codes(1, (2, 3, 7, 6), bits)
    codes[0, 0] = 0  # zero codes everywhere: padding must not win over them either
    got = golden_node(node, [sample_format(3, bits, zero=100)], [codes])
    top, left, bottom, right = padding
    rows, columns = (
        (7 + top + bottom - kernel[0]) // stride[0] + 1,
        (6 + left + right - kernel[1]) // stride[1] + 1,
    )
    assert got.shape == (2, 3, rows, columns)
    for place in np.ndindex(got.shape):
        n, c, y, x = place
        window = [
            int(codes[n, c, i, j])
            for i in range(y * stride[0] - top, y * stride[0] - top + kernel[0])
            for j in range(x * stride[1] - left, x * stride[1] - left + kernel[1])
            if 0 <= i < 7 and 0 <= j < 6
        ]
        assert got[place] == max(window)


@pytest.mark.parametrize(("kernel", "stride"), [((7, 6), (7, 6)), ((2, 3), (2, 1))])
@pytest.mark.parametrize("codebook", [False, True])
def test_average_pool_equals_loops(kernel, stride, codebook):
    fmt = sample_format(3, 8, codebook=codebook, zero=60)
    output = sample_format(3, 8, zero=90)
    m = round(2**22 / (kernel[0] * kernel[1]))
    shift = 22
    while m >= 2**17:
        m, shift = m // 2, shift - 1
    rq = Requantizer(np.array([m]), np.array([shift]), np.array([90]), 3, 250, 8)
    node = AvgPool("mean", "x", kernel, stride, rq, output)
    codes = sample_codes(5, (2, 3, 7, 6), 8)
    got = golden_node(node, [fmt], [codes])
    for place in np.ndindex(got.shape):
        n, c, y, x = place
        acc = 0
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                q = codes[n, c, y * stride[0] + i, x * stride[1] + j]
                acc += decoded(fmt, q) - fmt.zero_point
        assert got[place] == requantized(acc, rq)


@pytest.mark.parametrize("multipliers", [(65536, 1), (70000, 131071), (0, 65536)])
@pytest.mark.parametrize("codebook", [False, True])
def test_add_equals_loops(multipliers, codebook):
    first, second = sample_format(3, 8, zero=7), sample_format(3, 8, codebook=codebook, zero=100)
    output = sample_format(3, 6, zero=20)
    node = Add("sum", ("x", "y"), multipliers, 18, 2, 61, output)
    left, right = sample_codes(1, (2, 3, 5, 4), 8), sample_codes(2, (2, 3, 5, 4), 8)
    got = golden_node(node, [first, second], [left, right])
    for place in np.ndindex(got.shape):
        total = (decoded(first, left[place]) - 7) * multipliers[0]
        total += (decoded(second, right[place]) - second.zero_point) * multipliers[1]
        assert got[place] == min(max(((total + (1 << 17)) >> 18) + 20, 2), 61)


def test_add_in_several_blocks_equals_one_block():
    fmt = sample_format(4, 8, zero=7)
    node = Add("sum", ("x", "y"), (70000, 90000), 18, 0, 255, fmt)
    left, right = sample_codes(1, (1, 4, 97, 101), 8), sample_codes(2, (1, 4, 97, 101), 8)
    whole = golden_node(node, [fmt, fmt], [left, right])
    tail = golden_node(node, [fmt, fmt], [left[:, :, 60:], right[:, :, 60:]])
    assert np.array_equal(whole[:, :, 60:], tail)


@pytest.mark.parametrize("codebook", [False, True])
def test_requantize_node_equals_loops(codebook):
    fmt = sample_format(1, 8, codebook=codebook, zero=60)
    rq = Requantizer(np.array([98765]), np.array([18]), np.array([33]), 5, 60, 6)
    node = Requantize("retarget", "x", rq, sample_format(1, 6, zero=33))
    codes = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    got = golden_node(node, [fmt], [codes])
    expected = [requantized(decoded(fmt, q) - fmt.zero_point, rq) for q in range(256)]
    assert got.ravel().tolist() == expected


def test_lookup_reads_its_table():
    table = np.random.default_rng(3).integers(0, 1024, 64)
    node = Lookup("bend", "x", table, sample_format(2, 10))
    codes = sample_codes(1, (2, 2, 3, 3), 6)
    got = golden_node(node, [sample_format(2, 6)], [codes])
    assert got.dtype == np.uint16
    assert got.ravel().tolist() == [int(table[q]) for q in codes.ravel()]


def test_concat_split_upsample_input_output_move_codes():
    fmt = sample_format(2, 8)
    a, b = sample_codes(1, (2, 2, 3, 4), 8), sample_codes(2, (2, 3, 3, 4), 8)
    joined = golden_node(Concat("cat", ("a", "b")), [fmt, fmt.with_channels(3)], [a, b])
    assert np.array_equal(joined[:, :2], a)
    assert np.array_equal(joined[:, 2:], b)
    assert np.array_equal(golden_node(Split("s", "x", 1, 4), [fmt], [joined]), joined[:, 1:4])
    up = golden_node(Upsample("up", "x", 3), [fmt], [a])
    assert up.shape == (2, 2, 9, 12)
    for place in np.ndindex(up.shape):
        n, c, y, x = place
        assert up[place] == a[n, c, y // 3, x // 3]
    assert np.array_equal(golden_node(Output("o", "x"), [fmt], [a]), a)
    assert np.array_equal(golden_node(Input("i", (2, 3, 4), fmt), [fmt], [a]), a)


@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize("scheme", ["affine", "symmetric", "pwlq", "codebook"])
def test_the_two_writings_of_the_decode_agree(granularity, scheme):
    for bits in (4, 5, 8) if scheme != "pwlq" else (4, 5):
        weights = sample_weights(
            bits, (6, 5, 3, 2), weight_bits=bits, granularity=granularity, scheme=scheme
        )
        golden = decode_weights(weights)
        assert np.array_equal(golden, weights.integers())
        for place in np.ndindex(golden.shape):
            assert golden[place] == weight(weights, *place)

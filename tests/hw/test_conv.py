# SPDX-License-Identifier: Apache-2.0
"""Emitted text of the convolution cell: same input, same bytes; what does not fit is refused."""

import dataclasses
import re

import pytest

from hw.conv import emit_conv, rtl_sources
from hw.geometry import conv_geometry
from quant.errors import PlanError
from quant.nodes import Conv
from quant.samples import sample_conv
from quant.schedule import Folding
from quant.weights import Granularity

SHAPE = (8, 6, 7)


def emit(node, source, folding, shape=SHAPE, **names):
    return emit_conv(node, source, shape, folding, "dut", **names)


def test_same_input_same_bytes():
    first = emit(*sample_conv(1, 8, 8, table=True), Folding(4, 2))
    again = emit(*sample_conv(1, 8, 8, table=True), Folding(4, 2))
    assert list(first) == list(again)
    assert first == again
    assert set(first) == {
        "dut.sv",
        "dut_weights.mem",
        "dut_requant.mem",
        "dut_select.mem",
        "dut_table.mem",
    }


def test_prefix_and_digest():
    node, source = sample_conv(1, 8, 8, scheme="symmetric", granularity=Granularity.LAYER)
    plain = emit(node, source, Folding(4, 2), file_prefix="")
    assert set(plain) == {"dut.sv", "weights.mem", "requant.mem", "decode.mem"}
    named = emit(node, source, Folding(4, 2), file_prefix="", digest="ab12")
    assert named["dut.sv"].replace("// Graph ab12\n", "") == plain["dut.sv"]


def test_equal_parameters_give_equal_tops():
    """Only memory contents differ between layers of one size, so one build serves both."""
    node, source = sample_conv(1, 8, 8, scheme="symmetric", granularity=Granularity.LAYER)
    # The same weights in another order have the same accumulator width.
    codes = node.weights.codes[:, :, ::-1, ::-1]
    other = dataclasses.replace(node, weights=dataclasses.replace(node.weights, codes=codes))
    first = emit(node, source, Folding(4, 2), file_prefix="")
    second = emit(other, source, Folding(4, 2), file_prefix="")
    assert first["dut.sv"] == second["dut.sv"]
    assert first["weights.mem"] != second["weights.mem"]


def test_weight_words_follow_the_taps():
    """Fold, kernel row, kernel column, channel fold; filter p and channel s at lane p*SIMD + s."""
    node, source = sample_conv(5, 8, 12, kernel=(3, 2), groups=2, padding=(1, 0, 1, 1))
    text = emit(node, source, Folding(3, 2), file_prefix="")["weights.mem"]
    codes = node.weights.codes
    expected = []
    for fold in range(4):
        for kh in range(3):
            for kw in range(2):
                for channels in (0, 2):
                    word = 0
                    for p in range(3):
                        for s in range(2):
                            code = int(codes[3 * fold + p, channels + s, kh, kw])
                            word |= code << 4 * (2 * p + s)
                    expected.append(f"{word:06x}")
    assert text.split() == expected


def test_requant_words():
    """Bias, multiplier, shift above the smallest and twice the zero point plus one, packed."""
    node, source = sample_conv(2, 8, 8)
    files = emit(node, source, Folding(8, 8), file_prefix="")
    read = dict(re.findall(r"\.(\w+)\((\d+)\)", files["dut.sv"]))
    acc_bits, low, high = int(read["AccBits"]), int(read["ShiftLow"]), int(read["ShiftHigh"])
    assert int(read["RequantLanes"]) == 1
    shift_bits = max(1, (high - low).bit_length())
    r = node.requant
    assert r.multiplier[-1] == 0, "the sample has a dead filter"
    for f, word in enumerate(files["requant.mem"].split()):
        value = int(word, 16)
        assert value % 2**acc_bits == int(node.bias[f]) % 2**acc_bits
        value >>= acc_bits
        assert value % 2**17 == r.multiplier[f]
        value >>= 17
        assert value % 2**shift_bits == (int(r.shift[f]) - low if f < 7 else 0)
        assert value >> shift_bits == 2 * int(r.zero_point[f]) + 1


def test_requantizers_are_shared():
    """A fold of 9*4 cycles leaves time to requantize 8 lanes one after the other."""
    node, _ = sample_conv(1, 8, 8)
    assert conv_geometry(node, SHAPE, Folding(8, 2)).requant_lanes == 1
    point, _ = sample_conv(1, 8, 8, kernel=1, padding=0)
    assert conv_geometry(point, SHAPE, Folding(8, 8)).requant_lanes == 8
    assert conv_geometry(point, SHAPE, Folding(8, 4)).requant_lanes == 4


def refused(node: Conv, folding: Folding, shape=SHAPE) -> str:
    _, source = sample_conv(1, shape[0], 8)
    with pytest.raises(PlanError) as caught:
        emit_conv(node, source, shape, folding, "dut")
    return str(caught.value)


def test_refuses_foldings_with_the_nearest_divisors():
    node, _ = sample_conv(1, 8, 96, names=("p3.cv1", "x"))
    assert refused(node, Folding(40, 8)) == (
        "'p3.cv1' has 96 filters, not a multiple of PE=40; divisors near 40: 32, 48"
    )
    assert refused(node, Folding(4, 3)) == (
        "'p3.cv1' has 8 channels, not a multiple of SIMD=3; divisors near 3: 2, 4"
    )
    grouped, _ = sample_conv(1, 8, 12, groups=2)
    assert refused(grouped, Folding(12, 4)) == (
        "'conv' has 6 filters per group, not a multiple of PE=12; divisors near 12: 6"
    )
    assert refused(grouped, Folding(3, 8)) == (
        "'conv' has 4 channels per group, not a multiple of SIMD=8; divisors near 8: 4"
    )
    depthwise, _ = sample_conv(1, 8, 8, groups=8)
    assert refused(depthwise, Folding(3, 1)) == (
        "'conv' has 8 channels, not a multiple of PE=3; divisors near 3: 2, 4"
    )
    assert refused(depthwise, Folding(4, 2)) == (
        "'conv' has 1 channel per group, not a multiple of SIMD=2; divisors near 2: 1"
    )


def test_refuses_what_the_cell_does_not_have():
    node, _ = sample_conv(1, 8, 8)
    assert refused(node, Folding(4, 4, pixels_per_beat=2)) == (
        "'conv' is planned with 2 pixels per beat; core 'plain_lut' takes 1; use pixels_per_beat=1"
    )
    assert refused(node, Folding(4, 4, 4, "pack6")) == (
        "'conv' is planned with 4 pixels per beat; core 'pack6' takes 2; use pixels_per_beat=2"
    )
    wide, _ = sample_conv(1, 8, 8, kernel=1, padding=1)
    assert refused(wide, Folding(4, 4)) == (
        "'conv' pads (1, 1, 1, 1) around a 1x1 kernel; the window takes padding below the kernel; "
        "crop the model's padding"
    )


@pytest.mark.parametrize(
    ("granularity", "files", "factors"),
    [
        (Granularity.FILTER, {"select"}, 0),
        (Granularity.C_SHAPE, {"select", "factor"}, 72),
        (Granularity.F_SHAPE, {"select", "factor"}, 72),
        (Granularity.CHANNEL, {"select", "factor"}, 8),
    ],
)
def test_memories_of_group_parameters(granularity, files, factors):
    """A factor per filter and kernel position, per channel and kernel position, or per channel."""
    node, source = sample_conv(1, 8, 8, granularity=granularity)
    emitted = emit(node, source, Folding(4, 2))
    plain = {"dut.sv", "dut_weights.mem", "dut_requant.mem"}
    assert set(emitted) - plain == {f"dut_{name}.mem" for name in files}
    bits = node.weights.multiplier_bits
    words = emitted.get("dut_factor.mem", "").split()
    lanes = 4 if granularity == "c-shape" else 2
    found = [
        int(word, 16) >> bits * lane & (1 << bits) - 1 for word in words for lane in range(lanes)
    ]
    assert len(found) == factors
    if factors:
        assert sorted(found) == sorted(node.weights.multipliers.reshape(-1).tolist())


def test_every_cell_says_what_it_is():
    """SPDX, latency, throughput, back-pressure and golden function in every header."""
    sources = rtl_sources()
    assert {"nf_conv_axis.sv", "nf_mac_plain.sv", "nf_window.sv"} <= {p.name for p in sources}
    assert list(sources) == sorted(sources)
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("// SPDX-License-Identifier: Apache-2.0\n")
        header = text.split("`default_nettype none")[0]
        for word in ("Latency", "hroughput", "ack-pressure", "Golden"):
            assert word in header, f"{path.name} lacks {word}"
        assert f"module {path.stem} " in text

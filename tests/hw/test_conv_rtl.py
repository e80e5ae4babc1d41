# SPDX-License-Identifier: Apache-2.0
"""The convolution cell in Verilator: every code equal to literal loops, every cycle as planned."""

import dataclasses
import itertools

import numpy as np
import pytest

from hw.conv import emit_conv, rtl_sources
from hw.cycles import conv_cycles
from hw.geometry import conv_geometry
from quant.nodes import Conv
from quant.samples import sample_codes, sample_conv
from quant.schedule import Folding
from quant.weights import Granularity
from sim.rtl import ALWAYS, Pattern, build_bench
from sim.stream import beat_bytes, pack_beats, unpack_beats

pytestmark = pytest.mark.rtl

LAYER = {"granularity": Granularity.LAYER, "scheme": "symmetric"}
FRAMES = 3


def literal(node: Conv, source, frame):
    """Return the output codes [F, OH, OW] of one frame, by the contract's formulas and loops."""
    filters, group_channels, kh, kw = node.weights.shape
    _, height, width = frame.shape
    top, left, bottom, right = node.padding
    (sh, sw), r = node.stride, node.requant
    out_h = (height + top + bottom - kh) // sh + 1
    out_w = (width + left + right - kw) // sw + 1
    book = source.codebook or range(1 << source.bits)
    decoded = [[[book[q] for q in row] for row in plane] for plane in frame.tolist()]
    weights = node.weights
    tables, picks = weights.tables.tolist(), np.broadcast_to(weights.selectors, weights.shape)
    out = np.zeros((filters, out_h, out_w), np.int64)
    for f in range(filters):
        first = f // (filters // node.groups) * group_channels
        taps = [
            (c, i, j, tables[picks[f, c, i, j]][weights.codes[f, c, i, j]])
            for c, i, j in itertools.product(range(group_channels), range(kh), range(kw))
        ]
        m, s, zero = int(r.multiplier[f]), int(r.shift[f]), int(r.zero_point[f])
        for y, x in itertools.product(range(out_h), range(out_w)):
            acc = int(node.bias[f])
            for c, i, j, w in taps:
                row, col = y * sh - top + i, x * sw - left + j
                inside = 0 <= row < height and 0 <= col < width
                acc += w * (decoded[first + c][row][col] if inside else source.zero_point)
            code = min(max(((acc * m + (1 << (s - 1))) >> s) + zero, r.low), r.high)
            out[f, y, x] = code if node.table is None else node.table[code]
    return out


CASES = {
    # name: sample_conv arguments, (H, W), folding
    "dense 3x3": ((8, 8), {"act_bits": 4, "table": True}, (7, 8), (4, 4)),
    "1x1 full rate": ((8, 8, 1, 1, 0), {"act_bits": 4, **LAYER}, (5, 6), (8, 8)),
    "1x1 replayed": ((6, 9, 1, 1, 0), {"weight_bits": 8, "act_bits": 8}, (5, 6), (3, 2)),
    "3x3 s2 odd": ((4, 8, 3, 2), {"weight_bits": 8, "act_bits": 8, "table": True}, (9, 7), (8, 2)),
    "6x6 s2": ((3, 4, 6, 2, 2), {"act_bits": 8, "table": True}, (10, 12), (4, 3)),
    "5x5 asymmetric": ((2, 3, 5, 1, (4, 0, 1, 3)), {"scheme": "pwlq"}, (6, 5), (1, 2)),
    "3x1 s(2,1)": ((9, 5, (3, 1), (2, 1), (1, 0, 0, 0)), {"act_bits": 5}, (8, 5), (5, 9)),
    "grouped": ((8, 12, 3, 1, 1, 2), {"scheme": "codebook", "act_bits": 4}, (5, 6), (3, 2)),
    "depthwise": ((8, 8, 3, 1, 1, 8), {"table": True, "act_bits": 4}, (6, 5), (4, 1)),
    "depthwise s2": ((6, 6, 3, 2, 1, 6), {"weight_bits": 5, "scheme": "pwlq"}, (7, 6), (6, 1)),
    "multiplier": ((4, 12, 3, 1, 1, 4), {"codebook": True, "act_bits": 4}, (5, 5), (3, 1)),
    "codebook": ((4, 6, 3, 1, 1), {"codebook": True, "act_bits": 6, **LAYER}, (4, 6), (2, 4)),
    "tiny map": ((4, 4, 3, 2, 1), {"weight_bits": 2, "act_bits": 4}, (2, 1), (2, 2)),
    "low map": ((3, 4, 3, 1, (1, 1, 2, 1)), {"act_bits": 4}, (2, 10), (4, 1)),
    "serial": ((5, 3, 3, 1, 1), {"act_bits": 7, "weight_bits": 3}, (4, 4), (1, 1)),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("builds")


class Device:
    """One emitted convolution with its bench."""

    def __init__(self, node, source, in_shape, folding, cache, folder):
        self.node, self.source, self.in_shape, self.folding = node, source, in_shape, folding
        self.geometry = conv_geometry(node, in_shape, folding)
        self.files = emit_conv(node, source, in_shape, folding, "dut", file_prefix="")
        self.folder = folder
        top = folder / "dut.sv"
        top.write_text(self.files.pop("dut.sv"))
        in_bytes = beat_bytes(source.bits, self.geometry.in_lanes)
        out_bytes = beat_bytes(node.output.bits, self.geometry.pe)
        self.bench = build_bench([*rtl_sources(), top], "dut", in_bytes, out_bytes, cache)

    def run(self, frames, **patterns):
        """Return the run and the output codes, int64 [N, F, OH, OW]."""
        g = self.geometry
        beats = [pack_beats(frame, self.source.bits, g.in_lanes) for frame in frames]
        run = self.bench.run(
            self.folder / "run", [beats], [g.output_beats], files=self.files, **patterns
        )
        assert run.stalled is None
        assert run.violation is None
        shape = (g.filters, g.out_height, g.out_width)
        codes = [unpack_beats(b, shape, self.node.output.bits, g.pe) for b in run.frames]
        return run, np.stack(codes)


@pytest.mark.parametrize("name", CASES)
def test_bit_exact_and_on_time(name, cache, tmp_path):
    arguments, options, size, folding = CASES[name]
    node, source = sample_conv(11, *arguments, **options)
    shape = (arguments[0], *size)
    device = Device(node, source, shape, Folding(*folding), cache, tmp_path)
    frames = sample_codes(3, (FRAMES, *shape), source.bits)
    expected = np.stack([literal(node, source, frame) for frame in frames])
    assert len(np.unique(expected)) > 2
    planned = conv_cycles(node, shape, Folding(*folding))

    run, codes = device.run(frames)
    assert np.array_equal(codes, expected)
    assert run.latency_cycles == planned.latency_cycles
    assert run.interval_cycles == planned.interval_cycles
    for seed, idle, stall in (
        (1, Pattern.random(0.4), ALWAYS),
        (2, ALWAYS, Pattern.random(0.5)),
        (3, Pattern.bursts(9, 15), Pattern.bursts(4, 30)),
    ):
        _, codes = device.run(frames, idle=idle, stall=stall, seed=seed)
        assert np.array_equal(codes, expected), f"pattern {seed}"


def test_extremes_reach_the_proven_width(cache, tmp_path):
    """Largest activations on the smallest and on the largest weights: the accumulator's ends."""
    node, source = sample_conv(4, 16, 4, weight_bits=8, act_bits=8, **LAYER)
    codes = np.zeros_like(node.weights.codes)
    codes[1::2] = 255
    # Dead centre: bias 0, so that both ends of the interval are far apart.
    node = dataclasses.replace(
        node,
        weights=dataclasses.replace(node.weights, codes=codes),
        bias=np.zeros(4, np.int64),
    )
    device = Device(node, source, (16, 4, 5), Folding(2, 16), cache, tmp_path)
    frames = np.stack([np.full((16, 4, 5), q) for q in (255, 0, 255, source.zero_code)])
    expected = np.stack([literal(node, source, frame) for frame in frames])
    assert {node.requant.low, node.requant.high} <= set(expected[0].reshape(-1).tolist())
    assert np.array_equal(device.run(frames)[1], expected)


def test_ties_and_negative_products(cache, tmp_path):
    """Accumulators that end exactly on halves, on both sides of zero, round towards plus."""
    node, source = sample_conv(4, 1, 2, 1, 1, 0, weight_bits=4, act_bits=8, **LAYER)
    weights = dataclasses.replace(
        node.weights, codes=np.array([9, 7], np.uint8).reshape(2, 1, 1, 1)
    )
    requant = dataclasses.replace(
        node.requant,
        multiplier=np.full(2, 1 << 16, np.uint32),
        shift=np.array([17, 18], np.uint8),
        zero_point=np.array([128, 128], np.int32),
    )
    bias = np.array([-128, 120], np.int64)
    node = dataclasses.replace(node, weights=weights, bias=bias, requant=requant)
    frame = np.arange(256).reshape(1, 16, 16)
    expected = literal(node, source, frame)
    # Weight 1, halves: -128/2 .. 127/2 with every second one a tie.
    assert expected[0].reshape(-1).tolist() == [128 + (q - 128 + 1) // 2 for q in range(256)]
    device = Device(node, source, (1, 16, 16), Folding(2, 1), cache, tmp_path)
    assert np.array_equal(device.run([frame, frame[:, ::-1]])[1][0], expected)


def test_a_wrong_weight_is_seen(cache, tmp_path):
    """One flipped bit of one stored weight must not pass for equal."""
    arguments, options, size, folding = CASES["dense 3x3"]
    node, source = sample_conv(11, *arguments, **options)
    shape = (arguments[0], *size)
    device = Device(node, source, shape, Folding(*folding), cache, tmp_path)
    frames = sample_codes(3, (2, *shape), source.bits)
    expected = np.stack([literal(node, source, frame) for frame in frames])
    words = device.files["weights.mem"].split("\n")
    words[5] = f"{int(words[5], 16) ^ 8:0{len(words[5])}x}"
    device.files["weights.mem"] = "\n".join(words)
    assert not np.array_equal(device.run(frames)[1], expected)

# SPDX-License-Identifier: Apache-2.0
"""The C++ cell, compiled with g++, against literal Python loops: every code equal."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hls import compile_csim, emit_conv_hls, run_csim, write_project
from quant.formats import RowRange, TensorFormat
from quant.nodes import Conv, Requantizer
from quant.samples import sample_codes, sample_conv
from quant.schedule import Folding
from quant.weights import Granularity, Weights
from sim.golden import run_conv

pytestmark = [
    pytest.mark.hls,
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH"),
]


def literal_conv(node: Conv, source: TensorFormat, frame: np.ndarray) -> np.ndarray:
    """Return output codes [F, OH, OW] of one frame [C, H, W], one Python integer at a time."""
    book = source.codebook or tuple(range(1 << source.bits))
    filters, per_group, kh, kw = node.weights.codes.shape
    _, height, width = frame.shape
    top, left, bottom, right = node.padding
    rows = (height + top + bottom - kh) // node.stride[0] + 1
    columns = (width + left + right - kw) // node.stride[1] + 1
    shape = node.weights.codes.shape
    selector = np.broadcast_to(node.weights.selectors, shape).tolist()
    factors = np.broadcast_to(node.weights.multipliers, shape).tolist()
    codes, tables = node.weights.codes.tolist(), node.weights.tables.tolist()
    values = [[[book[q] for q in row] for row in plane] for plane in frame.tolist()]
    out = np.zeros((filters, rows, columns), np.int64)
    for f in range(filters):
        base = f // (filters // node.groups) * per_group
        m, s = int(node.requant.multiplier[f]), int(node.requant.shift[f])
        for oy in range(rows):
            for ox in range(columns):
                acc = int(node.bias[f])
                for c in range(per_group):
                    for ky in range(kh):
                        for kx in range(kw):
                            weight = tables[selector[f][c][ky][kx]][codes[f][c][ky][kx]]
                            weight *= factors[f][c][ky][kx]
                            y, x = oy * node.stride[0] + ky - top, ox * node.stride[1] + kx - left
                            inside = 0 <= y < height and 0 <= x < width
                            a = values[base + c][y][x] if inside else source.zero_point
                            acc += a * weight
                # Python's // floors, which is the arithmetic shift.
                y_code = (acc * m + (1 << (s - 1))) // (1 << s) + int(node.requant.zero_point[f])
                y_code = min(max(y_code, node.requant.low), node.requant.high)
                out[f, oy, ox] = y_code if node.table is None else node.table[y_code]
    return out


def run_node(
    node: Conv,
    source: TensorFormat,
    frames: np.ndarray,
    folding: Folding,
    folder: Path,
    *,
    plain: bool = False,
) -> np.ndarray:
    """Write, compile and run one convolution; return its outputs after comparing them."""
    _, c, h, w = frames.shape
    expected = np.stack([literal_conv(node, source, frame) for frame in frames])
    project = emit_conv_hls(node, source, (c, h, w), folding)
    write_project(project, folder / "project")
    program = compile_csim(folder / "project", plain=plain)
    run = run_csim(program, frames, expected, folder / "run", timeout_seconds=120)
    assert run.first_difference is None
    assert run.mismatches == 0
    assert np.array_equal(run.outputs, expected)
    return run.outputs


def frames_of(seed: int, shape: tuple[int, int, int], bits: int) -> np.ndarray:
    """Return four different frames: random, all zero, all largest, random."""
    frames = sample_codes(seed, (4, *shape), bits)
    frames[1], frames[2] = 0, (1 << bits) - 1
    return frames


ROWS = TensorFormat(4, (RowRange(3, 0.5, 8), RowRange(8, 0.25, 3)))

# Input (C, H, W); (PE, SIMD); arguments of sample_conv after the channels.
CASES = {
    "dense_a4_table": ((8, 6, 7), (4, 4), {"filters": 8, "act_bits": 4, "table": True}),
    "dense_a8_w8_narrow_fold": ((4, 5, 6), (1, 1), {"filters": 3, "weight_bits": 8}),
    "pointwise_full_fold": (
        (8, 4, 5),
        (16, 8),
        {"filters": 16, "kernel": 1, "padding": 0, "act_bits": 4, "scheme": "symmetric"},
    ),
    "focus_k6_s2": ((3, 13, 12), (4, 3), {"filters": 8, "kernel": 6, "stride": 2, "padding": 2}),
    "stride_beyond_kernel": (
        (4, 8, 10),
        (2, 2),
        {"filters": 4, "kernel": 1, "stride": 3, "padding": 0},
    ),
    "depthwise": ((8, 6, 5), (4, 1), {"filters": 8, "groups": 8, "act_bits": 4, "table": True}),
    "depthwise_s2_one_lane": ((4, 7, 7), (1, 1), {"filters": 4, "stride": 2, "groups": 4}),
    "depthwise_multiplier": ((3, 6, 5), (2, 1), {"filters": 6, "groups": 3}),
    "grouped_pwlq_w5": (
        (8, 6, 5),
        (2, 4),
        {"filters": 12, "groups": 2, "weight_bits": 5, "scheme": "pwlq", "act_bits": 5},
    ),
    # 3 x 3 codes of 3 bits: chunks of 8 bits are crossed.
    "straddling_codes_w3": ((3, 6, 5), (3, 3), {"filters": 6, "weight_bits": 3, "act_bits": 6}),
    "uneven_codebook": (
        (4, 6, 9),
        (2, 2),
        {
            "filters": 4,
            "kernel": (3, 2),
            "stride": (1, 2),
            "padding": (2, 0, 1, 1),
            "codebook": True,
            "act_bits": 4,
            "scheme": "codebook",
        },
    ),
    "padding_beyond_image": (
        (2, 2, 3),
        (2, 2),
        {"filters": 4, "kernel": 5, "padding": 4, "table": True},
    ),
    "channel_wise": ((4, 5, 5), (2, 2), {"filters": 4, "granularity": Granularity.CHANNEL}),
    "f_shape": ((4, 5, 5), (2, 2), {"filters": 4, "granularity": Granularity.F_SHAPE}),
    "c_shape_grouped": (
        (4, 5, 5),
        (2, 1),
        {"filters": 8, "groups": 2, "granularity": Granularity.C_SHAPE, "scheme": "codebook"},
    ),
    "c_shape_depthwise": (
        (4, 5, 5),
        (2, 1),
        {"filters": 4, "groups": 4, "granularity": Granularity.C_SHAPE},
    ),
    "row_ranges": ((4, 5, 5), (4, 2), {"filters": 8, "act_bits": 4, "output": ROWS}),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_literal_loops(case: str, tmp_path: Path) -> None:
    shape, (pe, simd), options = CASES[case]
    node, source = sample_conv(len(case), shape[0], **options)
    frames = frames_of(7, shape, source.bits)
    outputs = run_node(node, source, frames, Folding(pe, simd), tmp_path)
    assert len(np.unique(outputs)) > 3  # a constant output would prove nothing


@pytest.mark.parametrize("case", ["dense_a4_table", "grouped_pwlq_w5", "f_shape"])
def test_plain_integers_give_the_same_codes(case: str, tmp_path: Path) -> None:
    shape, (pe, simd), options = CASES[case]
    node, source = sample_conv(len(case), shape[0], **options)
    frames = frames_of(7, shape, source.bits)
    run_node(node, source, frames, Folding(pe, simd), tmp_path, plain=True)


def test_folding_changes_no_code(tmp_path: Path) -> None:
    node, source = sample_conv(3, 6, 8, act_bits=4)
    frames = frames_of(1, (6, 5, 4), 4)
    outputs = [
        run_node(node, source, frames, Folding(pe, simd), tmp_path / f"{pe}-{simd}")
        for pe, simd in ((1, 6), (8, 1), (8, 6))
    ]
    assert np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])


def test_a_first_layer_of_real_width_equals_the_golden_model(tmp_path: Path) -> None:
    node, source = sample_conv(5, 3, 16, 6, 2, 2, act_bits=8, table=True)
    frames = sample_codes(2, (2, 3, 128, 160), 8)
    expected, _ = run_conv(node, source, frames)
    write_project(emit_conv_hls(node, source, (3, 128, 160), Folding(8, 3)), tmp_path / "p")
    run = run_csim(compile_csim(tmp_path / "p"), frames, expected, tmp_path / "run")
    assert run.first_difference is None
    assert np.array_equal(run.outputs, expected)


def test_ties_negatives_and_accumulator_extremes(tmp_path: Path) -> None:
    """One filter each: half steps of both signs, the widest product, and a dead multiplier."""
    biases = np.array([-16, 7, -(1 << 31) + 15 * 8 * 2, (1 << 31) - 1 - 15 * 7 * 2])
    # Weights +1 and 0 for the first two filters, -8 and +7 on both channels for the others.
    codes = np.array([[9, 8], [9, 8], [0, 0], [15, 15]], np.uint8).reshape(4, 2, 1, 1)
    weights = Weights(
        codes=codes,
        bits=4,
        tables=np.array([np.arange(16) - 8]),
        selectors=np.zeros((1, 1, 1, 1)),
        multipliers=np.ones((1, 1, 1, 1)),
        scale=np.ones(1, np.float32),
        granularity=Granularity.LAYER,
        scheme="symmetric",
    )
    requant = Requantizer(
        multiplier=np.array([1 << 16, 1 << 16, (1 << 17) - 1, (1 << 17) - 1]),
        shift=np.array([17, 18, 40, 41]),  # acc / 2, acc / 4, and products beyond 47 bits
        zero_point=np.full(4, 300),
        low=0,
        high=600,
        bits=10,
    )
    node = Conv(
        name="ties",
        source="x",
        weights=weights,
        bias=biases,
        stride=(1, 1),
        padding=(0, 0, 0, 0),
        groups=1,
        requant=requant,
        table=None,
        output=TensorFormat.plain(10, 1.0, 300, 4),
    )
    source = TensorFormat.plain(4, 1.0, 0, 2)
    ramp = np.broadcast_to(np.arange(16).reshape(1, 1, 4, 4), (1, 2, 4, 4))
    outputs = run_node(node, source, ramp, Folding(2, 2), tmp_path)
    # acc = -16..-1: ties at the odd ones go up, so -1/2 rounds to 0 and -15/2 to -7.
    assert outputs[0, 0].ravel().tolist() == [292 + (q + 1) // 2 for q in range(16)]
    assert outputs[0, 2].min() < 300 - 250  # the most negative product really went through

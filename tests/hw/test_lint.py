# SPDX-License-Identifier: Apache-2.0
"""The cells pass Verilator's lint without a warning, and refuse parameters with the number."""

import subprocess

import pytest

from hw.add import add_cell
from hw.avgpool import avgpool_cell
from hw.axis_top import axis_top
from hw.cell import Stream
from hw.concat import concat_cell
from hw.conv import emit_conv, rtl_sources
from hw.edges import fifo_cell, width_cell
from hw.lookup import lookup_cell
from hw.maxpool import maxpool_cell
from hw.requantize import requantize_cell
from hw.split import split_cell
from hw.upsample import upsample_cell
from quant.nodes import Add, AvgPool, Concat, Lookup, MaxPool, Requantize, Split, Upsample
from quant.samples import sample_conv, sample_format, sample_graph
from quant.schedule import Folding
from quant.weights import Granularity
from sim.rtl import find_verilator

pytestmark = pytest.mark.rtl

SHAPE = (8, 6, 7)
DSP = Folding(8, 8, core="plain_dsp")


def lint(folder, *options):
    command = [
        str(find_verilator().command),
        "--lint-only",
        "-Wall",
        *options,
        *(str(p) for p in rtl_sources()),
        *(str(p) for p in sorted(folder.glob("*.sv"))),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "kwargs", "folding"),
    [
        ("dense", {"table": True}, Folding(4, 2)),
        ("depthwise", {"groups": 8, "scheme": "symmetric"}, Folding(4, 1)),
        ("point", {"kernel": 1, "padding": 0, "codebook": True}, DSP),
        ("single", {"scheme": "codebook", "act_bits": 4, "weight_bits": 3}, Folding(1, 1)),
        ("parts", {"granularity": Granularity.C_SHAPE}, Folding(4, 2)),
        ("parts_alone", {"granularity": Granularity.C_SHAPE, "groups": 8}, Folding(4, 1)),
        ("whole_parts", {"granularity": Granularity.C_SHAPE, "kernel": 1, "padding": 0}, DSP),
        ("acts", {"granularity": Granularity.F_SHAPE, "scheme": "codebook"}, Folding(4, 2)),
        ("acts_alone", {"granularity": Granularity.F_SHAPE, "groups": 8}, Folding(4, 1)),
        ("acts_point", {"granularity": Granularity.CHANNEL, "codebook": True}, DSP),
        ("strided", {"kernel": (1, 3), "stride": 2, "padding": (0, 1, 0, 2)}, Folding(2, 8)),
    ],
)
def test_emitted_tops_are_clean(tmp_path, name, kwargs, folding):
    node, source = sample_conv(1, 8, 8, **kwargs)
    files = emit_conv(node, source, SHAPE, folding, name)
    (tmp_path / f"{name}.sv").write_text(files[f"{name}.sv"])
    code, text = lint(tmp_path, "--top-module", name)
    assert "%Warning" not in text, text
    assert code == 0, text


def pool_cells():
    """Return cells with a window by name: the usual one, and those that leave parts out."""
    source, book = sample_format(8, 4, zero=3), sample_format(8, 6, codebook=True, zero=9)
    mean = sample_graph(1).node("mean")
    assert isinstance(mean, AvgPool)

    def largest(kernel, stride, padding, lanes):
        node = MaxPool("pool", "x", kernel, stride, padding)
        return maxpool_cell(node, SHAPE, source, Folding(lanes, lanes), "")

    def average(shape, fmt, lanes):
        return avgpool_cell(mean, shape, fmt, Folding(lanes, lanes), "")

    def larger(shape, factor, lanes):
        return upsample_cell(Upsample("up", "x", factor), shape, source, Folding(lanes, lanes), "")

    return {
        "maxpool": largest((3, 3), (2, 2), (1, 1, 1, 1), 4),
        "maxpool rows": largest((1, 2), (1, 2), (0, 1, 0, 0), 1),
        "maxpool columns": largest((4, 1), (1, 1), (3, 0, 0, 0), 8),
        "maxpool nothing": largest((1, 1), (1, 1), (0, 0, 0, 0), 8),
        "avgpool": average(SHAPE, source, 4),
        "avgpool serial": average(SHAPE, book, 1),
        "globalpool": average((8, 2, 5), book, 4),
        "globalpool serial": average((8, 2, 5), source, 1),
        "globalpool all lanes": average((8, 2, 5), source, 8),
        "upsample": larger(SHAPE, 2, 4),
        "upsample all lanes": larger(SHAPE, 3, 8),
        "upsample one beat": larger((8, 1, 1), 2, 8),
    }


@pytest.mark.parametrize("name", pool_cells())
def test_pool_cells_are_clean(tmp_path, name):
    (tmp_path / "dut.sv").write_text(axis_top(pool_cells()[name], "dut"))
    code, text = lint(tmp_path, "--top-module", "dut")
    assert "%Warning" not in text, text
    assert code == 0, text


def stream_cells():
    """Return cells without a window by name, with and without codebooks, and those of edges."""
    plain, book = sample_format(8, 4, zero=3), sample_format(8, 6, codebook=True, zero=9)
    graph = sample_graph(1)
    retarget, bend = graph.node("retarget"), graph.node("bend")
    assert isinstance(retarget, Requantize)
    assert isinstance(bend, Lookup)

    def total(first, second, shift, lanes):
        node = Add("sum", ("x", "y"), (70000, 3), shift, 0, 15, plain)
        return add_cell(node, [SHAPE] * 2, [first, second], Folding(lanes, lanes), "")

    def joined(*counts):
        node = Concat("cat", tuple(f"x{k}" for k in range(len(counts))))
        shapes = [(count, 6, 7) for count in counts]
        return concat_cell(node, shapes, [plain] * len(counts), Folding(2, 2), "")

    def part(begin, end, lanes):
        return split_cell(Split("cut", "x", begin, end), SHAPE, plain, Folding(lanes, lanes), "")

    byte = sample_format(8, 8, zero=128)
    return {
        "add": total(plain, plain, 17, 4),
        "add codebooks": total(book, plain, 1, 1),
        "add largest shift": total(plain, book, 47, 8),
        "concat": joined(2, 2),
        "concat of five": joined(2, 8, 4, 2, 6),
        "split": part(2, 6, 2),
        "split first": part(0, 4, 4),
        "split all": part(0, 8, 8),
        "requantize": requantize_cell(retarget, SHAPE, plain, Folding(4, 4), ""),
        "requantize codebook": requantize_cell(retarget, SHAPE, book, Folding(1, 1), ""),
        "lookup": lookup_cell(bend, SHAPE, byte, Folding(8, 8), ""),
        **{
            f"fifo {style} {depth}": fifo_cell(Stream(SHAPE, 4, 4), depth, style)
            for style in ("shift", "distributed", "block", "ultra")
            for depth in (1, 2, 7, 32)
        },
        **{
            f"width {lanes} to {out}": width_cell(Stream((60, 6, 7), lanes, 4), out)
            for lanes, out in ((4, 2), (2, 4), (60, 1), (1, 60), (6, 4), (4, 6), (15, 6), (6, 15))
        },
    }


@pytest.mark.parametrize("name", stream_cells())
def test_stream_cells_are_clean(tmp_path, name):
    (tmp_path / "dut.sv").write_text(axis_top(stream_cells()[name], "dut"))
    code, text = lint(tmp_path, "--top-module", "dut")
    assert "%Warning" not in text, text
    assert code == 0, text


def test_the_fork_is_clean(tmp_path):
    code, text = lint(tmp_path, "--top-module", "nf_fork")
    assert "%Warning" not in text, text
    assert code == 0, text


@pytest.mark.parametrize(
    ("module", "parameter", "message"),
    [
        ("nf_add", "ActBits1=17", "ActBits (4, 17) must be in [1, 16]"),
        ("nf_add", "Zero1=16", "Zero points (0, 16) must be below 16 and 16"),
        ("nf_add", "Multiplier0=131072", "Multipliers (131072, 65536) must be below 131072"),
        ("nf_add", "Shift=48", "Shift (48) must be in [1, 47]"),
        ("nf_add", "High=16", "Clip limits (0..16) and ZeroOut (0) must be in [0, 15]"),
        ("nf_concat", "Sources=1", "Sources (1) must be at least 2"),
        ("nf_split", "End=5", "First (0) and End (5) must be rising and at most 4"),
        ("nf_requantize", "ActBits=17", "ActBits (17) must be in [1, 16]"),
        ("nf_requantize", "ZeroIn=16", "ZeroIn (16) and ZeroOut (0) must be below 16 and 16"),
        ("nf_requantize", "Multiplier=131072", "Multiplier (131072) must be below 131072"),
        ("nf_decode", "OutBits=5", "OutBits (5) must be InBits (4) without a table"),
        ("nf_fork", "Branches=1", "Branches (1) must be at least 2"),
        ("nf_stream_fifo", "Depth=0", "Depth (0) must be at least 1"),
        ("nf_stream_fifo", 'Style="tape"', "Style (tape) must be block or ultra"),
        ("nf_ram", "Words=1", "Words (1) must be at least 2"),
        ("nf_scale_acts", "FactorLanes=2", "FactorLanes (2) must be 4 or 1"),
        ("nf_width", "LanesOut=4", "LanesIn (4) must differ from LanesOut (4)"),
    ],
)
def test_bad_parameters_of_stream_cells_stop_elaboration(tmp_path, module, parameter, message):
    code, text = lint(tmp_path, "--top-module", module, f"-G{parameter}")
    assert code != 0
    assert message in text


@pytest.mark.parametrize(
    ("module", "parameter", "message"),
    [
        ("nf_maxpool", "Lanes=3", "Lanes (3) must divide Channels (8)"),
        ("nf_maxpool", "RowPixels=2", "BufferPixels (2) must be at least 3, the span of a window"),
        ("nf_maxpool", "PadBottom=3", "Padding (1, 0, 3, 0) must be below the kernel 3x1"),
        ("nf_avgpool", "Lanes=3", "Lanes (3) must divide Channels (8)"),
        ("nf_avgpool", "KernelH=1", "Lanes / RequantLanes (4) must be at most 2, the taps of"),
        ("nf_avgpool", "AccBits=3", "AccBits (3) must be at least ActBits (4)"),
        ("nf_globalpool", "Lanes=3", "Lanes (3) must divide Channels (8)"),
        ("nf_globalpool", "AccBits=3", "AccBits (3) must be at least ActBits (4)"),
        ("nf_globalpool", "Multiplier=131072", "Multiplier (131072) must be below 131072"),
        ("nf_globalpool", "ZeroOut=16", "ZeroOut (16) must be below 16"),
        ("nf_upsample", "Lanes=3", "Lanes (3) must divide Channels (8)"),
        ("nf_upsample", "Factor=1", "Factor (1) must be at least 2"),
        ("nf_axis_end", "Beats=0", "Beats (0) must be at least 1"),
    ],
)
def test_bad_parameters_of_pools_stop_elaboration(tmp_path, module, parameter, message):
    code, text = lint(tmp_path, "--top-module", module, f"-G{parameter}")
    assert code != 0
    assert message in text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (("-GPe=3",), "Pe (3) must divide 8 and Simd (4) must divide 8"),
        (("-GPadTop=3",), "Padding (3, 1, 1, 1) must be below the kernel 3x3"),
        (("-GBufferPixels=18",), "BufferPixels (18) must be at least 19, the span of a window"),
        (("-GShiftHigh=48",), "Shifts (1..48) must be in [1, 47]"),
        (('-GCore="pack9"',), "Core (pack9) must be plain, outer4, pack6, w4a8 or pack12"),
        (("-GOutLanes=2",), "OutLanes (2) must be Pe (4) with plain cores"),
        (('-GCore="pack6"', "-GKernelW=5"), "Core pack6 needs rows of 3 (5) with stride 1 (1)"),
        (("-GHigh=16",), "Clip limits (0..16) must be in [0, 15]"),
        (("-GOutBits=5",), "OutBits (5) must be PreBits (4) without a table"),
        (("-GSelectTaps=4",), "SelectTaps (4) and FactorTaps (18) must divide 18, the taps of a"),
        (("-GFactorTaps=5",), "SelectTaps (18) and FactorTaps (5) must divide 18, the taps of a"),
        (("-GSelectByChannel=1",), "SelectTaps (18) and FactorTaps (18) must be 1 by channel"),
        (("-GSelectBits=5",), "SelectBits (5) must be in [0, 4]"),
    ],
)
def test_bad_parameters_stop_elaboration(tmp_path, parameters, message):
    code, text = lint(tmp_path, "--top-module", "nf_conv_axis", *parameters)
    assert code != 0
    assert message in text

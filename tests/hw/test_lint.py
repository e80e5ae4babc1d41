# SPDX-License-Identifier: Apache-2.0
"""The cells pass Verilator's lint without a warning, and refuse parameters with the number."""

import subprocess

import pytest

from hw.avgpool import avgpool_cell
from hw.axis_top import axis_top
from hw.conv import emit_conv, rtl_sources
from hw.maxpool import maxpool_cell
from hw.upsample import upsample_cell
from quant.nodes import AvgPool, MaxPool, Upsample
from quant.samples import sample_conv, sample_format, sample_graph
from quant.schedule import Folding
from sim.rtl import find_verilator

pytestmark = pytest.mark.rtl

SHAPE = (8, 6, 7)


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
        ("point", {"kernel": 1, "padding": 0, "codebook": True}, Folding(8, 8, core="plain_dsp")),
        ("single", {"scheme": "codebook", "act_bits": 4, "weight_bits": 3}, Folding(1, 1)),
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
        (("-GPixelsPerBeat=2",), "PixelsPerBeat (2) must be 1"),
        (("-GHigh=16",), "Clip limits (0..16) must be in [0, 15]"),
        (("-GOutBits=5",), "OutBits (5) must be PreBits (4) without a table"),
        (("-GSelectBits=5",), "SelectBits (5) must be in [0, 4]"),
    ],
)
def test_bad_parameters_stop_elaboration(tmp_path, parameters, message):
    code, text = lint(tmp_path, "--top-module", "nf_conv_axis", *parameters)
    assert code != 0
    assert message in text

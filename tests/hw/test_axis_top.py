# SPDX-License-Identifier: Apache-2.0
"""The module around one cell: byte-padded ports, inputs side by side, ends of frames counted."""

import re

import numpy as np
import pytest

from hw.axis_top import axis_top
from hw.cell import Cell, Stream
from hw.process import Port, Process
from hw.upsample import upsample_cell
from quant.nodes import Upsample
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding

PROCESS = Process(1, (Port(6, 0, np.arange(1, 7)),), np.ones(6, np.bool_), 1, 1)


def test_ports_are_whole_bytes_and_inputs_lie_side_by_side():
    inputs = (Stream((6, 1, 2), 2, 5), Stream((3, 1, 2), 1, 4))
    cell = Cell("nf_two", {"Lanes": 2}, inputs, Stream((6, 1, 2), 2, 9), (PROCESS,))
    text = axis_top(cell, "dut")
    declared = re.findall(r"logic +\[(\d+):0\] +(\w+)", text)
    assert {name: int(top) + 1 for top, name in declared} == {
        "s_axis_0_tdata": 16,
        "s_axis_1_tdata": 8,
        "m_axis_0_tdata": 24,
        "codes": 18,
    }
    assert ".s_data_i({s_axis_1_tdata[3:0], s_axis_0_tdata[9:0]})" in text
    assert ".s_valid_i({s_axis_1_tvalid, s_axis_0_tvalid})" in text
    assert ".s_ready_o({s_axis_1_tready, s_axis_0_tready})" in text
    assert "nf_axis_end #(\n    .Beats(6)\n" in text
    assert "u_cell" in text
    assert "m_end_o" not in text


def test_the_open_ports_of_the_convolution_are_connected():
    stream = Stream((2, 1, 3), 1, 4)
    text = axis_top(Cell("nf_conv", {}, (stream,), stream, (PROCESS,)), "dut")
    assert ".m_end_o(unused_m_end_o)" in text
    assert ".w_ready_o(unused_w_ready_o)" in text


@pytest.mark.rtl
def test_the_bench_checks_the_end_of_every_frame(cell_device):
    """Frames of an odd number of beats, of codes that do not fill a byte."""
    source = sample_format(3, 5)
    cell = upsample_cell(Upsample("up", "x", 3), (3, 1, 1), source, Folding(1, 1), "")
    frames = sample_codes(1, (3, 3, 1, 1), 5)
    _, codes = cell_device(cell).run(frames)
    assert np.array_equal(codes, np.broadcast_to(frames, codes.shape))

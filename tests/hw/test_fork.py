# SPDX-License-Identifier: Apache-2.0
"""The fork in Verilator: every branch gets every beat, none waits for another before its own."""

import numpy as np
import pytest

from hw.conv import rtl_sources
from sim.rtl import Pattern, build_bench

pytestmark = pytest.mark.rtl

BEATS = 60

TOP = """
module forked (
  input  wire logic ap_clk, input wire logic ap_rst_n,
  input  wire logic [15:0] s_axis_0_tdata, input wire logic s_axis_0_tvalid,
  input  wire logic s_axis_0_tlast, output logic s_axis_0_tready,
  output logic [15:0] m_axis_0_tdata, output logic m_axis_0_tvalid, output logic m_axis_0_tlast,
  input  wire logic m_axis_0_tready,
  output logic [15:0] m_axis_1_tdata, output logic m_axis_1_tvalid, output logic m_axis_1_tlast,
  input  wire logic m_axis_1_tready,
  output logic [15:0] m_axis_2_tdata, output logic m_axis_2_tvalid, output logic m_axis_2_tlast,
  input  wire logic m_axis_2_tready);
  logic [15:0] data;
  nf_fork #(.Branches(3), .BeatBits(16)) u_fork (
    .clk_i(ap_clk), .rst_ni(ap_rst_n),
    .s_data_i(s_axis_0_tdata), .s_valid_i(s_axis_0_tvalid), .s_ready_o(s_axis_0_tready),
    .m_data_o(data),
    .m_valid_o({m_axis_2_tvalid, m_axis_1_tvalid, m_axis_0_tvalid}),
    .m_ready_i({m_axis_2_tready, m_axis_1_tready, m_axis_0_tready}));
  assign m_axis_0_tdata = data;
  assign m_axis_1_tdata = data;
  assign m_axis_2_tdata = data;
  // The source marks the end of a frame; the fork passes it on with the data.
  assign m_axis_0_tlast = s_axis_0_tlast;
  assign m_axis_1_tlast = s_axis_0_tlast;
  assign m_axis_2_tlast = s_axis_0_tlast;
endmodule
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fork")
    (folder / "forked.sv").write_text(TOP)
    sources = [*rtl_sources(), folder / "forked.sv"]
    return build_bench(sources, "forked", 2, (2, 2, 2), folder / "cache")


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (BEATS, 2), dtype=np.uint8) for _ in range(3)]


def test_full_speed_takes_no_cycle(bench, frames, tmp_path):
    run = bench.run(tmp_path, [frames], [BEATS] * 3)
    assert (run.stalled, run.violation) == (None, None)
    first = run.first_input_cycle
    for cycles in run.output_cycles:
        assert np.array_equal(np.concatenate(cycles), first + np.arange(3 * BEATS))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_branch_gets_every_beat(bench, frames, tmp_path, seed):
    run = bench.run(
        tmp_path,
        [frames],
        [BEATS] * 3,
        idle=Pattern.random(0.2),
        stall=Pattern.bursts(4, 4),
        seed=seed,
    )
    assert (run.stalled, run.violation) == (None, None)
    for branch in run.outputs:
        assert all(np.array_equal(a, b) for a, b in zip(branch, frames, strict=True))
    cycles = np.stack([np.concatenate(branch) for branch in run.output_cycles])
    # A branch comes to the next beat once the last branch has this one, and before the others if
    # it can.
    assert np.all(cycles.min(axis=0)[1:] > cycles.max(axis=0)[:-1])
    for branch in range(3):
        others = np.delete(cycles, branch, axis=0)
        assert np.any(cycles[branch] < others.min(axis=0))

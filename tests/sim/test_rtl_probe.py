# SPDX-License-Identifier: Apache-2.0
"""Probes inside a device: every beat with its cycle, what waits at the end, windows of waves."""

import numpy as np
import pytest

from quant.errors import ToolError
from sim.rtl import Pattern, Probe, build_bench
from sim.rtl.probe import read_probes

pytestmark = pytest.mark.rtl

BYTES = 9  # a beat of more than 64 bits
BEATS = 30

# Two registers in series; the stream between them is inside. Stops for good at beat StopAt.
DEVICE = """
module chain #(parameter int Bytes = 9, parameter int StopAt = 1000) (
  input  logic ap_clk, input logic ap_rst_n,
  input  logic [8*Bytes-1:0] s_axis_0_tdata,
  input  logic s_axis_0_tvalid, input logic s_axis_0_tlast, output logic s_axis_0_tready,
  output logic [8*Bytes-1:0] m_axis_0_tdata,
  output logic m_axis_0_tvalid, output logic m_axis_0_tlast, input logic m_axis_0_tready);
  logic [8*Bytes-1:0] middle_data;
  logic middle_valid, middle_ready, middle_last;
  int passed;
  assign s_axis_0_tready = !middle_valid || middle_ready;
  assign middle_ready = (!m_axis_0_tvalid || m_axis_0_tready) && passed < StopAt;
  always_ff @(posedge ap_clk) begin
    if (s_axis_0_tready) begin
      middle_valid <= s_axis_0_tvalid;
      middle_data  <= ~s_axis_0_tdata;
      middle_last  <= s_axis_0_tlast;
    end
    if (m_axis_0_tready || !m_axis_0_tvalid) begin
      m_axis_0_tvalid <= middle_valid && middle_ready;
      m_axis_0_tdata  <= middle_data + 1;
      m_axis_0_tlast  <= middle_last;
    end
    if (middle_valid && middle_ready) passed <= passed + 1;
    if (!ap_rst_n) begin
      middle_valid <= 1'b0;
      m_axis_0_tvalid <= 1'b0;
      passed <= 0;
    end
  end
endmodule
"""

PROBES = (
    Probe("middle", "middle_data", "middle_valid", "middle_ready", 8 * BYTES),
    Probe("low", "middle_data[11:0]", "middle_valid", "middle_ready", 12),
    Probe("count", "middle_data", "middle_valid", "middle_ready", 8 * BYTES, record=False),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    result = tmp_path_factory.mktemp("probe")
    (result / "chain.sv").write_text(DEVICE)
    return result


def build(folder, *, stop_at=1000, waves=False):
    return build_bench(
        [folder / "chain.sv"],
        "chain",
        BYTES,
        BYTES,
        folder / "cache",
        parameters={"StopAt": stop_at},
        probes=PROBES,
        waves=waves,
        large=True,
    )


def frames_of(seed):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (BEATS, BYTES), dtype=np.uint8) for _ in range(2)]


def test_every_beat_with_its_cycle(folder, tmp_path):
    frames = frames_of(1)
    stall = Pattern.random(0.5)
    run = build(folder).run(tmp_path, [frames], [BEATS], idle=Pattern.random(0.3), stall=stall)
    assert (run.stalled, run.violation) == (None, None)
    middle, low, count = run.probes
    inside = ~np.concatenate(frames)
    assert np.array_equal(middle.data, inside)
    assert np.array_equal(low.data, np.stack([inside[:, 0], inside[:, 1] & 15], axis=1))
    assert (middle.count, low.count, count.count) == (2 * BEATS,) * 3
    assert (count.data.size, count.cycles.size) == (0, 0)
    # A beat leaves the second register at the earliest in the cycle after it entered it.
    given = np.concatenate(run.output_cycles[0])
    assert np.all(middle.cycles < given)
    assert np.all(given[:-1] <= middle.cycles[1:])
    assert np.all(np.diff(middle.cycles.astype(np.int64)) > 0)
    assert (middle.valid, middle.ready) == (False, True)


def test_what_waits_when_nothing_moves(folder, tmp_path):
    bench = build(folder, stop_at=7)
    run = bench.run(tmp_path, [frames_of(2)], [BEATS], watchdog_cycles=50)
    assert run.stalled is not None
    assert (run.probes[0].count, run.probes[0].valid, run.probes[0].ready) == (7, True, False)


def test_waves_of_a_stretch(folder, tmp_path):
    bench = build(folder, waves=True)
    frames = frames_of(3)
    whole = bench.run(tmp_path / "whole", [frames], [BEATS], waves_from=0)
    part = bench.run(tmp_path / "part", [frames], [BEATS], waves_from=20, max_cycles=25)
    none = bench.run(tmp_path / "none", [frames], [BEATS])
    assert (whole.stalled, none.stalled) == (None, None)
    assert part.stalled is not None
    texts = [(tmp_path / name / "dump.vcd").read_text() for name in ("whole", "part")]
    assert "middle_data" in texts[1]
    steps = [sum(line.startswith("#") for line in text.splitlines()) for text in texts]
    assert 8 <= steps[1] <= 16 < 100 < steps[0]
    assert not (tmp_path / "none" / "dump.vcd").exists()


def test_a_missing_record_is_an_error(folder, tmp_path):
    bench = build(folder)
    bench.run(tmp_path, [frames_of(4)], [BEATS])
    (tmp_path / "nf_probe_1.bin").write_bytes(b"")
    with pytest.raises(ToolError, match=r"left no whole record: .*"):
        read_probes(tmp_path, PROBES)

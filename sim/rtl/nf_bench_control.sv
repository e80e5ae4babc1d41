// SPDX-License-Identifier: Apache-2.0
// Counts cycles from the end of reset and says when and why a run is over.
//
// nf_bench.cfg: "max_cycles watchdog_cycles drain_cycles". The run ends drain_cycles after every
// source and sink is done (reason 1), after watchdog_cycles without any handshake (2), at max_cycles
// (3), or with the first beat after the last frame (4), as a device that never stops giving would
// keep the watchdog quiet.
`default_nettype none
module nf_bench_control (
    input  wire logic        clk_i,
    input  wire logic        rst_ni,
    input  wire logic        moved_i,
    input  wire logic        done_i,
    input  wire logic        surplus_i,
    output      logic [63:0] cycle_o,
    output      logic [2:0]  reason_o,
    output      logic        finished_o
);
  int          plan_file, got;
  logic [63:0] max_cycles, watchdog_cycles, drain_cycles, quiet, drained;

  initial begin
    cycle_o    = '0;
    quiet      = '0;
    drained    = '0;
    reason_o   = 3'd0;
    finished_o = 1'b0;
    plan_file  = $fopen("nf_bench.cfg", "r");
    got        = $fscanf(plan_file, "%d %d %d", max_cycles, watchdog_cycles, drain_cycles);
    if (plan_file == 0 || got != 3) $fatal(1, "nf_bench.cfg is missing");
  end

  always @(posedge clk_i) begin
    if (rst_ni && !finished_o) begin
      cycle_o <= cycle_o + 1;
      quiet   <= moved_i ? 64'd0 : quiet + 1;
      drained <= done_i ? drained + 1 : 64'd0;
      if (surplus_i) begin
        finished_o <= 1'b1;
        reason_o   <= 3'd4;
      end else if (done_i && drained >= drain_cycles) begin
        finished_o <= 1'b1;
        reason_o   <= 3'd1;
      end else if (!done_i && quiet >= watchdog_cycles) begin
        finished_o <= 1'b1;
        reason_o   <= 3'd2;
      end else if (cycle_o >= max_cycles) begin
        finished_o <= 1'b1;
        reason_o   <= 3'd3;
      end
    end
  end
endmodule
`default_nettype wire

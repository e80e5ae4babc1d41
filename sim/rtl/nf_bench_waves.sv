// SPDX-License-Identifier: Apache-2.0
// Records dump.vcd from the cycle that nf_waves.cfg names to the end of the run.
//
// A long run has to be cut before the file fills the disk: the bench runs it again, up to the end of
// the stretch that somebody wants to see (max_cycles).
`default_nettype none
module nf_bench_waves (
    input wire logic        clk_i,
    input wire logic        rst_ni,
    input wire logic [63:0] cycle_i
);
  int          plan_file, got;
  logic [63:0] first_cycle;
  logic        begun;

  initial begin
    begun     = 1'b0;
    plan_file = $fopen("nf_waves.cfg", "r");
    got       = $fscanf(plan_file, "%d", first_cycle);
    if (plan_file == 0 || got != 1) $fatal(1, "nf_waves.cfg is missing");
    $dumpfile("dump.vcd");
  end

  always @(posedge clk_i) begin
    if (rst_ni && !begun && cycle_i >= first_cycle) begin
      begun <= 1'b1;
      $dumpvars;
    end
  end
endmodule
`default_nettype wire

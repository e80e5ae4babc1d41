// SPDX-License-Identifier: Apache-2.0
//
// Gives one stream to several readers; each takes a beat when it can, without waiting for another.
//
//   every branch carries every input beat once
//
// Latency:       0 cycles.
// Throughput:    one beat per cycle.
// Back-pressure: eager: a branch is offered the beat while it has not taken it; the beat leaves the
//                writer when the last branch takes it. No storage. The only module whose ready
//                follows the ready of its readers in the same cycle.
// Golden:        none; it carries beats as they are.
`default_nettype none

module nf_fork #(
  parameter int unsigned Branches = 2,  // at least 2
  parameter int unsigned BeatBits = 16  // bits of a beat
) (
  input  wire logic                 clk_i,
  input  wire logic                 rst_ni,
  input  wire logic [BeatBits-1:0]  s_data_i,
  input  wire logic                 s_valid_i,
  output logic                      s_ready_o,
  output logic [BeatBits-1:0]       m_data_o,   // the same for every branch
  output logic [Branches-1:0]       m_valid_o,
  input  wire logic [Branches-1:0]  m_ready_i
);
  if (Branches < 2) begin : g_check_branches
    $fatal(1, "Branches (%0d) must be at least 2", Branches);
  end

  logic [Branches-1:0] done_q;  // branches that have taken the beat which still waits for others

  assign m_data_o = s_data_i;
  assign m_valid_o = {Branches{s_valid_i}} & ~done_q;
  assign s_ready_o = &(done_q | m_ready_i);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_q <= '0;
    else if (s_valid_i) done_q <= s_ready_o ? '0 : done_q | m_ready_i;
  end
endmodule

`default_nettype wire

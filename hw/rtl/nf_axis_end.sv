// SPDX-License-Identifier: Apache-2.0
//
// Marks the last beat of every frame of a stream by counting the beats that moved.
//
//   last_o = (n % Beats == Beats - 1)  while beat n is offered (n = 0, 1, ...)
//
// Latency:       0 cycles; last_o stands beside its beat.
// Throughput:    one beat per cycle.
// Back-pressure: none of its own; it only watches valid_i and ready_i.
// Golden:        none; it carries no data.
`default_nettype none

module nf_axis_end #(
  parameter int unsigned Beats = 1  // beats of one frame, at least 1
) (
  input  wire logic clk_i,
  input  wire logic rst_ni,
  input  wire logic valid_i,
  input  wire logic ready_i,
  output logic      last_o
);
  if (Beats < 1) begin : g_check_beats
    $fatal(1, "Beats (%0d) must be at least 1", Beats);
  end

  localparam int unsigned CountW = (Beats > 1) ? $clog2(Beats) : 1;

  logic [CountW-1:0] count_q;

  assign last_o = count_q == CountW'(Beats - 1);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) count_q <= '0;
    else if (valid_i & ready_i) count_q <= last_o ? '0 : count_q + 1'b1;
  end
endmodule

`default_nettype wire

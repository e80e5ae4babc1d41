// SPDX-License-Identifier: Apache-2.0
//
// Marks the first and the last of every run of Taps valid cycles.
//
//   first_o = n % Taps == 0, last_o = n % Taps == Taps - 1   in the n-th valid cycle (n = 0, 1, ...)
//
// Latency:       none; the marks belong to the cycle itself.
// Throughput:    one tap per cycle.
// Back-pressure: none; cycles without valid_i are not counted.
// Golden:        sim.golden.conv (the order of the taps of a fold)
`default_nettype none

module nf_tap_count #(
  parameter int unsigned Taps = 1  // taps of a run
) (
  input  wire logic clk_i,
  input  wire logic rst_ni,
  input  wire logic valid_i,
  output logic      first_o,
  output logic      last_o
);
  if (Taps == 1) begin : g_every
    logic unused_inputs;
    assign unused_inputs = ^{clk_i, rst_ni, valid_i};
    assign first_o = 1'b1;
    assign last_o = 1'b1;
  end else begin : g_count
    localparam int unsigned CountW = $clog2(Taps);
    logic [CountW-1:0] count_q;

    assign first_o = count_q == '0;
    assign last_o = count_q == CountW'(Taps - 1);
    always_ff @(posedge clk_i) begin
      if (!rst_ni) count_q <= '0;
      else if (valid_i) count_q <= last_o ? '0 : count_q + 1'b1;
    end
  end
endmodule

`default_nettype wire

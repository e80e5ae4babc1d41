// SPDX-License-Identifier: Apache-2.0
//
// Delay line; from three cycles on synthesis makes shift registers of lookup tables of it.
//
//   data_o = data_i, Cycles cycles earlier
//
// Latency:       Cycles cycles.
// Throughput:    one word per cycle.
// Back-pressure: none; data flows on every cycle.
// Golden:        none; it carries words as they are.
`default_nettype none

module nf_delay #(
  parameter int unsigned Bits = 4,
  parameter int unsigned Cycles = 1
) (
  input  wire logic            clk_i,
  input  wire logic [Bits-1:0] data_i,
  output logic [Bits-1:0]      data_o
);
  if (Cycles == 0) begin : g_wire
    logic unused_clk;
    assign unused_clk = clk_i;
    assign data_o = data_i;
  end else begin : g_line
    logic [Bits-1:0] line_q [Cycles];
    always_ff @(posedge clk_i) begin
      for (int i = 0; i < int'(Cycles); i++) line_q[i] <= (i == 0) ? data_i : line_q[i-1];
    end
    assign data_o = line_q[Cycles-1];
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Read-only memory that is read from the first word to the last, over and over.
//
//   data_o = words[n % Depth]  for the n-th pulse of next_i (n = 0, 1, ...)
//
// Latency:       data_o follows next_i by one cycle and holds until the next pulse.
// Throughput:    one word per cycle.
// Back-pressure: none; the reader paces it with next_i.
// Golden:        sim.golden.conv (weights, biases and requantizers in stream order)
`default_nettype none

module nf_rom_cycle #(
  parameter int unsigned Bits = 8,   // bits of a word
  parameter int unsigned Depth = 1,  // number of words
  parameter string File = ""         // hexadecimal words, one a line ($readmemh)
) (
  input  wire logic            clk_i,
  input  wire logic            rst_ni,
  input  wire logic            next_i,
  output logic [Bits-1:0]      data_o
);
  localparam int unsigned AddrW = (Depth > 1) ? $clog2(Depth) : 1;

  logic [Bits-1:0] words [Depth];
  logic [AddrW-1:0] addr_q;

  initial $readmemh(File, words);

  always_ff @(posedge clk_i) begin
    if (next_i) data_o <= words[addr_q];
    if (!rst_ni) addr_q <= '0;
    else if (next_i) addr_q <= (addr_q == AddrW'(Depth - 1)) ? '0 : addr_q + 1'b1;
  end
endmodule

`default_nettype wire

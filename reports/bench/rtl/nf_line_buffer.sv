// SPDX-License-Identifier: Apache-2.0
//
// The memory of a line buffer alone, as nf_window and nf_upsample have it: no style is asked for.
//
//   data_o = words[read_addr_i], one cycle after read_i
//
// Latency:       1 cycle.
// Throughput:    one word in and one word out per cycle.
// Back-pressure: none.
// Golden:        none; it is a measure of size.
`default_nettype none

module nf_line_buffer #(
  parameter int unsigned Bits = 8,
  parameter int unsigned Depth = 16,  // at least 2
  localparam int unsigned AddrW = $clog2(Depth)
) (
  input  wire logic             clk_i,
  input  wire logic             write_i,
  input  wire logic [AddrW-1:0] write_addr_i,
  input  wire logic [Bits-1:0]  data_i,
  input  wire logic             read_i,
  input  wire logic [AddrW-1:0] read_addr_i,
  output logic [Bits-1:0]       data_o
);
  logic [Bits-1:0] words [Depth];

  always_ff @(posedge clk_i) begin
    if (write_i) words[write_addr_i] <= data_i;
    if (read_i) data_o <= words[read_addr_i];
  end
endmodule

`default_nettype wire

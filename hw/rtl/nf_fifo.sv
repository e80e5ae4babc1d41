// SPDX-License-Identifier: Apache-2.0
//
// First-in first-out buffer in distributed memory; the oldest word shows without a request.
//
// Latency:       1 cycle from push_i to valid_o when empty.
// Throughput:    one word in and one word out per cycle.
// Back-pressure: the writer must not push into a full buffer; it counts its credits.
// Golden:        none; it carries words as they are.
`default_nettype none

module nf_fifo #(
  parameter int unsigned Bits = 8,
  parameter int unsigned Depth = 4  // words, at least 1
) (
  input  wire logic            clk_i,
  input  wire logic            rst_ni,
  input  wire logic            push_i,
  input  wire logic [Bits-1:0] data_i,
  output logic                 valid_o,
  output logic [Bits-1:0]      data_o,
  input  wire logic            ready_i
);
  if (Depth < 1) begin : g_check_depth
    $fatal(1, "Depth (%0d) must be at least 1", Depth);
  end

  localparam int unsigned AddrW = (Depth > 1) ? $clog2(Depth) : 1;
  localparam int unsigned CountW = $clog2(Depth + 1);

  (* ram_style = "distributed" *) logic [Bits-1:0] words [Depth];
  logic [AddrW-1:0] write_q, read_q;
  logic [CountW-1:0] count_q;
  logic pop;

  assign valid_o = count_q != '0;
  assign data_o = words[read_q];
  assign pop = valid_o & ready_i;

  always_ff @(posedge clk_i) begin
    if (push_i) words[write_q] <= data_i;
    if (!rst_ni) begin
      write_q <= '0;
      read_q <= '0;
      count_q <= '0;
    end else begin
      if (push_i) write_q <= (write_q == AddrW'(Depth - 1)) ? '0 : write_q + 1'b1;
      if (pop) read_q <= (read_q == AddrW'(Depth - 1)) ? '0 : read_q + 1'b1;
      count_q <= count_q + CountW'(push_i) - CountW'(pop);
    end
  end
endmodule

`default_nettype wire

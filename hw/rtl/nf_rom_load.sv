// SPDX-License-Identifier: Apache-2.0
//
// Fills one loadable memory from the load stream and passes the rest of the stream on.
//
//   memory word a = stream words a*Parts .. a*Parts + Parts - 1, the first one lowest,
//   Parts = ceil(Bits / 32); unused bits on top are dropped
//
// All loadable memories of a network form a chain: the words of the first come first.
//
// Latency:       a memory word is written in the cycle after its last part; a word passed on leaves
//                one cycle later.
// Throughput:    one word per cycle.
// Back-pressure: none; it takes every word.
// Golden:        none; it carries words as they are.
`default_nettype none

module nf_rom_load #(
  parameter int unsigned Bits = 72,   // bits of a memory word
  parameter int unsigned Depth = 16,  // memory words
  localparam int unsigned AddrW = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  wire logic             clk_i,
  input  wire logic             rst_ni,        // begins again with the first word
  input  wire logic             s_valid_i,
  input  wire logic [31:0]      s_word_i,
  output logic                  m_valid_o,
  output logic [31:0]           m_word_o,
  output logic                  full_o,        // every word has been written
  output logic                  write_o,
  output logic [AddrW-1:0]      write_addr_o,
  output logic [Bits-1:0]       write_data_o
);
  localparam int unsigned Parts = (Bits + 31) / 32;
  localparam int unsigned PartW = (Parts > 1) ? $clog2(Parts) : 1;

  logic [PartW-1:0] part_q;
  logic [AddrW-1:0] addr_q;
  logic [Parts*32-1:0] word_q;
  logic filled_q;  // the last part of the last word has been taken
  logic take, word_end;

  assign take = s_valid_i & ~filled_q;
  assign word_end = take & (part_q == PartW'(Parts - 1));
  assign write_data_o = word_q[Bits-1:0];

  if (Parts == 1) begin : g_single
    always_ff @(posedge clk_i) if (take) word_q <= s_word_i;
  end else begin : g_parts
    // The newest part comes in on top; after the last one the first is lowest.
    always_ff @(posedge clk_i) if (take) word_q <= {s_word_i, word_q[Parts*32-1:32]};
  end
  if (Bits < Parts * 32) begin : g_padded
    logic unused_top;
    assign unused_top = ^word_q[Parts*32-1:Bits];
  end

  always_ff @(posedge clk_i) begin
    if (s_valid_i) m_word_o <= s_word_i;
    if (word_end) write_addr_o <= addr_q;
    if (!rst_ni) begin
      m_valid_o <= 1'b0;
      write_o <= 1'b0;
      full_o <= 1'b0;
      filled_q <= 1'b0;
      part_q <= '0;
      addr_q <= '0;
    end else begin
      m_valid_o <= s_valid_i & filled_q;
      write_o <= word_end;
      full_o <= filled_q;
      if (take) part_q <= word_end ? '0 : part_q + 1'b1;
      if (word_end) begin
        addr_q <= addr_q + 1'b1;
        if (addr_q == AddrW'(Depth - 1)) filled_q <= 1'b1;
      end
    end
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Memory of large blocks with one write and one read port.
//
//   data_o = words[read_addr_i], two cycles after read_i
//
// The second register is the memory block's own output register, without which deep memories are
// slow. A word is never read in the cycle that writes it: the user sees to that.
//
// Latency:       2 cycles from read_i; data_o holds until one cycle after the next read_i.
// Throughput:    one word in and one word out per cycle.
// Back-pressure: none.
// Golden:        none; it carries words as they are.
`default_nettype none

module nf_ram #(
  parameter int unsigned Bits = 8,     // bits of a word
  parameter int unsigned Words = 512,  // at least 2
  parameter string Style = "block",    // "block" or "ultra"
  localparam int unsigned AddrW = $clog2(Words)
) (
  input  wire logic              clk_i,
  input  wire logic              write_i,
  input  wire logic [AddrW-1:0]  write_addr_i,
  input  wire logic [Bits-1:0]   data_i,
  input  wire logic              read_i,
  input  wire logic [AddrW-1:0]  read_addr_i,
  output logic [Bits-1:0]        data_o
);
  if (Words < 2) begin : g_check_words
    $fatal(1, "Words (%0d) must be at least 2", Words);
  end

  logic [Bits-1:0] read_q;
  logic fresh_q;  // read_q is a word that data_o has not

  always_ff @(posedge clk_i) begin
    fresh_q <= read_i;
    if (fresh_q) data_o <= read_q;
  end

  // The attribute takes no parameter: one branch per style.
  if (Style == "block") begin : g_block
    (* ram_style = "block" *) logic [Bits-1:0] words [Words];
    always_ff @(posedge clk_i) begin
      if (write_i) words[write_addr_i] <= data_i;
      if (read_i) read_q <= words[read_addr_i];
    end
  end else if (Style == "ultra") begin : g_ultra
    (* ram_style = "ultra" *) logic [Bits-1:0] words [Words];
    always_ff @(posedge clk_i) begin
      if (write_i) words[write_addr_i] <= data_i;
      if (read_i) read_q <= words[read_addr_i];
    end
  end else begin : g_check_style
    $fatal(1, "Style (%s) must be block or ultra", Style);
  end
endmodule

`default_nettype wire

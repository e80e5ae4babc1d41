// SPDX-License-Identifier: Apache-2.0
//
// Memory of constants that is read from the first word to the last, over and over.
//
//   data_o = words[n % Depth]  for the n-th pulse of next_i (n = 0, 1, ...)
//
// Its words come from a file or, with Loadable, through the write port before the first read. What
// was written stays through a reset; only the reading position goes back to the first word.
//
// Latency:       data_o follows next_i by one cycle and holds until the next pulse.
// Throughput:    one word per cycle.
// Back-pressure: none; the reader paces it with next_i.
// Golden:        sim.golden.conv (weights, biases and requantizers in stream order)
`default_nettype none

module nf_rom_cycle #(
  parameter int unsigned Bits = 8,   // bits of a word
  parameter int unsigned Depth = 1,  // number of words
  parameter string File = "",        // hexadecimal words, one a line ($readmemh)
  parameter string Style = "auto",   // "auto", "distributed", "block" or "ultra"
  parameter bit Loadable = 1'b0,     // words come through the write port; no file
  localparam int unsigned AddrW = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  wire logic             clk_i,
  input  wire logic             rst_ni,
  input  wire logic             next_i,
  output logic [Bits-1:0]       data_o,
  input  wire logic             write_i = 1'b0,
  input  wire logic [AddrW-1:0] write_addr_i = '0,
  input  wire logic [Bits-1:0]  write_data_i = '0
);
  logic [AddrW-1:0] addr_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) addr_q <= '0;
    else if (next_i) addr_q <= (addr_q == AddrW'(Depth - 1)) ? '0 : addr_q + 1'b1;
  end

  // Attributes take no parameter: one branch per style. Yosys' name for a read-only memory made of
  // logic is "logic_block".
  if (Loadable) begin : g_load
    if (Style == "ultra") begin : g_ultra
      (* ram_style = "ultra" *) logic [Bits-1:0] words [Depth];
      always_ff @(posedge clk_i) begin
        if (write_i) words[write_addr_i] <= write_data_i;
        if (next_i) data_o <= words[addr_q];
      end
    end else begin : g_check_style
      $fatal(1, "Style (%s) must be ultra for words that are loaded", Style);
    end
  end else begin : g_file
    if (Style == "auto") begin : g_auto
      logic [Bits-1:0] words [Depth];
      initial $readmemh(File, words);
      always_ff @(posedge clk_i) if (next_i) data_o <= words[addr_q];
    end else if (Style == "distributed") begin : g_distributed
      (* logic_block = 1 *) logic [Bits-1:0] words [Depth];
      initial $readmemh(File, words);
      always_ff @(posedge clk_i) if (next_i) data_o <= words[addr_q];
    end else if (Style == "block") begin : g_block
      (* ram_style = "block" *) logic [Bits-1:0] words [Depth];
      initial $readmemh(File, words);
      always_ff @(posedge clk_i) if (next_i) data_o <= words[addr_q];
    end else if (Style == "ultra") begin : g_ultra
      (* ram_style = "ultra" *) logic [Bits-1:0] words [Depth];
      initial $readmemh(File, words);
      always_ff @(posedge clk_i) if (next_i) data_o <= words[addr_q];
    end else begin : g_check_style
      $fatal(1, "Style (%s) must be auto, distributed, block or ultra", Style);
    end
    logic unused_write;
    assign unused_write = ^{write_i, write_addr_i, write_data_i};
  end
endmodule

`default_nettype wire

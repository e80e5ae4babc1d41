// SPDX-License-Identifier: Apache-2.0
//
// Sums of a convolution with a packed core: memories of weights that read late, the core, and the
// sums of the windows.
//
//   acc_o[p][x] = sum over the taps of a fold of act_i * operand       modulo 2**AccBits
//   sum_o[x]    = sum of the activations of the same window
//
// A chain of blocks adds from block to block, so its block k works k cycles late. The weights of all
// blocks k lie in a memory of their own that is read k cycles late: <WeightFile><k>.mem. A word holds
// of filter p, chain c, kernel column j the operand at (p*Chains + c)*Columns + j. What load_data_i
// writes is the words of all memories side by side, that of block 0 lowest; so is word_i, the words
// from outside, which come as late.
//
// Latency:       from a fold's last tap to valid_o 1 cycle and those of the core.
// Throughput:    one tap per cycle; folds follow each other without a gap.
// Back-pressure: none; cycles without tap_valid_i are ignored.
// Golden:        sim.golden.conv
`default_nettype none

module nf_conv_packed #(
  parameter string Core = "outer4",          // outer4, pack6, w4a8 or pack12
  parameter int unsigned Pe = 8,
  parameter int unsigned Simd = 8,
  parameter int unsigned Pixels = 2,         // pixels of a tap: 4 with pack12, else 2
  parameter int unsigned Cascade = 8,        // blocks of a chain; 1 with pack12
  parameter int unsigned Folds = 1,          // output folds that read the same taps
  parameter int unsigned ActBits = 4,
  parameter int unsigned OperandBits = 4,
  parameter int unsigned AccBits = 18,
  parameter int unsigned WindowBits = 12,    // unsigned bits of the sum of a window
  parameter bit HasOffset = 1'b0,            // whether sum_o is wanted
  parameter int unsigned WeightDepth = 16,   // words of weights
  parameter string WeightFile = "",
  parameter string WeightStyle = "auto",     // "external": from word_i
  parameter bit LoadWeights = 1'b0,
  localparam int unsigned Columns = (Core == "outer4") ? 1 : 3,
  localparam int unsigned WeightAddrW = (WeightDepth > 1) ? $clog2(WeightDepth) : 1,
  localparam int unsigned WordBits = Pe * Simd * Columns * OperandBits
) (
  input  wire logic                           clk_i,
  input  wire logic                           rst_ni,
  input  wire logic                           load_write_i,
  input  wire logic [WeightAddrW-1:0]         load_addr_i,
  input  wire logic [WordBits-1:0]            load_data_i,
  input  wire logic [WordBits-1:0]            word_i,        // of block k 1 + k cycles late
  input  wire logic                           tap_valid_i,
  input  wire logic                           tap_first_i,
  input  wire logic                           tap_last_i,
  input  wire logic                           tap_row_i,     // tap of a row's first group
  input  wire logic                           tap_silent_i,  // tap of a fold without a result
  input  wire logic [Pixels*Simd*ActBits-1:0] act_i,         // two cycles after tap_valid_i
  output logic                                valid_o,
  output logic [Pe*Pixels*AccBits-1:0]        acc_o,         // filter p, pixel x at p*Pixels + x
  output logic [Pixels*WindowBits-1:0]        sum_o
);
  localparam int unsigned Chains = Simd / Cascade;
  localparam int unsigned LaneBits = Columns * OperandBits;
  localparam int unsigned SliceBits = Pe * Chains * LaneBits;
  localparam bit Streamed = WeightStyle == "external";

  // ---------------------------------------------------------------- weights
  logic [WordBits-1:0] weights;
  logic [Cascade-1:0] next;

  if (Cascade == 1) begin : g_at_once
    assign next = tap_valid_i;
  end else begin : g_late
    logic [Cascade-2:0] late_q;
    assign next = {late_q, tap_valid_i};
    always_ff @(posedge clk_i) begin
      if (!rst_ni) late_q <= '0;
      else late_q <= next[Cascade-2:0];
    end
  end

  if (Streamed) begin : g_outside
    logic unused_memory;
    assign unused_memory = ^{next, load_write_i, load_addr_i, load_data_i};
  end else begin : g_stored
    logic unused_word;
    assign unused_word = ^word_i;
  end

  for (genvar k = 0; k < Cascade; k++) begin : g_memory
    localparam string File = $sformatf("%s%0d.mem", WeightFile, k);
    logic [SliceBits-1:0] slice;
    if (Streamed) begin : g_outside
      assign slice = word_i[k*SliceBits+:SliceBits];
    end else begin : g_stored
      nf_rom_cycle #(
        .Bits(SliceBits),
        .Depth(WeightDepth),
        .File(File),
        .Style(WeightStyle),
        .Loadable(LoadWeights)
      ) u_weights (
        .clk_i,
        .rst_ni,
        .next_i(next[k]),
        .data_o(slice),
        .write_i(load_write_i),
        .write_addr_i(load_addr_i),
        .write_data_i(load_data_i[k*SliceBits+:SliceBits])
      );
    end
    for (genvar p = 0; p < Pe; p++) begin : g_filter
      for (genvar c = 0; c < Chains; c++) begin : g_chain
        assign weights[(p*Simd+c*Cascade+k)*LaneBits+:LaneBits] =
            slice[(p*Chains+c)*LaneBits+:LaneBits];
      end
    end
  end

  // ---------------------------------------------------------------- core
  logic valid_q, first_q, last_q, row_q, silent_q, core_valid, core_silent;
  logic [Pixels*Pe*AccBits-1:0] acc;

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni & tap_valid_i;
    first_q <= tap_first_i;
    last_q <= tap_last_i;
    row_q <= tap_row_i;
    silent_q <= tap_silent_i;
  end

  if (Core == "outer4") begin : g_outer4
    nf_mac_outer4 #(
      .Pe(Pe),
      .Simd(Simd),
      .Cascade(Cascade),
      .ActBits(ActBits),
      .OperandBits(OperandBits),
      .AccBits(AccBits)
    ) u_core (
      .clk_i,
      .rst_ni,
      .valid_i(valid_q),
      .first_i(first_q),
      .last_i(last_q),
      .end_i(silent_q),
      .act_i,
      .weight_i(weights),
      .valid_o(core_valid),
      .end_o(core_silent),
      .acc_o(acc)
    );
    logic unused_row;
    assign unused_row = row_q;
  end else if (Core == "pack12") begin : g_pack12
    nf_mac_pack12 #(
      .Pe(Pe),
      .Simd(Simd),
      .Folds(Folds),
      .ActBits(ActBits),
      .OperandBits(OperandBits),
      .AccBits(AccBits)
    ) u_core (
      .clk_i,
      .rst_ni,
      .valid_i(valid_q),
      .first_i(first_q),
      .last_i(last_q),
      .row_i(row_q),
      .end_i(silent_q),
      .act_i,
      .weight_i(weights),
      .valid_o(core_valid),
      .end_o(core_silent),
      .acc_o(acc)
    );
  end else begin : g_pack6
    nf_mac_pack6 #(
      .Pe(Pe),
      .Simd(Simd),
      .Cascade(Cascade),
      .Folds(Folds),
      .ActBits(ActBits),
      .OperandBits(OperandBits),
      .AccBits(AccBits)
    ) u_core (
      .clk_i,
      .rst_ni,
      .valid_i(valid_q),
      .first_i(first_q),
      .last_i(last_q),
      .row_i(row_q),
      .end_i(silent_q),
      .act_i,
      .weight_i(weights),
      .valid_o(core_valid),
      .end_o(core_silent),
      .acc_o(acc)
    );
  end

  assign valid_o = core_valid & ~core_silent;
  for (genvar p = 0; p < Pe; p++) begin : g_order
    for (genvar x = 0; x < Pixels; x++) begin : g_pixel
      assign acc_o[(p*Pixels+x)*AccBits+:AccBits] = acc[(x*Pe+p)*AccBits+:AccBits];
    end
  end

  // ---------------------------------------------------------------- sums of windows
  if (HasOffset) begin : g_sums
    localparam int unsigned CoreCycles =
        (Core == "pack12") ? 7 + $clog2(Simd)
        : 4 + Cascade + $clog2(Chains) + ((Core != "outer4" && ActBits > 4) ? 1 : 0);
    logic [Pixels*WindowBits-1:0] sums;
    nf_window_sum #(
      .Simd(Simd),
      .Pixels(Pixels),
      .Columns(Columns),
      .Folds(Folds),
      .ActBits(ActBits),
      .SumBits(WindowBits)
    ) u_sums (
      .clk_i,
      .rst_ni,
      .valid_i(valid_q),
      .first_i(first_q),
      .last_i(last_q),
      .act_i,
      .sum_o(sums)
    );
    nf_delay #(
      .Bits(Pixels * WindowBits),
      .Cycles(CoreCycles - 3 - $clog2(Simd))
    ) u_late (
      .clk_i,
      .data_i(sums),
      .data_o(sum_o)
    );
  end else begin : g_no_sums
    assign sum_o = '0;
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Sums of a convolution with one multiplier per product: weights, their decoding, group multipliers.
//
//   acc_o[p] = sum over the taps of a fold of act_i * M[g] * table[t[g]][weight]
//
// Table t[g] and multiplier M[g] of a weight depend on its filter and kernel position (words of Pe
// lanes) or on its channel and kernel position (words of Simd lanes). Multipliers by filter scale
// partial sums (nf_part_sum), multipliers by channel scale activations (nf_scale_acts).
//
// Latency:       4 + $clog2(Simd) cycles from a fold's last tap to valid_o (3 more with multipliers by
//                filter, 1 more with multipliers by channel).
// Throughput:    one tap per cycle; folds follow each other without a gap.
// Back-pressure: none; cycles without tap_valid_i are ignored.
// Golden:        sim.golden.conv
`default_nettype none

module nf_conv_plain #(
  parameter bit Depthwise = 1'b0,
  parameter int unsigned Pe = 4,
  parameter int unsigned Simd = 4,
  parameter int unsigned FoldTaps = 18,       // taps of a fold
  parameter bit UseDsp = 1'b0,                // multipliers in DSP blocks, else in logic
  parameter int unsigned ActBits = 4,
  parameter int unsigned WeightBits = 4,
  parameter int unsigned WeightDepth = 36,    // words of weights
  parameter int unsigned SelectBits = 0,
  parameter bit AffineSelect = 1'b0,
  parameter bit SelectByChannel = 1'b0,
  parameter int unsigned SelectTaps = 18,
  parameter int unsigned SelectDepth = 2,
  parameter int unsigned FactorBits = 0,
  parameter bit FactorByChannel = 1'b0,
  parameter int unsigned FactorTaps = 18,
  parameter int unsigned FactorDepth = 2,
  parameter int unsigned PartBits = 18,
  parameter int unsigned OperandBits = 5,
  parameter int unsigned AccBits = 18,
  parameter string WeightFile = "",
  parameter string DecodeFile = "",
  parameter string SelectFile = "",
  parameter string FactorFile = "",
  parameter string WeightStyle = "auto",      // "external": from word_i
  parameter bit LoadWeights = 1'b0,
  localparam int unsigned InLanes = Depthwise ? Pe : Simd,
  localparam int unsigned WeightAddrW = (WeightDepth > 1) ? $clog2(WeightDepth) : 1
) (
  input  wire logic                          clk_i,
  input  wire logic                          rst_ni,
  input  wire logic                          load_write_i,
  input  wire logic [WeightAddrW-1:0]        load_addr_i,
  input  wire logic [Pe*Simd*WeightBits-1:0] load_data_i,
  input  wire logic [Pe*Simd*WeightBits-1:0] word_i,      // a cycle after tap_valid_i, held
  input  wire logic                          tap_valid_i,
  input  wire logic                          tap_first_i,
  input  wire logic                          tap_last_i,
  input  wire logic                          tap_end_i,   // sideband, returned
  input  wire logic [InLanes*ActBits-1:0]    act_i,       // two cycles after tap_valid_i
  output logic                               valid_o,
  output logic                               end_o,
  output logic [Pe*AccBits-1:0]              acc_o
);
  localparam bit ScaleActs = FactorBits > 0 && FactorByChannel;
  localparam bit ScaleParts = FactorBits > 0 && !FactorByChannel;

  if (FoldTaps % SelectTaps != 0 || FoldTaps % FactorTaps != 0) begin : g_check_taps
    $fatal(1, "SelectTaps (%0d) and FactorTaps (%0d) must divide %0d, the taps of a fold",
           SelectTaps, FactorTaps, FoldTaps);
  end
  if ((SelectByChannel && SelectTaps != 1) || (ScaleActs && FactorTaps != 1)) begin : g_check_every
    $fatal(1, "SelectTaps (%0d) and FactorTaps (%0d) must be 1 by channel", SelectTaps, FactorTaps);
  end

  // Scaled activations come a cycle later, so everything that meets them is read a cycle later.
  logic read_valid, read_first, read_last, read_end;

  if (ScaleActs) begin : g_later
    always_ff @(posedge clk_i) begin
      read_valid <= rst_ni & tap_valid_i;
      read_first <= tap_first_i;
      read_last <= tap_last_i;
      read_end <= tap_end_i;
    end
  end else begin : g_now
    assign read_valid = tap_valid_i;
    assign read_first = tap_first_i;
    assign read_last = tap_last_i;
    assign read_end = tap_end_i;
  end

  // ---------------------------------------------------------------- weights
  localparam int unsigned SelectW = (SelectBits > 0) ? SelectBits : 1;
  localparam int unsigned SelectLanes = SelectByChannel ? Simd : Pe;
  logic [Pe*Simd*WeightBits-1:0] weight_codes;
  logic [SelectLanes*SelectW-1:0] selects;

  if (WeightStyle == "external") begin : g_outside
    if (ScaleActs) begin : g_later
      always_ff @(posedge clk_i) if (read_valid) weight_codes <= word_i;
    end else begin : g_now
      assign weight_codes = word_i;
    end
    logic unused_load;
    assign unused_load = ^{load_write_i, load_addr_i, load_data_i};
  end else begin : g_memory
    nf_rom_cycle #(
      .Bits(Pe * Simd * WeightBits),
      .Depth(WeightDepth),
      .File(WeightFile),
      .Style(WeightStyle),
      .Loadable(LoadWeights)
    ) u_weights (
      .clk_i,
      .rst_ni,
      .next_i(read_valid),
      .data_o(weight_codes),
      .write_i(load_write_i),
      .write_addr_i(load_addr_i),
      .write_data_i(load_data_i)
    );
    logic unused_word;
    assign unused_word = ^word_i;
  end

  if (SelectBits > 0) begin : g_select
    logic select_next;

    if (SelectTaps == FoldTaps) begin : g_fold
      assign select_next = read_valid & read_first;
    end else begin : g_part
      logic first, unused_last;
      nf_tap_count #(
        .Taps(SelectTaps)
      ) u_taps (
        .clk_i,
        .rst_ni,
        .valid_i(read_valid),
        .first_o(first),
        .last_o(unused_last)
      );
      assign select_next = read_valid & first;
    end

    nf_rom_cycle #(
      .Bits(SelectLanes * SelectBits),
      .Depth(SelectDepth),
      .File(SelectFile)
    ) u_selects (
      .clk_i,
      .rst_ni,
      .next_i(select_next),
      .data_o(selects)
    );
  end else begin : g_single
    assign selects = '0;
  end

  // ---------------------------------------------------------------- activations
  localparam int unsigned ScaledBits = ScaleActs ? ActBits + FactorBits : ActBits;
  logic [InLanes*ScaledBits-1:0] scaled;

  if (ScaleActs) begin : g_scale
    nf_scale_acts #(
      .Lanes(InLanes),
      .FactorLanes(Simd),
      .ActBits(ActBits),
      .FactorBits(FactorBits),
      .Depth(FactorDepth),
      .UseDsp(UseDsp),
      .File(FactorFile)
    ) u_scale (
      .clk_i,
      .rst_ni,
      .next_i(read_valid),
      .act_i,
      .act_o(scaled)
    );
  end else begin : g_unscaled
    assign scaled = act_i;
  end

  // ---------------------------------------------------------------- multiply-accumulate
  localparam int unsigned SumBits = ScaleParts ? PartBits : AccBits;
  logic sum_first, sum_last, valid_q, first_q, last_q, end_q;
  logic sum_valid, sum_end;
  logic [Pe*SumBits-1:0] sums;

  if (ScaleParts && FactorTaps != FoldTaps) begin : g_part
    nf_tap_count #(
      .Taps(FactorTaps)
    ) u_taps (
      .clk_i,
      .rst_ni,
      .valid_i(read_valid),
      .first_o(sum_first),
      .last_o(sum_last)
    );
    logic unused_marks;
    assign unused_marks = ^{read_first, read_last};
  end else begin : g_fold
    assign sum_first = read_first;
    assign sum_last = read_last;
  end

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni & read_valid;
    first_q <= sum_first;
    last_q <= sum_last;
    end_q <= read_end;
  end

  nf_mac_plain #(
    .Pe(Pe),
    .Simd(Simd),
    .SharedActs(!Depthwise),
    .UseDsp(UseDsp),
    .ActBits(ScaledBits),
    .WeightBits(WeightBits),
    .SelectBits(SelectBits),
    .AffineSelect(AffineSelect),
    .SelectByChannel(SelectByChannel),
    .OperandBits(OperandBits),
    .AccBits(SumBits),
    .TableFile(DecodeFile)
  ) u_mac (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q),
    .first_i(first_q),
    .last_i(last_q),
    .end_i(end_q),
    .act_i(scaled),
    .weight_i(weight_codes),
    .select_i(selects),
    .valid_o(sum_valid),
    .end_o(sum_end),
    .acc_o(sums)
  );

  if (ScaleParts) begin : g_parts
    nf_part_sum #(
      .Lanes(Pe),
      .PartBits(PartBits),
      .FactorBits(FactorBits),
      .AccBits(AccBits),
      .Parts(FoldTaps / FactorTaps),
      .Depth(FactorDepth),
      .UseDsp(UseDsp),
      .File(FactorFile)
    ) u_parts (
      .clk_i,
      .rst_ni,
      .valid_i(sum_valid),
      .end_i(sum_end),
      .part_i(sums),
      .valid_o,
      .end_o,
      .acc_o
    );
  end else begin : g_whole
    assign valid_o = sum_valid;
    assign end_o = sum_end;
    assign acc_o = sums;
  end
endmodule

`default_nettype wire

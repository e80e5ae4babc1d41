// SPDX-License-Identifier: Apache-2.0
//
// Accumulators of a core that multiplies rows of three taps by groups of Pixels columns.
//
//   lane[p][i] = sum over the taps of a fold, first_i to last_i, of sum_i[p][i] + carry_i[p][i]
//   acc_o[x][p] = lane[p][x] + (x < 2 and not a row's first group ? lane'[p][Pixels + x] : 0)
//
// where lane' are the lanes of the group before in the same row and output fold, modulo
// 2**AccBits. A product of three taps and Pixels columns has Pixels + 2 lanes; the upper two wait in
// a memory, one word per output fold, and the next group's fold begins with them.
//
// Latency:       1 cycle from last_i to valid_o with acc_o.
// Throughput:    one tap per cycle; folds follow each other without a gap.
// Back-pressure: none; cycles without valid_i are ignored.
// Golden:        sim.packed
`default_nettype none

module nf_row_accumulator #(
  parameter int unsigned Pe = 4,        // output lanes
  parameter int unsigned Pixels = 2,    // columns of a group, at least 2
  parameter int unsigned Folds = 1,     // output folds of a group
  parameter int unsigned SumBits = 12,  // signed bits of a sum
  parameter int unsigned AccBits = 18,  // signed bits of an accumulator
  localparam int unsigned Lanes = Pixels + 2
) (
  input  wire logic                      clk_i,
  input  wire logic                      rst_ni,
  input  wire logic                      valid_i,
  input  wire logic                      first_i,
  input  wire logic                      last_i,
  input  wire logic                      row_i,    // with first_i: first group of a row
  input  wire logic                      end_i,    // sideband, returned
  input  wire logic signed [SumBits-1:0] sum_i [Lanes*Pe],
  input  wire logic                      carry_i [Lanes*Pe],
  output logic                           valid_o,
  output logic                           end_o,
  output logic [Pixels*Pe*AccBits-1:0]   acc_o     // column x, lane p at x*Pe+p
);
  if (AccBits < SumBits || AccBits > 32) begin : g_check_acc
    $fatal(1, "AccBits (%0d) must be in [%0d, 32]", AccBits, SumBits);
  end
  if (Folds < 1) begin : g_check_folds
    $fatal(1, "Folds (%0d) must be at least 1", Folds);
  end

  logic signed [AccBits-1:0] base [Lanes*Pe];
  logic signed [AccBits-1:0] total [Lanes*Pe];
  logic signed [AccBits-1:0] acc_q [Lanes*Pe];
  logic signed [AccBits-1:0] state [2*Pe];

  always_comb begin
    // verilator unroll_disable
    for (int p = 0; p < int'(Pe); p++) begin
      for (int i = 0; i < int'(Lanes); i++) begin
        // A fold begins with the upper lanes of the group before, or with nothing.
        if (!first_i) base[p*int'(Lanes)+i] = acc_q[p*int'(Lanes)+i];
        else if (i < 2 && !row_i) base[p*int'(Lanes)+i] = state[2*p+(i%2)];
        else base[p*int'(Lanes)+i] = '0;
      end
    end
  end
  always_comb begin
    // verilator unroll_disable
    for (int i = 0; i < int'(Lanes * Pe); i++) begin
      total[i] = AccBits'(sum_i[i]) + base[i] + $signed(AccBits'(carry_i[i]));
    end
  end
  always_comb begin
    // verilator unroll_disable
    for (int p = 0; p < int'(Pe); p++) begin
      for (int i = 0; i < int'(Pixels); i++) begin
        acc_o[(i*int'(Pe)+p)*int'(AccBits)+:AccBits] = acc_q[p*int'(Lanes)+i];
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (valid_i) acc_q <= total;
    end_o <= end_i;
    if (!rst_ni) valid_o <= 1'b0;
    else valid_o <= valid_i & last_i;
  end

  if (Folds == 1) begin : g_one_fold
    // The upper lanes are untouched until the next fold begins.
    always_comb begin
      // verilator unroll_disable
      for (int p = 0; p < int'(Pe); p++) begin
        for (int i = 0; i < 2; i++) state[2*p+i] = acc_q[p*int'(Lanes)+int'(Pixels)+i];
      end
    end
  end else begin : g_folds
    localparam int unsigned FoldW = $clog2(Folds);
    (* ram_style = "distributed" *) logic [2*Pe*AccBits-1:0] words [Folds];
    logic [2*Pe*AccBits-1:0] upper, state_q;
    logic [FoldW-1:0] fold_q, fold_d;

    always_comb begin
      fold_d = fold_q;
      if (valid_i & last_i) fold_d = (fold_q == FoldW'(Folds - 1)) ? '0 : fold_q + 1'b1;
    end
    always_comb begin
      // verilator unroll_disable
      for (int p = 0; p < int'(Pe); p++) begin
        for (int i = 0; i < 2; i++) begin
          upper[(2*p+i)*int'(AccBits)+:AccBits] = total[p*int'(Lanes)+int'(Pixels)+i];
        end
      end
    end
    always_comb begin
      // verilator unroll_disable
      for (int i = 0; i < 2 * int'(Pe); i++) state[i] = state_q[i*int'(AccBits)+:AccBits];
    end
    always_ff @(posedge clk_i) begin
      if (valid_i & last_i) words[fold_q] <= upper;
      // The word of the next fold to begin; the one before was written a cycle ago at the latest.
      state_q <= words[fold_d];
      if (!rst_ni) fold_q <= '0;
      else fold_q <= fold_d;
    end
  end
endmodule

`default_nettype wire

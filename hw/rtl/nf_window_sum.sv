// SPDX-License-Identifier: Apache-2.0
//
// Sums of the activations of whole windows, for weights that all filters see shifted alike.
//
//   sum_o[x] = sum over the taps of a fold, first_i to last_i, and over s < Simd of act_i[x][s]
//   and with Columns = 3 also over the two columns before: columns of a row come Pixels at a time,
//   and window x ends in column x.
//
// All output folds of a window read the same taps; the columns before are those of the last window
// of a row, kept until all Folds have gone by. Sums of a row's first windows, which would begin
// before the row, hold what the row before has left: nobody reads them.
//
// Latency:       3 + $clog2(Simd) cycles from last_i; sum_o holds until the next fold's.
// Throughput:    one tap per cycle.
// Back-pressure: none; cycles without valid_i are ignored.
// Golden:        sim.golden.conv
`default_nettype none

module nf_window_sum #(
  parameter int unsigned Simd = 8,     // channels of a tap
  parameter int unsigned Pixels = 2,   // pixels of a tap
  parameter int unsigned Columns = 1,  // columns of a window that taps do not go through: 1 or 3
  parameter int unsigned Folds = 1,    // output folds of a window
  parameter int unsigned ActBits = 4,  // unsigned bits of an activation
  parameter int unsigned SumBits = 12  // unsigned bits of the sum of a window
) (
  input  wire logic                           clk_i,
  input  wire logic                           rst_ni,
  input  wire logic                           valid_i,
  input  wire logic                           first_i,
  input  wire logic                           last_i,
  input  wire logic [Pixels*Simd*ActBits-1:0] act_i,  // one cycle after valid_i
  output logic [Pixels*SumBits-1:0]           sum_o
);
  if (Columns != 1 && Columns != 3) begin : g_check_columns
    $fatal(1, "Columns (%0d) must be 1 or 3", Columns);
  end

  localparam int unsigned Levels = $clog2(Simd);
  localparam int unsigned Stages = 1 + Levels;  // from valid_i to the sum of a tap
  localparam int unsigned TapBits = ActBits + 1 + Levels;

  logic [Stages-1:0] valid_q, first_q, last_q;
  logic ended_q;
  always_ff @(posedge clk_i) begin
    first_q <= Stages'({first_q, first_i});
    last_q <= Stages'({last_q, last_i});
    ended_q <= rst_ni & valid_q[Stages-1] & last_q[Stages-1];
    if (!rst_ni) valid_q <= '0;
    else valid_q <= Stages'({valid_q, valid_i});
  end

  // ---------------------------------------------------------------- a tap
  logic signed [ActBits:0] terms [Pixels*Simd];
  logic signed [TapBits-1:0] taps [Pixels];
  for (genvar i = 0; i < Pixels * Simd; i++) begin : g_term
    assign terms[i] = $signed({1'b0, act_i[i*ActBits+:ActBits]});
  end
  nf_adder_tree #(
    .Lanes(Pixels),
    .Terms(Simd),
    .Bits(ActBits + 1)
  ) u_tree (
    .clk_i,
    .terms_i(terms),
    .sum_o(taps)
  );

  // ---------------------------------------------------------------- a fold
  logic [SumBits-1:0] column_q [Pixels];
  always_ff @(posedge clk_i) begin
    if (valid_q[Stages-1]) begin
      for (int x = 0; x < int'(Pixels); x++) begin
        column_q[x] <= (first_q[Stages-1] ? '0 : column_q[x]) + SumBits'(taps[x]);
      end
    end
  end

  // ---------------------------------------------------------------- a window
  if (Columns == 1) begin : g_taps
    always_ff @(posedge clk_i) begin
      for (int x = 0; x < int'(Pixels); x++) begin
        if (ended_q) sum_o[x*int'(SumBits)+:SumBits] <= column_q[x];
      end
    end
    logic unused_reset;
    assign unused_reset = rst_ni;
  end else begin : g_row
    logic unused_first, fold_last;
    nf_tap_count #(
      .Taps(Folds)
    ) u_folds (
      .clk_i,
      .rst_ni,
      .valid_i(ended_q),
      .first_o(unused_first),
      .last_o(fold_last)
    );
    // The two columns before those of the fold, the older one first.
    logic [SumBits-1:0] before_q [2];
    logic [SumBits-1:0] columns [Pixels+2];
    always_comb begin
      columns[0] = before_q[0];
      columns[1] = before_q[1];
      for (int x = 0; x < int'(Pixels); x++) columns[x+2] = column_q[x];
    end
    always_ff @(posedge clk_i) begin
      if (ended_q) begin
        for (int x = 0; x < int'(Pixels); x++) begin
          sum_o[x*int'(SumBits)+:SumBits] <= columns[x] + columns[x+1] + columns[x+2];
        end
        if (fold_last) begin
          before_q[0] <= columns[Pixels];
          before_q[1] <= columns[Pixels+1];
        end
      end
    end
  end
endmodule

`default_nettype wire

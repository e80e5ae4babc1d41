// SPDX-License-Identifier: Apache-2.0
//
// Sums of signed terms in parallel lanes, one register per level of adders.
//
//   sum_o[lane] = sum of terms_i[lane*Terms .. lane*Terms + Terms-1]
//
// Latency:       $clog2(Terms) cycles (0 for one term).
// Throughput:    one sum per lane and cycle.
// Back-pressure: none; level l keeps its sums while bit l of load_i is low.
// Golden:        sim.golden.conv
`default_nettype none

module nf_adder_tree #(
  parameter int unsigned Lanes = 4,
  parameter int unsigned Terms = 8,
  parameter int unsigned Bits = 9,                        // signed bits of a term
  localparam int unsigned SumBits = Bits + $clog2(Terms), // signed bits of a sum
  localparam int unsigned LoadW = (Terms > 1) ? $clog2(Terms) : 1
) (
  input  wire logic                      clk_i,
  input  wire logic [LoadW-1:0]          load_i = '1,
  input  wire logic signed [Bits-1:0]    terms_i [Lanes*Terms],
  output logic signed [SumBits-1:0]      sum_o [Lanes]
);
  localparam int unsigned Levels = $clog2(Terms);

  if (Levels == 0) begin : g_wire
    logic unused_control;
    assign unused_control = clk_i ^ load_i[0];
  end

  // Level l holds ceil(Terms / 2**l) sums of Bits + l bits per lane, one bit more than the level
  // before.
  for (genvar l = 0; l <= Levels; l++) begin : g_level
    localparam int Count = int'((Terms + 2 ** l - 1) / 2 ** l);
    localparam int unsigned Width = Bits + l;
    logic signed [Width-1:0] sums [int'(Lanes)*Count];
    if (l == 0) begin : g_terms
      assign sums = terms_i;
    end else begin : g_add
      localparam int Before = int'((Terms + 2 ** (l - 1) - 1) / 2 ** (l - 1));
      always_ff @(posedge clk_i) begin
        if (load_i[l-1]) begin
          logic signed [Width-1:0] next [int'(Lanes)*Count];
          for (int lane = 0; lane < int'(Lanes); lane++) begin
            for (int i = 0; i < Before / 2; i++) begin
              next[lane*Count+i] = Width'(g_level[l-1].sums[lane*Before+2*i])
                                   + Width'(g_level[l-1].sums[lane*Before+2*i+1]);
            end
            if (Before % 2 == 1) begin
              next[lane*Count+Count-1] = Width'(g_level[l-1].sums[lane*Before+Before-1]);
            end
          end
          sums <= next;
        end
      end
    end
  end

  assign sum_o = g_level[Levels].sums;
endmodule

`default_nettype wire

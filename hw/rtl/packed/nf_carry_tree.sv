// SPDX-License-Identifier: Apache-2.0
//
// Sums of signed terms with a carry each, in parallel lanes, one register per level of adders.
//
//   sum_o[lane] + carry_o[lane] = sum of terms_i[i] + carries_i[i], i = lane*Terms .. +Terms-1
//
// The carry of a lane of a packed product is the bit below it: the borrow of the lanes below. Each
// adder takes the carry of its first term as its carry input and passes the other one on, so that
// carries cost no adders of their own.
//
// Latency:       $clog2(Terms) cycles (0 for one term).
// Throughput:    one sum per lane and cycle.
// Back-pressure: none; data flows on every cycle.
// Golden:        sim.packed
`default_nettype none

module nf_carry_tree #(
  parameter int unsigned Lanes = 4,
  parameter int unsigned Terms = 2,
  parameter int unsigned Bits = 11,                       // signed bits of a term
  localparam int unsigned SumBits = Bits + $clog2(Terms)  // signed bits of a sum
) (
  input  wire logic                      clk_i,
  input  wire logic signed [Bits-1:0]    terms_i [Lanes*Terms],
  input  wire logic                      carries_i [Lanes*Terms],
  output logic signed [SumBits-1:0]      sum_o [Lanes],
  output logic                           carry_o [Lanes]
);
  localparam int unsigned Levels = $clog2(Terms);

  if (Levels == 0) begin : g_wire
    logic unused_clk;
    assign unused_clk = clk_i;
  end

  // Level l holds ceil(Terms / 2**l) sums of Bits + l bits per lane, and as many carries.
  for (genvar l = 0; l <= Levels; l++) begin : g_level
    localparam int Count = int'((Terms + 2 ** l - 1) / 2 ** l);
    localparam int unsigned Width = Bits + l;
    logic signed [Width-1:0] sums [int'(Lanes)*Count];
    logic carries [int'(Lanes)*Count];
    if (l == 0) begin : g_terms
      assign sums = terms_i;
      assign carries = carries_i;
    end else begin : g_add
      localparam int Before = int'((Terms + 2 ** (l - 1) - 1) / 2 ** (l - 1));
      logic signed [Width-1:0] next [int'(Lanes)*Count];
      logic passed [int'(Lanes)*Count];
      always_comb begin
        // verilator unroll_disable
        for (int lane = 0; lane < int'(Lanes); lane++) begin
          // verilator unroll_disable
          for (int i = 0; i < Before / 2; i++) begin
            next[lane*Count+i] = Width'(g_level[l-1].sums[lane*Before+2*i])
                                 + Width'(g_level[l-1].sums[lane*Before+2*i+1])
                                 + $signed(Width'(g_level[l-1].carries[lane*Before+2*i]));
            passed[lane*Count+i] = g_level[l-1].carries[lane*Before+2*i+1];
          end
          if (Before % 2 == 1) begin
            next[lane*Count+Count-1] = Width'(g_level[l-1].sums[lane*Before+Before-1]);
            passed[lane*Count+Count-1] = g_level[l-1].carries[lane*Before+Before-1];
          end
        end
      end
      always_ff @(posedge clk_i) begin
        sums <= next;
        carries <= passed;
      end
    end
  end

  assign sum_o = g_level[Levels].sums;
  assign carry_o = g_level[Levels].carries;
endmodule

`default_nettype wire

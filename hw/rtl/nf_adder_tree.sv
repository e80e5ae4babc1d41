// SPDX-License-Identifier: Apache-2.0
//
// Sum of signed terms, one register per level of adders.
//
//   sum_o = sum of terms_i[0 .. Terms-1]
//
// Latency:       $clog2(Terms) cycles (0 for one term).
// Throughput:    one sum per cycle.
// Back-pressure: none; data flows on every cycle.
// Golden:        sim.golden.conv
`default_nettype none

module nf_adder_tree #(
  parameter int unsigned Terms = 8,
  parameter int unsigned Bits = 9,                       // signed bits of a term
  localparam int unsigned SumBits = Bits + $clog2(Terms)  // signed bits of the sum
) (
  input  wire logic                  clk_i,
  input  wire logic [Terms*Bits-1:0] terms_i,
  output logic [SumBits-1:0]         sum_o
);
  localparam int unsigned Levels = $clog2(Terms);

  if (Levels == 0) begin : g_wire
    logic unused_clk;
    assign unused_clk = clk_i;
  end

  // Level l holds ceil(Terms / 2**l) sums of Bits + l bits, one bit more than the level before.
  for (genvar l = 0; l <= Levels; l++) begin : g_level
    localparam int unsigned Count = (Terms + 2 ** l - 1) / 2 ** l;
    localparam int unsigned Width = Bits + l;
    logic [Count*Width-1:0] sums;
    if (l == 0) begin : g_terms
      assign sums = terms_i;
    end else begin : g_add
      localparam int unsigned Before = (Terms + 2 ** (l - 1) - 1) / 2 ** (l - 1);
      logic [Before*(Width-1)-1:0] parts;
      assign parts = g_level[l-1].sums;
      for (genvar i = 0; i < Count; i++) begin : g_sum
        logic signed [Width-2:0] left;
        assign left = parts[2*i*(Width-1)+:Width-1];
        if (2 * i + 1 < Before) begin : g_pair
          logic signed [Width-2:0] right;
          assign right = parts[(2*i+1)*(Width-1)+:Width-1];
          always_ff @(posedge clk_i) sums[i*Width+:Width] <= Width'(left) + Width'(right);
        end else begin : g_odd
          always_ff @(posedge clk_i) sums[i*Width+:Width] <= Width'(left);
        end
      end
    end
  end

  assign sum_o = g_level[Levels].sums;
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// What a multiply-accumulate core is without a pipeline: products, their sum and the accumulator in
// one stage. Only the benchmark uses it, as the measure for nf_mac_plain.
//
//   acc_o[p] = sum over the taps of a fold and over s < Simd of act_i[s] * weight_i[p][s]
//
// Latency:       valid_o follows last_i by 2 cycles; acc_o is valid in that cycle.
// Throughput:    one tap per cycle; folds follow each other without a gap.
// Back-pressure: none; cycles without valid_i are ignored.
// Golden:        none; it is a measure of speed.
`default_nettype none

module nf_mac_onestage #(
  parameter int unsigned Pe = 4,
  parameter int unsigned Simd = 8,
  parameter int unsigned ActBits = 4,
  parameter int unsigned OperandBits = 4,
  parameter int unsigned AccBits = 18
) (
  input  wire logic                           clk_i,
  input  wire logic                           rst_ni,
  input  wire logic                           valid_i,
  input  wire logic                           first_i,
  input  wire logic                           last_i,
  input  wire logic [Simd*ActBits-1:0]        act_i,
  input  wire logic [Pe*Simd*OperandBits-1:0] weight_i,
  output logic                                valid_o,
  output logic [Pe*AccBits-1:0]               acc_o
);
  logic valid_q, first_q, last_q;
  logic [Simd*ActBits-1:0] act_q;
  logic [Pe*Simd*OperandBits-1:0] weight_q;
  logic signed [AccBits-1:0] total [Pe];
  logic signed [AccBits-1:0] acc_q [Pe];

  always_comb begin
    for (int p = 0; p < int'(Pe); p++) begin
      total[p] = first_q ? '0 : acc_q[p];
      for (int s = 0; s < int'(Simd); s++) begin
        total[p] = total[p] + AccBits'($signed({1'b0, act_q[s*int'(ActBits)+:ActBits]}))
                              * AccBits'($signed(weight_q[(p*int'(Simd)+s)*int'(OperandBits)
                                                          +:OperandBits]));
      end
      acc_o[p*int'(AccBits)+:AccBits] = acc_q[p];
    end
  end
  always_ff @(posedge clk_i) begin
    first_q <= first_i;
    last_q <= last_i;
    act_q <= act_i;
    weight_q <= weight_i;
    if (valid_q) acc_q <= total;
    if (!rst_ni) begin
      valid_q <= 1'b0;
      valid_o <= 1'b0;
    end else begin
      valid_q <= valid_i;
      valid_o <= valid_q & last_q;
    end
  end
endmodule

`default_nettype wire

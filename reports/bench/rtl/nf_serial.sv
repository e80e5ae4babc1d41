// SPDX-License-Identifier: Apache-2.0
//
// A plain core between two shift registers: few pins, and every path begins and ends in a register.
//
// Latency:       none that matters; only place and route look at it.
// Throughput:    one bit per cycle.
// Back-pressure: none.
// Golden:        none; it is a measure of speed.
`default_nettype none

module nf_serial #(
  parameter bit Pipelined = 1'b1,          // nf_mac_plain, else nf_mac_onestage
  parameter int unsigned Pe = 4,
  parameter int unsigned Simd = 8,
  parameter int unsigned ActBits = 4,
  parameter int unsigned OperandBits = 4,
  parameter int unsigned AccBits = 18
) (
  input  wire logic clk_i,
  input  wire logic rst_ni,
  input  wire logic data_i,
  input  wire logic load_i,                // takes the accumulators, else shifts them out
  output logic      data_o
);
  localparam int unsigned ActW = Simd * ActBits;
  localparam int unsigned WeightW = Pe * Simd * OperandBits;
  localparam int unsigned InBits = 3 + ActW + WeightW;
  localparam int unsigned OutBits = Pe * AccBits + 1;

  logic [InBits-1:0] in_q;
  logic [OutBits-1:0] out_q;
  logic valid;
  logic [Pe*AccBits-1:0] acc;

  always_ff @(posedge clk_i) begin
    in_q <= {in_q[InBits-2:0], data_i};
    out_q <= load_i ? {acc, valid} : {1'b0, out_q[OutBits-1:1]};
  end
  assign data_o = out_q[0];

  if (Pipelined) begin : g_pipelined
    logic unused_end;
    nf_mac_plain #(
      .Pe(Pe),
      .Simd(Simd),
      .ActBits(ActBits),
      .WeightBits(OperandBits),
      .OperandBits(OperandBits),
      .AccBits(AccBits),
      .TableFile("decode.mem")
    ) u_mac (
      .clk_i,
      .rst_ni,
      .valid_i(in_q[0]),
      .first_i(in_q[1]),
      .last_i(in_q[2]),
      .end_i(1'b0),
      .act_i(in_q[3+:ActW]),
      .weight_i(in_q[3+ActW+:WeightW]),
      .select_i('0),
      .valid_o(valid),
      .end_o(unused_end),
      .acc_o(acc)
    );
  end else begin : g_one_stage
    nf_mac_onestage #(
      .Pe(Pe),
      .Simd(Simd),
      .ActBits(ActBits),
      .OperandBits(OperandBits),
      .AccBits(AccBits)
    ) u_mac (
      .clk_i,
      .rst_ni,
      .valid_i(in_q[0]),
      .first_i(in_q[1]),
      .last_i(in_q[2]),
      .act_i(in_q[3+:ActW]),
      .weight_i(in_q[3+ActW+:WeightW]),
      .valid_o(valid),
      .acc_o(acc)
    );
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Requantizer: accumulators to codes, with bias, multiplier, shift and zero point per filter.
//
//   y = clip((((acc + bias) * m + (1 << (s - 1))) >>> s) + zero_point, Low, High)
//
// computed as ((((acc + bias) * m) >>> (s - 1)) + (2 * zero_point + 1)) >>> 1, which is the same
// integer (a half is added after the shift to halves) without an adder of the product's width.
// A parameter word holds, from bit 0: bias (AccBits, modulo 2**AccBits), m (17), s - ShiftLow
// (ShiftBits), 2 * zero_point + 1 (CodeBits + 1).
//
// Latency:       7 cycles from valid_i to valid_o.
// Throughput:    one accumulator per lane and cycle.
// Back-pressure: none; what is under way never waits.
// Golden:        sim.golden.conv, sim.golden.requantize
`default_nettype none

module nf_requant #(
  parameter int unsigned Lanes = 1,
  parameter int unsigned AccBits = 18,    // signed bits of accumulator and bias, 2..32
  parameter int unsigned CodeBits = 4,    // bits of a result code, 1..16
  parameter int unsigned ShiftLow = 1,    // smallest shift, 1..47
  parameter int unsigned ShiftHigh = 47,  // largest shift, ShiftLow..47
  parameter int unsigned Low = 0,         // smallest code
  parameter int unsigned High = 15,       // largest code, below 2**CodeBits
  localparam int unsigned ShiftBits =
      (ShiftHigh > ShiftLow) ? $clog2(ShiftHigh - ShiftLow + 1) : 1,
  localparam int unsigned ParamBits = AccBits + 17 + ShiftBits + CodeBits + 1
) (
  input  wire logic                       clk_i,
  input  wire logic                       rst_ni,
  input  wire logic                       valid_i,
  input  wire logic                       last_i,   // sidebands, returned with the codes
  input  wire logic                       end_i,
  input  wire logic [Lanes*AccBits-1:0]   acc_i,
  input  wire logic [Lanes*ParamBits-1:0] param_i,  // one cycle after valid_i
  output logic                            valid_o,
  output logic                            last_o,
  output logic                            end_o,
  output logic [Lanes*CodeBits-1:0]       code_o
);
  if (AccBits < 2 || AccBits > 32) begin : g_check_acc
    $fatal(1, "AccBits (%0d) must be in [2, 32]", AccBits);
  end
  if (ShiftLow < 1 || ShiftHigh < ShiftLow || ShiftHigh > 47) begin : g_check_shift
    $fatal(1, "Shifts (%0d..%0d) must be in [1, 47]", ShiftLow, ShiftHigh);
  end
  if (Low > High || High >= 2 ** CodeBits) begin : g_check_clip
    $fatal(1, "Clip limits (%0d..%0d) must be in [0, %0d]", Low, High, 2 ** CodeBits - 1);
  end

  localparam int unsigned Stages = 7;
  // |acc + bias| <= 2**(AccBits-1) and m < 2**17.
  localparam int unsigned ProductBits = AccBits + 17;
  // The constant part of the shift costs nothing; a sign bit always remains.
  localparam int unsigned WideBits = (ProductBits > ShiftLow) ? ProductBits : ShiftLow + 1;
  localparam int unsigned HalfBits = WideBits - (ShiftLow - 1);
  localparam int unsigned SumBits = ((HalfBits > CodeBits + 2) ? HalfBits : CodeBits + 2) + 1;

  localparam logic signed [SumBits-2:0] LowCode = (SumBits - 1)'(Low);
  localparam logic signed [SumBits-2:0] HighCode = (SumBits - 1)'(High);

  logic [Stages-1:0] valid_q, last_q, end_q;

  always_ff @(posedge clk_i) begin
    last_q <= Stages'({last_q, last_i});
    end_q <= Stages'({end_q, end_i});
    if (!rst_ni) valid_q <= '0;
    else valid_q <= Stages'({valid_q, valid_i});
  end
  assign valid_o = valid_q[Stages-1];
  assign last_o = last_q[Stages-1];
  assign end_o = end_q[Stages-1];

  // One array per register, suffixes count the stages. A stage loads when its flag is set: without
  // a result under way nothing switches, neither in the device nor in a simulation. Every stage
  // makes its array in a variable of its own, so that it is written as a whole.
  logic signed [AccBits-1:0] acc_1 [Lanes];
  logic signed [AccBits-1:0] biased_2 [Lanes];
  logic signed [17:0] multiplier_2 [Lanes];
  logic signed [ProductBits-1:0] product_3 [Lanes], product_4 [Lanes];
  logic [ShiftBits-1:0] shift_2 [Lanes], shift_3 [Lanes], shift_4 [Lanes];
  logic signed [HalfBits-1:0] half_5 [Lanes];
  logic [CodeBits:0] zero_2 [Lanes], zero_3 [Lanes], zero_4 [Lanes], zero_5 [Lanes];
  logic signed [SumBits-2:0] rounded_6 [Lanes];
  logic [CodeBits-1:0] code_7 [Lanes];

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      logic signed [AccBits-1:0] acc [Lanes];
      for (int i = 0; i < int'(Lanes); i++) acc[i] = acc_i[i*int'(AccBits)+:AccBits];
      acc_1 <= acc;
    end
    if (valid_q[0]) begin
      // Parameters stand beside the accumulator's first register.
      logic signed [AccBits-1:0] biased [Lanes];
      logic signed [17:0] multiplier [Lanes];
      logic [ShiftBits-1:0] shift [Lanes];
      logic [CodeBits:0] zero [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        biased[i] = acc_1[i] + $signed(param_i[i*int'(ParamBits)+:AccBits]);
        multiplier[i] = {1'b0, param_i[i*int'(ParamBits)+int'(AccBits)+:17]};
        shift[i] = param_i[i*int'(ParamBits)+int'(AccBits)+17+:ShiftBits];
        zero[i] = param_i[i*int'(ParamBits)+int'(AccBits+ShiftBits)+17+:CodeBits+1];
      end
      biased_2 <= biased;
      multiplier_2 <= multiplier;
      shift_2 <= shift;
      zero_2 <= zero;
    end
    if (valid_q[1]) begin
      logic signed [ProductBits-1:0] product [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        product[i] = ProductBits'(biased_2[i]) * ProductBits'(multiplier_2[i]);
      end
      product_3 <= product;
      shift_3 <= shift_2;
      zero_3 <= zero_2;
    end
    if (valid_q[2]) begin
      product_4 <= product_3;
      shift_4 <= shift_3;
      zero_4 <= zero_3;
    end
    if (valid_q[3]) begin
      logic signed [HalfBits-1:0] half [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        half[i] = HalfBits'(WideBits'(product_4[i]) >>> (ShiftLow - 1)) >>> shift_4[i];
      end
      half_5 <= half;
      zero_5 <= zero_4;
    end
    if (valid_q[4]) begin
      // The lowest bit is half a code; it has done its rounding.
      logic signed [SumBits-2:0] rounded [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        rounded[i] = (SumBits-1)'((SumBits'(half_5[i]) + $signed(SumBits'(zero_5[i]))) >>> 1);
      end
      rounded_6 <= rounded;
    end
    if (valid_q[5]) begin
      logic [CodeBits-1:0] code [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        if (rounded_6[i] < LowCode) code[i] = CodeBits'(Low);
        else if (rounded_6[i] > HighCode) code[i] = CodeBits'(High);
        else code[i] = rounded_6[i][CodeBits-1:0];
      end
      code_7 <= code;
    end
  end

  always_comb begin
    for (int i = 0; i < int'(Lanes); i++) code_o[i*int'(CodeBits)+:CodeBits] = code_7[i];
  end
endmodule

`default_nettype wire

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
// Back-pressure: none; data flows on every cycle.
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

  for (genvar lane = 0; lane < Lanes; lane++) begin : g_lane
    logic [ParamBits-1:0] param;
    logic signed [AccBits-1:0] acc_q, biased_q;
    logic signed [17:0] multiplier_q;
    logic signed [ProductBits-1:0] product_q, product2_q;
    logic [2:0][ShiftBits-1:0] shift_q;
    logic [3:0][CodeBits:0] zero_q;
    logic signed [HalfBits-1:0] half_q;
    logic signed [SumBits-1:0] sum;
    logic signed [SumBits-2:0] rounded_q;
    logic [CodeBits-1:0] code_q;

    assign param = param_i[lane*ParamBits+:ParamBits];
    assign sum = SumBits'(half_q) + $signed(SumBits'(zero_q[3]));
    // The lowest bit is half a code; it has done its rounding.
    logic unused_half;
    assign unused_half = sum[0];

    always_ff @(posedge clk_i) begin
      acc_q <= acc_i[lane*AccBits+:AccBits];
      // param stands beside acc_q.
      biased_q <= acc_q + $signed(param[0+:AccBits]);
      multiplier_q <= {1'b0, param[AccBits+:17]};
      product_q <= ProductBits'(biased_q) * ProductBits'(multiplier_q);
      product2_q <= product_q;
      shift_q <= {shift_q[1:0], param[AccBits+17+:ShiftBits]};
      half_q <= HalfBits'(WideBits'(product2_q) >>> (ShiftLow - 1)) >>> shift_q[2];
      zero_q <= {zero_q[2:0], param[AccBits+17+ShiftBits+:CodeBits+1]};
      rounded_q <= sum[SumBits-1:1];
      if (rounded_q < LowCode) code_q <= CodeBits'(Low);
      else if (rounded_q > HighCode) code_q <= CodeBits'(High);
      else code_q <= rounded_q[CodeBits-1:0];
    end
    assign code_o[lane*CodeBits+:CodeBits] = code_q;
  end
endmodule

`default_nettype wire

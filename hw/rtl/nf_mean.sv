// SPDX-License-Identifier: Apache-2.0
//
// Sums to mean codes: one requantizer of constant parameters, shared by several lanes.
//
//   y = clip((((sum - Offset) * Multiplier + (1 << (Shift - 1))) >>> Shift) + ZeroOut, Low, High)
//
// The division by the number of values is inside Multiplier and Shift.
//
// Latency:       6 + Lanes/RequantLanes cycles from valid_i to valid_o.
// Throughput:    one word per Lanes/RequantLanes cycles; the writer keeps that distance.
// Back-pressure: none; what is under way never waits.
// Golden:        sim.golden.pool
`default_nettype none

module nf_mean #(
  parameter int unsigned Lanes = 4,
  parameter int unsigned RequantLanes = 4,    // divides Lanes
  parameter int unsigned AccBits = 8,         // signed bits of sum - Offset, 2..32
  parameter int unsigned Offset = 0,          // what the values would sum to if all meant real 0
  parameter int unsigned Multiplier = 65536,  // below 2**17
  parameter int unsigned Shift = 16,          // 1..47
  parameter int unsigned ZeroOut = 0,         // code that means real 0
  parameter int unsigned Low = 0,             // smallest code
  parameter int unsigned High = 15,           // largest
  parameter int unsigned OutBits = 4          // bits of a code
) (
  input  wire logic                     clk_i,
  input  wire logic                     rst_ni,
  input  wire logic                     valid_i,
  input  wire logic [Lanes*AccBits-1:0] sum_i,   // modulo 2**AccBits
  output logic                          valid_o,
  output logic [Lanes*OutBits-1:0]      code_o
);
  if (Multiplier >= 2 ** 17) begin : g_check_multiplier
    $fatal(1, "Multiplier (%0d) must be below %0d", Multiplier, 2 ** 17);
  end
  if (ZeroOut >= 2 ** OutBits) begin : g_check_zero
    $fatal(1, "ZeroOut (%0d) must be below %0d", ZeroOut, 2 ** OutBits);
  end

  // From the top: 2 * zero point + 1, shift - ShiftLow, multiplier, bias.
  localparam int unsigned ParamBits = OutBits + 1 + 1 + 17 + AccBits;
  localparam logic [ParamBits-1:0] Params = {
    (OutBits + 1)'(2 * ZeroOut + 1), 1'b0, 17'(Multiplier), -AccBits'(Offset)
  };

  logic step_valid, step_last, step_end, code_valid, code_last, code_end;
  logic [RequantLanes*AccBits-1:0] step_sum;
  logic [RequantLanes*OutBits-1:0] codes;

  nf_narrow #(
    .LaneBits(AccBits),
    .LanesIn(Lanes),
    .LanesOut(RequantLanes)
  ) u_narrow (
    .clk_i,
    .rst_ni,
    .valid_i,
    .end_i(1'b0),
    .data_i(sum_i),
    .valid_o(step_valid),
    .last_o(step_last),
    .end_o(step_end),
    .data_o(step_sum)
  );

  nf_requant #(
    .Lanes(RequantLanes),
    .AccBits(AccBits),
    .CodeBits(OutBits),
    .ShiftLow(Shift),
    .ShiftHigh(Shift),
    .Low(Low),
    .High(High)
  ) u_requant (
    .clk_i,
    .rst_ni,
    .valid_i(step_valid),
    .last_i(step_last),
    .end_i(step_end),
    .acc_i(step_sum),
    .param_i({RequantLanes{Params}}),
    .valid_o(code_valid),
    .last_o(code_last),
    .end_o(code_end),
    .code_o(codes)
  );

  nf_widen #(
    .LaneBits(OutBits),
    .LanesIn(RequantLanes),
    .LanesOut(Lanes)
  ) u_widen (
    .clk_i,
    .valid_i(code_valid),
    .last_i(code_last),
    .data_i(codes),
    .valid_o,
    .data_o(code_o)
  );

  logic unused_end;
  assign unused_end = code_end;
endmodule

`default_nettype wire

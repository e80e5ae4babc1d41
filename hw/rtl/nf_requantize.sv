// SPDX-License-Identifier: Apache-2.0
//
// Changes the format of a tensor: decode, then one requantizer of constant parameters per lane.
//
//   a = codebook[q]
//   y = clip((((a - ZeroIn) * Multiplier + (1 << (Shift - 1))) >>> Shift) + ZeroOut, Low, High)
//
// Latency:       9 cycles.
// Throughput:    one beat per cycle.
// Back-pressure: m_ready_i low fills the output queue; without a free place in it no beat is taken.
// Golden:        sim.golden.pointwise.requantize_codes
`default_nettype none

module nf_requantize #(
  parameter int unsigned Lanes = 4,
  parameter int unsigned InBits = 4,           // bits of an input code
  parameter int unsigned ActBits = 4,          // unsigned bits of a decoded code, 1..16
  parameter int unsigned ZeroIn = 0,           // decoded value that means real 0
  parameter int unsigned Multiplier = 65536,   // below 2**17
  parameter int unsigned Shift = 16,           // 1..47
  parameter int unsigned ZeroOut = 0,          // output code that means real 0
  parameter int unsigned Low = 0,              // smallest output code
  parameter int unsigned High = 15,            // largest
  parameter int unsigned OutBits = 4,          // bits of an output code
  parameter string CodebookFile = ""           // decoded value of every code; "": identity
) (
  input  wire logic                     clk_i,
  input  wire logic                     rst_ni,
  input  wire logic [Lanes*InBits-1:0]  s_data_i,
  input  wire logic                     s_valid_i,
  output logic                          s_ready_o,
  output logic [Lanes*OutBits-1:0]      m_data_o,
  output logic                          m_valid_o,
  input  wire logic                     m_ready_i
);
  if (ActBits < 1 || ActBits > 16) begin : g_check_act
    $fatal(1, "ActBits (%0d) must be in [1, 16]", ActBits);
  end
  if (ZeroIn >= 2 ** ActBits || ZeroOut >= 2 ** OutBits) begin : g_check_zero
    $fatal(1, "ZeroIn (%0d) and ZeroOut (%0d) must be below %0d and %0d", ZeroIn, ZeroOut,
           2 ** ActBits, 2 ** OutBits);
  end
  if (Multiplier >= 2 ** 17) begin : g_check_multiplier
    $fatal(1, "Multiplier (%0d) must be below %0d", Multiplier, 2 ** 17);
  end

  localparam int unsigned Latency = 9;
  // A sign bit beside the decoded value: a - ZeroIn lies in -(2**ActBits - 1)..2**ActBits - 1.
  localparam int unsigned AccBits = ActBits + 1;
  // From the top: 2 * zero point + 1, shift - ShiftLow, multiplier, bias.
  localparam int unsigned ParamBits = OutBits + 1 + 1 + 17 + AccBits;
  localparam logic [ParamBits-1:0] Params = {
    (OutBits + 1)'(2 * ZeroOut + 1), 1'b0, 17'(Multiplier), -AccBits'(ZeroIn)
  };

  logic take, valid_q, code_valid;
  logic unused_last, unused_end;
  logic [Lanes*ActBits-1:0] values;
  logic [Lanes*AccBits-1:0] acc;
  logic [Lanes*OutBits-1:0] codes;

  assign take = s_valid_i & s_ready_o;
  always_ff @(posedge clk_i) valid_q <= rst_ni & take;

  nf_decode #(
    .Lanes(Lanes),
    .InBits(InBits),
    .OutBits(ActBits),
    .File(CodebookFile)
  ) u_decode (
    .clk_i,
    .load_i(take),
    .codes_i(s_data_i),
    .data_o(values)
  );

  always_comb begin
    for (int i = 0; i < int'(Lanes); i++) begin
      acc[i*int'(AccBits)+:AccBits] = AccBits'(values[i*int'(ActBits)+:ActBits]);
    end
  end

  nf_requant #(
    .Lanes(Lanes),
    .AccBits(AccBits),
    .CodeBits(OutBits),
    .ShiftLow(Shift),
    .ShiftHigh(Shift),
    .Low(Low),
    .High(High)
  ) u_requant (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q),
    .last_i(1'b0),
    .end_i(1'b0),
    .acc_i(acc),
    .param_i({Lanes{Params}}),
    .valid_o(code_valid),
    .last_o(unused_last),
    .end_o(unused_end),
    .code_o(codes)
  );

  nf_output_queue #(
    .Bits(Lanes * OutBits),
    .Depth(Latency + 1)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(s_ready_o),
    .take_i(take),
    .push_i(code_valid),
    .data_i(codes),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

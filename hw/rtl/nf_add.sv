// SPDX-License-Identifier: Apache-2.0
//
// Adds two tensors of different scales and requantizes the sum, one beat of both at a time.
//
//   a_k = codebook_k[q_k]
//   y = clip((((a_0 - Zero0) * Multiplier0 + (a_1 - Zero1) * Multiplier1 + (1 << (Shift - 1)))
//            >>> Shift) + ZeroOut, Low, High)
//
// Both zero points are one constant beside the products. The half code is added after the shift to
// halves: (x >>> (Shift - 1)) + 2 * ZeroOut + 1, halved, is the same integer.
//
// Latency:       7 cycles.
// Throughput:    one beat of both inputs per cycle.
// Back-pressure: a beat is taken when both inputs offer one and the output queue has a free place;
//                the ready of an input therefore follows the valid of the other.
// Golden:        sim.golden.pointwise.add
`default_nettype none

module nf_add #(
  parameter int unsigned Lanes = 4,
  parameter int unsigned InBits0 = 4,           // bits of a code of input 0
  parameter int unsigned InBits1 = 4,
  parameter int unsigned ActBits0 = 4,          // unsigned bits of its decoded value, 1..16
  parameter int unsigned ActBits1 = 4,
  parameter int unsigned Zero0 = 0,             // decoded value of input 0 that means real 0
  parameter int unsigned Zero1 = 0,
  parameter int unsigned Multiplier0 = 65536,   // below 2**17
  parameter int unsigned Multiplier1 = 65536,
  parameter int unsigned Shift = 17,            // 1..47
  parameter int unsigned ZeroOut = 0,           // output code that means real 0
  parameter int unsigned Low = 0,               // smallest output code
  parameter int unsigned High = 15,             // largest
  parameter int unsigned OutBits = 4,           // bits of an output code
  parameter string CodebookFile0 = "",          // decoded value of every code; "": identity
  parameter string CodebookFile1 = ""
) (
  input  wire logic                                clk_i,
  input  wire logic                                rst_ni,
  input  wire logic [Lanes*(InBits0+InBits1)-1:0]  s_data_i,
  input  wire logic [1:0]                          s_valid_i,
  output logic [1:0]                               s_ready_o,
  output logic [Lanes*OutBits-1:0]                 m_data_o,
  output logic                                     m_valid_o,
  input  wire logic                                m_ready_i
);
  if (ActBits0 < 1 || ActBits0 > 16 || ActBits1 < 1 || ActBits1 > 16) begin : g_check_act
    $fatal(1, "ActBits (%0d, %0d) must be in [1, 16]", ActBits0, ActBits1);
  end
  if (Zero0 >= 2 ** ActBits0 || Zero1 >= 2 ** ActBits1) begin : g_check_zero
    $fatal(1, "Zero points (%0d, %0d) must be below %0d and %0d", Zero0, Zero1, 2 ** ActBits0,
           2 ** ActBits1);
  end
  if (Multiplier0 >= 2 ** 17 || Multiplier1 >= 2 ** 17) begin : g_check_multiplier
    $fatal(1, "Multipliers (%0d, %0d) must be below %0d", Multiplier0, Multiplier1, 2 ** 17);
  end
  if (Shift < 1 || Shift > 47) begin : g_check_shift
    $fatal(1, "Shift (%0d) must be in [1, 47]", Shift);
  end
  if (Low > High || High >= 2 ** OutBits || ZeroOut >= 2 ** OutBits) begin : g_check_clip
    $fatal(1, "Clip limits (%0d..%0d) and ZeroOut (%0d) must be in [0, %0d]", Low, High, ZeroOut,
           2 ** OutBits - 1);
  end

  localparam int unsigned Stages = 6;
  localparam int unsigned ActBits = (ActBits0 > ActBits1) ? ActBits0 : ActBits1;
  localparam int unsigned ProductBits = ActBits + 17;
  // Two products and the zero points of both, with sign.
  localparam int unsigned SumBits = ProductBits + 2;
  localparam int unsigned WideBits = (SumBits > Shift) ? SumBits : Shift + 1;
  localparam int unsigned HalfBits = WideBits - (Shift - 1);
  localparam int unsigned RoundBits = ((HalfBits > OutBits + 2) ? HalfBits : OutBits + 2) + 1;
  localparam logic [SumBits-1:0] Offset =
      -(SumBits'(Zero0) * SumBits'(Multiplier0)) - SumBits'(Zero1) * SumBits'(Multiplier1);
  localparam logic signed [RoundBits-1:0] HalfZero = RoundBits'(2 * ZeroOut + 1);
  localparam logic signed [RoundBits-2:0] LowCode = (RoundBits - 1)'(Low);
  localparam logic signed [RoundBits-2:0] HighCode = (RoundBits - 1)'(High);

  // ---------------------------------------------------------------- join
  logic free, take;
  logic [Stages-1:0] valid_q;

  assign take = free & (&s_valid_i);
  assign s_ready_o = {free & s_valid_i[0], free & s_valid_i[1]};
  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= Stages'({valid_q, take});
  end

  // ---------------------------------------------------------------- decode
  logic [Lanes*ActBits0-1:0] values_0;
  logic [Lanes*ActBits1-1:0] values_1;

  nf_decode #(
    .Lanes(Lanes),
    .InBits(InBits0),
    .OutBits(ActBits0),
    .File(CodebookFile0)
  ) u_decode_0 (
    .clk_i,
    .load_i(take),
    .codes_i(s_data_i[Lanes*InBits0-1:0]),
    .data_o(values_0)
  );

  nf_decode #(
    .Lanes(Lanes),
    .InBits(InBits1),
    .OutBits(ActBits1),
    .File(CodebookFile1)
  ) u_decode_1 (
    .clk_i,
    .load_i(take),
    .codes_i(s_data_i[Lanes*InBits0+:Lanes*InBits1]),
    .data_o(values_1)
  );

  // ---------------------------------------------------------------- add and requantize
  // One array per register, suffixes count the stages, the decoder is 1. A stage loads when its flag
  // is set; it makes its array in a variable of its own, so that it is written as a whole.
  logic [ProductBits-1:0] left_2 [Lanes], left_3 [Lanes];
  logic [ProductBits-1:0] right_2 [Lanes], right_3 [Lanes];
  logic signed [SumBits-1:0] sum_4 [Lanes];
  logic signed [RoundBits-2:0] rounded_5 [Lanes];
  logic [OutBits-1:0] code_6 [Lanes];
  logic [Lanes*OutBits-1:0] codes;

  always_ff @(posedge clk_i) begin
    if (valid_q[0]) begin
      logic [ProductBits-1:0] left [Lanes], right [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        left[i] = ProductBits'(values_0[i*int'(ActBits0)+:ActBits0]) * ProductBits'(Multiplier0);
        right[i] = ProductBits'(values_1[i*int'(ActBits1)+:ActBits1]) * ProductBits'(Multiplier1);
      end
      left_2 <= left;
      right_2 <= right;
    end
    if (valid_q[1]) begin
      left_3 <= left_2;
      right_3 <= right_2;
    end
    if (valid_q[2]) begin
      logic signed [SumBits-1:0] sum [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        sum[i] = SumBits'(left_3[i]) + SumBits'(right_3[i]) + Offset;
      end
      sum_4 <= sum;
    end
    if (valid_q[3]) begin
      logic signed [RoundBits-2:0] rounded [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        rounded[i] = (RoundBits - 1)'(
            (RoundBits'(HalfBits'(WideBits'(sum_4[i]) >>> (Shift - 1))) + HalfZero) >>> 1);
      end
      rounded_5 <= rounded;
    end
    if (valid_q[4]) begin
      logic [OutBits-1:0] code [Lanes];
      for (int i = 0; i < int'(Lanes); i++) begin
        if (rounded_5[i] < LowCode) code[i] = OutBits'(Low);
        else if (rounded_5[i] > HighCode) code[i] = OutBits'(High);
        else code[i] = rounded_5[i][OutBits-1:0];
      end
      code_6 <= code;
    end
  end
  always_comb begin
    for (int i = 0; i < int'(Lanes); i++) codes[i*int'(OutBits)+:OutBits] = code_6[i];
  end

  // ---------------------------------------------------------------- output queue
  nf_output_queue #(
    .Bits(Lanes * OutBits),
    .Depth(Stages + 2)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(free),
    .take_i(take),
    .push_i(valid_q[Stages-1]),
    .data_i(codes),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Average pool: the sum of the decoded values of a window, requantized.
//
//   acc[c] = sum over kh, kw of codebook[x[oy*StrideH + kh][ox*StrideW + kw][c]]
//            - KernelH*KernelW*ZeroIn
//   y[c]   = clip(((acc*Multiplier + (1 << (Shift - 1))) >>> Shift) + ZeroOut, Low, High)
//
// Windows may overlap; there is no padding. 1/(KernelH*KernelW) is inside Multiplier and Shift.
//
// Latency:       from the last tap of a window's beat to its output beat 10 + Lanes/RequantLanes
//                cycles.
// Throughput:    one output beat per KernelH*KernelW cycles, one input beat per cycle.
// Back-pressure: m_ready_i low fills the output queue; without a free place in it no beat begins.
// Golden:        sim.golden.pool
`default_nettype none

module nf_avgpool #(
  parameter int unsigned Channels = 8,
  parameter int unsigned Lanes = 4,           // channels of a beat, divides Channels
  parameter int unsigned Height = 8,          // rows of the input
  parameter int unsigned Width = 8,           // columns of the input
  parameter int unsigned KernelH = 2,
  parameter int unsigned KernelW = 2,
  parameter int unsigned StrideH = 2,
  parameter int unsigned StrideW = 2,
  parameter int unsigned BufferPixels = 20,   // depth of the line buffer
  parameter int unsigned RequantLanes = 1,    // divides Lanes; Lanes/RequantLanes <= kernel
  parameter int unsigned InBits = 4,          // bits of an input code
  parameter int unsigned ActBits = 4,         // unsigned bits of a decoded input
  parameter int unsigned ZeroIn = 0,          // decoded value that means real 0
  parameter int unsigned AccBits = 7,         // signed bits of acc, 2..32
  parameter int unsigned Multiplier = 65536,  // below 2**17
  parameter int unsigned Shift = 18,          // 1..47
  parameter int unsigned ZeroOut = 0,         // output code that means real 0
  parameter int unsigned Low = 0,             // smallest output code
  parameter int unsigned High = 15,           // largest
  parameter int unsigned OutBits = 4,         // bits of an output code
  parameter string CodebookFile = ""          // decoded value of every input code; "": identity
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
  localparam int unsigned ChannelFolds = Channels / Lanes;
  localparam int unsigned Taps = KernelH * KernelW;

  if (Channels % Lanes != 0) begin : g_check_lanes
    $fatal(1, "Lanes (%0d) must divide Channels (%0d)", Lanes, Channels);
  end
  if (Lanes / RequantLanes > Taps) begin : g_check_requant
    $fatal(1, "Lanes / RequantLanes (%0d) must be at most %0d, the taps of a window",
           Lanes / RequantLanes, Taps);
  end
  if (ActBits > AccBits) begin : g_check_acc
    $fatal(1, "AccBits (%0d) must be at least ActBits (%0d)", AccBits, ActBits);
  end

  // ---------------------------------------------------------------- window
  logic tap_valid, tap_first, tap_last, tap_end, may_start;
  logic [Lanes*InBits-1:0] tap_codes;

  nf_window #(
    .CodeBits(InBits),
    .CodesPerBeat(Lanes),
    .ChannelFolds(ChannelFolds),
    // Every beat of a pixel is a group of its own, read by one output fold.
    .Groups(ChannelFolds),
    .GroupOutputFolds(1),
    .Height(Height),
    .Width(Width),
    .KernelH(KernelH),
    .KernelW(KernelW),
    .StrideH(StrideH),
    .StrideW(StrideW),
    .PadTop(0),
    .PadLeft(0),
    .PadBottom(0),
    .PadRight(0),
    .ZeroCode(0),
    .BufferPixels(BufferPixels)
  ) u_window (
    .clk_i,
    .rst_ni,
    .s_data_i,
    .s_valid_i,
    .s_ready_o,
    .start_i(may_start),
    .tap_valid_o(tap_valid),
    .tap_first_o(tap_first),
    .tap_last_o(tap_last),
    .tap_end_o(tap_end),
    .tap_data_o(tap_codes)
  );

  logic unused_end;
  assign unused_end = tap_end;

  // ---------------------------------------------------------------- decode and sum
  logic valid_1, valid_2, first_1, first_2, last_1, last_2, last_3;
  logic [Lanes*ActBits-1:0] values_2;
  logic [Lanes*AccBits-1:0] acc_3;

  nf_decode #(
    .Lanes(Lanes),
    .InBits(InBits),
    .OutBits(ActBits),
    .File(CodebookFile)
  ) u_decode (
    .clk_i,
    .load_i(valid_1),
    .codes_i(tap_codes),
    .data_o(values_2)
  );

  always_ff @(posedge clk_i) begin
    valid_1 <= tap_valid;
    valid_2 <= valid_1;
    first_1 <= tap_first;
    first_2 <= first_1;
    last_1 <= rst_ni & tap_valid & tap_last;
    last_2 <= rst_ni & last_1;
    last_3 <= rst_ni & last_2;
    if (valid_2) begin
      logic [Lanes*AccBits-1:0] acc;
      for (int i = 0; i < int'(Lanes); i++) begin
        acc[i*int'(AccBits)+:AccBits] = (first_2 ? '0 : acc_3[i*int'(AccBits)+:AccBits])
                                        + AccBits'(values_2[i*int'(ActBits)+:ActBits]);
      end
      acc_3 <= acc;
    end
  end

  // ---------------------------------------------------------------- requantize and queue
  localparam int unsigned Latency = 10 + Lanes / RequantLanes;
  // Places for the beats under way, so that a reader that is always ready never holds one up.
  localparam int unsigned QueueDepth = 1 + (Latency + Taps - 1) / Taps;
  logic code_valid;
  logic [Lanes*OutBits-1:0] codes;

  nf_mean #(
    .Lanes(Lanes),
    .RequantLanes(RequantLanes),
    .AccBits(AccBits),
    .Offset(Taps * ZeroIn),
    .Multiplier(Multiplier),
    .Shift(Shift),
    .ZeroOut(ZeroOut),
    .Low(Low),
    .High(High),
    .OutBits(OutBits)
  ) u_mean (
    .clk_i,
    .rst_ni,
    .valid_i(last_3),
    .sum_i(acc_3),
    .valid_o(code_valid),
    .code_o(codes)
  );

  nf_output_queue #(
    .Bits(Lanes * OutBits),
    .Depth(QueueDepth)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(may_start),
    .take_i(tap_valid & tap_first),
    .push_i(code_valid),
    .data_i(codes),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

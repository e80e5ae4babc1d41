// SPDX-License-Identifier: Apache-2.0
//
// Maximum of codes over windows that lie in one direction: one pass of a separable max pool.
//
//   y[c] = max over kh, kw of x[oy*StrideH - PadTop + kh][ox*StrideW - PadLeft + kw][c]
//
// One register per lane holds the largest code so far. Padding carries code 0, which never beats a
// code of the picture; with padding below the kernel every window meets the picture.
//
// Latency:       3 cycles from the last tap of a window's beat to its output beat.
// Throughput:    one output beat per KernelH*KernelW cycles, one input beat per cycle.
// Back-pressure: m_ready_i low fills the output queue; without a free place in it no beat begins.
// Golden:        sim.golden.pool
`default_nettype none

module nf_maxpool_pass #(
  parameter int unsigned Channels = 8,
  parameter int unsigned Lanes = 4,          // channels of a beat, divides Channels
  parameter int unsigned CodeBits = 4,       // bits of a code
  parameter int unsigned Height = 8,         // rows of the input
  parameter int unsigned Width = 8,          // columns of the input
  parameter int unsigned KernelH = 1,
  parameter int unsigned KernelW = 3,
  parameter int unsigned StrideH = 1,
  parameter int unsigned StrideW = 1,
  parameter int unsigned PadTop = 0,
  parameter int unsigned PadLeft = 1,
  parameter int unsigned PadBottom = 0,
  parameter int unsigned PadRight = 1,
  parameter int unsigned BufferPixels = 4    // depth of the line buffer
) (
  input  wire logic                      clk_i,
  input  wire logic                      rst_ni,
  input  wire logic [Lanes*CodeBits-1:0] s_data_i,
  input  wire logic                      s_valid_i,
  output logic                           s_ready_o,
  output logic [Lanes*CodeBits-1:0]      m_data_o,
  output logic                           m_valid_o,
  input  wire logic                      m_ready_i
);
  if (Channels % Lanes != 0) begin : g_check_lanes
    $fatal(1, "Lanes (%0d) must divide Channels (%0d)", Lanes, Channels);
  end

  localparam int unsigned ChannelFolds = Channels / Lanes;

  // ---------------------------------------------------------------- window
  logic tap_valid, tap_first, tap_last, tap_end, may_start;
  logic [Lanes*CodeBits-1:0] tap_codes;

  nf_window #(
    .CodeBits(CodeBits),
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
    .PadTop(PadTop),
    .PadLeft(PadLeft),
    .PadBottom(PadBottom),
    .PadRight(PadRight),
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

  // ---------------------------------------------------------------- running maximum
  logic valid_1, first_1, last_1, last_2;
  logic [Lanes*CodeBits-1:0] largest_2;

  always_ff @(posedge clk_i) begin
    valid_1 <= tap_valid;
    first_1 <= tap_first;
    last_1 <= rst_ni & tap_valid & tap_last;
    last_2 <= rst_ni & last_1;
    if (valid_1) begin
      logic [Lanes*CodeBits-1:0] largest;
      largest = tap_codes;
      for (int i = 0; i < int'(Lanes); i++) begin
        if (!first_1 && largest_2[i*int'(CodeBits)+:CodeBits]
                        > tap_codes[i*int'(CodeBits)+:CodeBits]) begin
          largest[i*int'(CodeBits)+:CodeBits] = largest_2[i*int'(CodeBits)+:CodeBits];
        end
      end
      largest_2 <= largest;
    end
  end

  // ---------------------------------------------------------------- output queue
  localparam int unsigned Latency = 3;
  localparam int unsigned Taps = KernelH * KernelW;
  // Places for the beats under way, so that a reader that is always ready never holds one up.
  localparam int unsigned QueueDepth = 1 + (Latency + Taps - 1) / Taps;

  nf_output_queue #(
    .Bits(Lanes * CodeBits),
    .Depth(QueueDepth)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(may_start),
    .take_i(tap_valid & tap_first),
    .push_i(last_2),
    .data_i(largest_2),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

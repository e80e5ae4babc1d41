// SPDX-License-Identifier: Apache-2.0
//
// Global average pool: one accumulator per channel in a small memory, no picture is held.
//
//   acc[c] = sum over all pixels of codebook[x[p][c]] - Pixels*ZeroIn
//   y[c]   = clip(((acc*Multiplier + (1 << (Shift - 1))) >>> Shift) + ZeroOut, Low, High)
//
// Two machines: the first adds every beat to its word of the memory and passes the finished sums of
// the last pixel on; the second requantizes them, few lanes at a time, while the next frame is
// already added up. 1/Pixels is inside Multiplier and Shift.
//
// Latency:       2 cycles from a beat of the last pixel to its sum, 7 + Lanes/RequantLanes cycles
//                from there to the output beat.
// Throughput:    one input beat per cycle; one output beat per Lanes/RequantLanes cycles.
// Back-pressure: m_ready_i low fills the output queue, then the queue of sums; without a free place
//                in that one no beat of a last pixel is taken.
// Golden:        sim.golden.pool
`default_nettype none

module nf_globalpool #(
  parameter int unsigned Channels = 8,
  parameter int unsigned Lanes = 4,           // channels of a beat, divides Channels
  parameter int unsigned Pixels = 64,         // pixels of the input
  parameter int unsigned RequantLanes = 1,    // divides Lanes
  parameter int unsigned SumBeats = 4,        // places for finished sums
  parameter int unsigned InBits = 4,          // bits of an input code
  parameter int unsigned ActBits = 4,         // unsigned bits of a decoded input
  parameter int unsigned ZeroIn = 0,          // decoded value that means real 0
  parameter int unsigned AccBits = 11,        // signed bits of acc, 2..32
  parameter int unsigned Multiplier = 65536,  // below 2**17
  parameter int unsigned Shift = 22,          // 1..47
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
  localparam int unsigned FoldW = (ChannelFolds > 1) ? $clog2(ChannelFolds) : 1;
  localparam int unsigned PixelW = (Pixels > 1) ? $clog2(Pixels) : 1;

  if (Channels % Lanes != 0) begin : g_check_lanes
    $fatal(1, "Lanes (%0d) must divide Channels (%0d)", Lanes, Channels);
  end
  if (ActBits > AccBits) begin : g_check_acc
    $fatal(1, "AccBits (%0d) must be at least ActBits (%0d)", AccBits, ActBits);
  end

  // ---------------------------------------------------------------- take and decode
  logic [FoldW-1:0] fold_q, fold_1;
  logic [PixelW-1:0] pixel_q;
  logic fold_last, pixel_first, pixel_last, take, sum_free;
  logic valid_1, first_1, last_1;
  logic [Lanes*ActBits-1:0] values_1;

  assign fold_last = fold_q == FoldW'(ChannelFolds - 1);
  assign pixel_first = pixel_q == '0;
  assign pixel_last = pixel_q == PixelW'(Pixels - 1);
  assign s_ready_o = ~pixel_last | sum_free;
  assign take = s_valid_i & s_ready_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fold_q <= '0;
      pixel_q <= '0;
    end else if (take) begin
      fold_q <= fold_last ? '0 : fold_q + 1'b1;
      if (fold_last) pixel_q <= pixel_last ? '0 : pixel_q + 1'b1;
    end
    valid_1 <= rst_ni & take;
    first_1 <= pixel_first;
    last_1 <= pixel_last;
    fold_1 <= fold_q;
  end

  nf_decode #(
    .Lanes(Lanes),
    .InBits(InBits),
    .OutBits(ActBits),
    .File(CodebookFile)
  ) u_decode (
    .clk_i,
    .load_i(take),
    .codes_i(s_data_i),
    .data_o(values_1)
  );

  // ---------------------------------------------------------------- accumulate
  // Read without a clock, so that a word is added to and written back in one cycle.
  (* ram_style = "distributed" *) logic [Lanes*AccBits-1:0] sums [ChannelFolds];
  logic [Lanes*AccBits-1:0] sum_before, sum_after;

  assign sum_before = sums[fold_1];
  always_comb begin
    for (int i = 0; i < int'(Lanes); i++) begin
      sum_after[i*int'(AccBits)+:AccBits] = (first_1 ? '0 : sum_before[i*int'(AccBits)+:AccBits])
                                        + AccBits'(values_1[i*int'(ActBits)+:ActBits]);
    end
  end
  always_ff @(posedge clk_i) begin
    if (valid_1) sums[fold_1] <= sum_after;
  end

  // ---------------------------------------------------------------- finished sums
  logic sum_valid, sum_ready;
  logic [Lanes*AccBits-1:0] sum;

  nf_output_queue #(
    .Bits(Lanes * AccBits),
    .Depth(SumBeats)
  ) u_sums (
    .clk_i,
    .rst_ni,
    .free_o(sum_free),
    .take_i(take & pixel_last),
    .push_i(valid_1 & last_1),
    .data_i(sum_after),
    .m_data_o(sum),
    .m_valid_o(sum_valid),
    .m_ready_i(sum_ready)
  );

  // ---------------------------------------------------------------- requantize and queue
  localparam int unsigned Steps = Lanes / RequantLanes;
  localparam int unsigned Latency = 8;
  // Places for the beats under way, so that a reader that is always ready never holds one up.
  localparam int unsigned QueueDepth = 1 + (Latency + Steps - 1) / Steps;
  logic start, may_start, idle, code_valid;
  logic [Lanes*OutBits-1:0] codes;

  assign sum_ready = idle & may_start;
  assign start = sum_valid & sum_ready;

  if (Steps > 1) begin : g_steps
    localparam int unsigned StepW = $clog2(Steps);
    logic [StepW-1:0] left_q;
    assign idle = left_q == '0;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) left_q <= '0;
      else if (start) left_q <= StepW'(Steps - 1);
      else if (!idle) left_q <= left_q - 1'b1;
    end
  end else begin : g_step
    assign idle = 1'b1;
  end

  nf_mean #(
    .Lanes(Lanes),
    .RequantLanes(RequantLanes),
    .AccBits(AccBits),
    .Offset(Pixels * ZeroIn),
    .Multiplier(Multiplier),
    .Shift(Shift),
    .ZeroOut(ZeroOut),
    .Low(Low),
    .High(High),
    .OutBits(OutBits)
  ) u_mean (
    .clk_i,
    .rst_ni,
    .valid_i(start),
    .sum_i(sum),
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
    .take_i(start),
    .push_i(code_valid),
    .data_i(codes),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

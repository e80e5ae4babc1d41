// SPDX-License-Identifier: Apache-2.0
//
// Streaming convolution: window generator, multiply-accumulate core, requantizer, table, queue.
//
//   acc[f] = bias[f]
//            + sum over c, kh, kw of codebook[x[c][kh][kw]] * M[g] * table[t[g]][w[f][c][kh][kw]]
//   y[f] = activation[clip(((acc[f]*m[f] + (1 << (s[f]-1))) >>> s[f]) + zero_point[f], Low, High)]
//
// Dense and grouped: an input beat has Simd channels, an output beat Pe filters; Simd divides
// Channels/Groups and Pe divides Filters/Groups. Depthwise: every lane has its own channel, an
// input beat has Pe channels, Simd is 1 and Pe divides Channels = Filters = Groups.
//
// Table t[g] and multiplier M[g] of a weight depend on its filter and kernel position (words of Pe
// lanes) or on its channel and kernel position (words of Simd lanes). Multipliers by filter scale
// partial sums (nf_part_sum), multipliers by channel scale activations (nf_scale_acts).
//
// Latency:       from the last tap of a fold to its output beat 11 + $clog2(Simd) + Pe/RequantLanes
//                + (1 with a table) + (3 with multipliers by filter, 1 with multipliers by channel)
//                cycles; hw.conv_cycles counts whole frames.
// Throughput:    one tap (Pe*Simd multiply-accumulates) per cycle while input and output keep up.
// Back-pressure: m_ready_i low fills the output queue; without a free place in it no fold begins,
//                so the data path never stalls.
// Golden:        sim.golden.conv
`default_nettype none

module nf_conv #(
  parameter int unsigned Channels = 8,
  parameter int unsigned Height = 8,          // rows of the input
  parameter int unsigned Width = 8,           // columns of the input
  parameter int unsigned Filters = 8,
  parameter int unsigned Groups = 1,
  parameter int unsigned KernelH = 3,
  parameter int unsigned KernelW = 3,
  parameter int unsigned StrideH = 1,
  parameter int unsigned StrideW = 1,
  parameter int unsigned PadTop = 1,
  parameter int unsigned PadLeft = 1,
  parameter int unsigned PadBottom = 1,
  parameter int unsigned PadRight = 1,
  parameter bit Depthwise = 1'b0,
  parameter int unsigned Pe = 4,              // filters computed in parallel
  parameter int unsigned Simd = 4,            // channels read in parallel
  parameter int unsigned PixelsPerBeat = 1,   // only 1 so far
  parameter bit UseDsp = 1'b0,                // multipliers in DSP blocks, else in logic
  parameter int unsigned RequantLanes = 4,    // divides Pe; Pe/RequantLanes <= taps of a fold
  parameter int unsigned BufferPixels = 32,   // depth of the line buffer
  parameter int unsigned InBits = 4,          // bits of an input code
  parameter int unsigned ActBits = 4,         // unsigned bits of a decoded input
  parameter int unsigned ZeroCode = 0,        // input code that means real 0
  parameter int unsigned WeightBits = 4,      // stored bits of a weight
  parameter int unsigned SelectBits = 0,      // bits of a decode selection
  parameter bit AffineSelect = 1'b0,          // selection: signed offset, else a table's number
  parameter bit SelectByChannel = 1'b0,       // words of Simd selections, else of Pe
  parameter int unsigned SelectTaps = 18,     // taps that share a word of selections
  parameter int unsigned SelectDepth = 2,     // words of selections, read over and over
  parameter int unsigned FactorBits = 0,      // bits of a group multiplier; 0: all are 1
  parameter bit FactorByChannel = 1'b0,       // words of Simd multipliers, else of Pe
  parameter int unsigned FactorTaps = 18,     // taps that share a word of multipliers
  parameter int unsigned FactorDepth = 2,     // words of multipliers, read over and over
  parameter int unsigned PartBits = 18,       // proven signed bits of a sum before its multiplier
  parameter int unsigned OperandBits = 5,     // signed bits of a decoded weight
  parameter int unsigned AccBits = 18,        // proven signed bits of the accumulator
  parameter int unsigned ShiftLow = 1,        // smallest shift of the requantizer
  parameter int unsigned ShiftHigh = 47,      // largest
  parameter int unsigned PreBits = 4,         // bits of the requantized code
  parameter int unsigned Low = 0,             // its smallest value
  parameter int unsigned High = 15,           // its largest
  parameter int unsigned OutBits = 4,         // bits of an output code; PreBits without a table
  parameter string WeightFile = "",           // words of Pe*Simd codes, in the order of the taps
  parameter string DecodeFile = "",           // decode tables; "" for affine selections
  parameter string SelectFile = "",           // words of selections; "": one table
  parameter string FactorFile = "",           // words of multipliers; "": all are 1
  parameter string RequantFile = "",          // words of RequantLanes parameter sets
  parameter string CodebookFile = "",         // decoded value of every input code; "": identity
  parameter string TableFile = "",            // output code of every requantized code; "": identity
  parameter string WeightStyle = "auto",      // memory of the weights, as nf_rom_cycle
  parameter bit LoadWeights = 1'b0,           // weights come through load_*, not from WeightFile
  localparam int unsigned InLanes = Depthwise ? Pe : Simd,
  localparam int unsigned WeightDepth =
      (Filters / Pe) * KernelH * KernelW * (Depthwise ? 1 : Channels / Groups / Simd),
  localparam int unsigned WeightAddrW = (WeightDepth > 1) ? $clog2(WeightDepth) : 1
) (
  input  wire logic                             clk_i,
  input  wire logic                             rst_ni,
  // Words of the weight memory, before the first beat; only with LoadWeights.
  input  wire logic                             load_write_i = 1'b0,
  input  wire logic [WeightAddrW-1:0]           load_addr_i = '0,
  input  wire logic [Pe*Simd*WeightBits-1:0]    load_data_i = '0,
  input  wire logic [InLanes*InBits-1:0]        s_data_i,
  input  wire logic                             s_valid_i,
  output logic                                  s_ready_o,
  output logic [Pe*OutBits-1:0]                 m_data_o,
  output logic                                  m_end_o,   // last beat of a frame
  output logic                                  m_valid_o,
  input  wire logic                             m_ready_i
);
  localparam bit HasCodebook = CodebookFile != "";
  localparam bit HasTable = TableFile != "";
  localparam int unsigned GroupChannels = Channels / Groups;
  localparam int unsigned GroupFilters = Filters / Groups;
  localparam int unsigned ChannelFolds = Channels / InLanes;
  localparam int unsigned FoldTaps = KernelH * KernelW * (Depthwise ? 1 : GroupChannels / Simd);
  localparam bit ScaleActs = FactorBits > 0 && FactorByChannel;
  localparam bit ScaleParts = FactorBits > 0 && !FactorByChannel;

  if (PixelsPerBeat != 1) begin : g_check_pixels
    $fatal(1, "PixelsPerBeat (%0d) must be 1", PixelsPerBeat);
  end
  if (Channels % Groups != 0 || Filters % Groups != 0) begin : g_check_groups
    $fatal(1, "Groups (%0d) must divide Channels (%0d) and Filters (%0d)", Groups, Channels,
           Filters);
  end
  if (Depthwise && (Groups != Channels || Filters != Channels || Simd != 1 || Channels % Pe != 0))
  begin : g_check_depthwise
    $fatal(1, "Depthwise needs Simd = 1, Channels = Filters = Groups and Pe (%0d) dividing %0d", Pe,
           Channels);
  end
  if (!Depthwise && (GroupFilters % Pe != 0 || GroupChannels % Simd != 0)) begin : g_check_folding
    $fatal(1, "Pe (%0d) must divide %0d and Simd (%0d) must divide %0d", Pe, GroupFilters, Simd,
           GroupChannels);
  end
  if (Pe / RequantLanes > FoldTaps) begin : g_check_lanes
    $fatal(1, "Pe / RequantLanes (%0d) must be at most %0d, the taps of a fold", Pe / RequantLanes,
           FoldTaps);
  end
  if (!HasTable && PreBits != OutBits) begin : g_check_bits
    $fatal(1, "OutBits (%0d) must be PreBits (%0d) without a table", OutBits, PreBits);
  end
  if (!HasCodebook && InBits != ActBits) begin : g_check_codebook
    $fatal(1, "ActBits (%0d) must be InBits (%0d) without a codebook", ActBits, InBits);
  end

  if (FoldTaps % SelectTaps != 0 || FoldTaps % FactorTaps != 0) begin : g_check_taps
    $fatal(1, "SelectTaps (%0d) and FactorTaps (%0d) must divide %0d, the taps of a fold",
           SelectTaps, FactorTaps, FoldTaps);
  end
  if ((SelectByChannel && SelectTaps != 1) || (ScaleActs && FactorTaps != 1)) begin : g_check_every
    $fatal(1, "SelectTaps (%0d) and FactorTaps (%0d) must be 1 by channel", SelectTaps, FactorTaps);
  end

  // ---------------------------------------------------------------- window
  logic tap_valid, tap_first, tap_last, tap_end, may_start;
  logic [InLanes*InBits-1:0] tap_codes;

  nf_window #(
    .CodeBits(InBits),
    .CodesPerBeat(InLanes),
    .ChannelFolds(ChannelFolds),
    // In depthwise mode every beat is a group of its own, read by one output fold.
    .Groups(Depthwise ? ChannelFolds : Groups),
    .GroupOutputFolds(Depthwise ? 1 : GroupFilters / Pe),
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
    .ZeroCode(ZeroCode),
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

  // Scaled activations come a cycle later, so everything that meets them is read a cycle later.
  logic read_valid, read_first, read_last, read_end;

  if (ScaleActs) begin : g_later
    always_ff @(posedge clk_i) begin
      read_valid <= rst_ni & tap_valid;
      read_first <= tap_first;
      read_last <= tap_last;
      read_end <= tap_end;
    end
  end else begin : g_now
    assign read_valid = tap_valid;
    assign read_first = tap_first;
    assign read_last = tap_last;
    assign read_end = tap_end;
  end

  // ---------------------------------------------------------------- weights
  localparam int unsigned SelectW = (SelectBits > 0) ? SelectBits : 1;
  localparam int unsigned SelectLanes = SelectByChannel ? Simd : Pe;
  logic [Pe*Simd*WeightBits-1:0] weight_codes;
  logic [SelectLanes*SelectW-1:0] selects;

  nf_rom_cycle #(
    .Bits(Pe * Simd * WeightBits),
    .Depth(WeightDepth),
    .File(WeightFile),
    .Style(WeightStyle),
    .Loadable(LoadWeights)
  ) u_weights (
    .clk_i,
    .rst_ni,
    .next_i(read_valid),
    .data_o(weight_codes),
    .write_i(load_write_i),
    .write_addr_i(load_addr_i),
    .write_data_i(load_data_i)
  );

  if (SelectBits > 0) begin : g_select
    logic select_next;

    if (SelectTaps == FoldTaps) begin : g_fold
      assign select_next = read_valid & read_first;
    end else begin : g_part
      logic first, unused_last;
      nf_tap_count #(
        .Taps(SelectTaps)
      ) u_taps (
        .clk_i,
        .rst_ni,
        .valid_i(read_valid),
        .first_o(first),
        .last_o(unused_last)
      );
      assign select_next = read_valid & first;
    end

    nf_rom_cycle #(
      .Bits(SelectLanes * SelectBits),
      .Depth(SelectDepth),
      .File(SelectFile)
    ) u_selects (
      .clk_i,
      .rst_ni,
      .next_i(select_next),
      .data_o(selects)
    );
  end else begin : g_single
    assign selects = '0;
  end

  // ---------------------------------------------------------------- activations
  logic [InLanes*ActBits-1:0] acts_q;
  logic shown_q;  // the window shows the codes of a new tap

  always_ff @(posedge clk_i) shown_q <= tap_valid;

  if (HasCodebook) begin : g_codebook
    logic [InBits-1:0] index [InLanes];
    logic [ActBits-1:0] decoded [InLanes];

    always_comb begin
      for (int i = 0; i < int'(InLanes); i++) begin
        index[i] = tap_codes[i*int'(InBits)+:InBits];
        acts_q[i*int'(ActBits)+:ActBits] = decoded[i];
      end
    end

    nf_table #(
      .Lanes(InLanes),
      .IndexBits(InBits),
      .DataBits(ActBits),
      .File(CodebookFile)
    ) u_codebook (
      .clk_i,
      .load_i(shown_q),
      .index_i(index),
      .data_o(decoded)
    );
  end else begin : g_plain
    always_ff @(posedge clk_i) if (shown_q) acts_q <= tap_codes;
  end

  localparam int unsigned ScaledBits = ScaleActs ? ActBits + FactorBits : ActBits;
  logic [InLanes*ScaledBits-1:0] scaled;

  if (ScaleActs) begin : g_scale
    nf_scale_acts #(
      .Lanes(InLanes),
      .FactorLanes(Simd),
      .ActBits(ActBits),
      .FactorBits(FactorBits),
      .Depth(FactorDepth),
      .UseDsp(UseDsp),
      .File(FactorFile)
    ) u_scale (
      .clk_i,
      .rst_ni,
      .next_i(read_valid),
      .act_i(acts_q),
      .act_o(scaled)
    );
  end else begin : g_unscaled
    assign scaled = acts_q;
  end

  // ---------------------------------------------------------------- multiply-accumulate
  localparam int unsigned SumBits = ScaleParts ? PartBits : AccBits;
  logic sum_first, sum_last, valid_q, first_q, last_q, end_q;
  logic sum_valid, sum_end, acc_valid, acc_end;
  logic [Pe*SumBits-1:0] sums;
  logic [Pe*AccBits-1:0] acc;

  if (ScaleParts && FactorTaps != FoldTaps) begin : g_part
    nf_tap_count #(
      .Taps(FactorTaps)
    ) u_taps (
      .clk_i,
      .rst_ni,
      .valid_i(read_valid),
      .first_o(sum_first),
      .last_o(sum_last)
    );
    logic unused_marks;
    assign unused_marks = ^{read_first, read_last};
  end else begin : g_fold
    assign sum_first = read_first;
    assign sum_last = read_last;
  end

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni & read_valid;
    first_q <= sum_first;
    last_q <= sum_last;
    end_q <= read_end;
  end

  nf_mac_plain #(
    .Pe(Pe),
    .Simd(Simd),
    .SharedActs(!Depthwise),
    .UseDsp(UseDsp),
    .ActBits(ScaledBits),
    .WeightBits(WeightBits),
    .SelectBits(SelectBits),
    .AffineSelect(AffineSelect),
    .SelectByChannel(SelectByChannel),
    .OperandBits(OperandBits),
    .AccBits(SumBits),
    .TableFile(DecodeFile)
  ) u_mac (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q),
    .first_i(first_q),
    .last_i(last_q),
    .end_i(end_q),
    .act_i(scaled),
    .weight_i(weight_codes),
    .select_i(selects),
    .valid_o(sum_valid),
    .end_o(sum_end),
    .acc_o(sums)
  );

  if (ScaleParts) begin : g_parts
    nf_part_sum #(
      .Lanes(Pe),
      .PartBits(PartBits),
      .FactorBits(FactorBits),
      .AccBits(AccBits),
      .Parts(FoldTaps / FactorTaps),
      .Depth(FactorDepth),
      .UseDsp(UseDsp),
      .File(FactorFile)
    ) u_parts (
      .clk_i,
      .rst_ni,
      .valid_i(sum_valid),
      .end_i(sum_end),
      .part_i(sums),
      .valid_o(acc_valid),
      .end_o(acc_end),
      .acc_o(acc)
    );
  end else begin : g_whole
    assign acc_valid = sum_valid;
    assign acc_end = sum_end;
    assign acc = sums;
  end

  // ---------------------------------------------------------------- requantize
  localparam int unsigned ShiftBits =
      (ShiftHigh > ShiftLow) ? $clog2(ShiftHigh - ShiftLow + 1) : 1;
  localparam int unsigned ParamBits = AccBits + 17 + ShiftBits + PreBits + 1;
  logic step_valid, step_last, step_end, pre_valid, pre_last, pre_end;
  logic [RequantLanes*AccBits-1:0] step_acc;
  logic [RequantLanes*ParamBits-1:0] params;
  logic [RequantLanes*PreBits-1:0] pre_codes;

  nf_narrow #(
    .LaneBits(AccBits),
    .LanesIn(Pe),
    .LanesOut(RequantLanes)
  ) u_narrow (
    .clk_i,
    .rst_ni,
    .valid_i(acc_valid),
    .end_i(acc_end),
    .data_i(acc),
    .valid_o(step_valid),
    .last_o(step_last),
    .end_o(step_end),
    .data_o(step_acc)
  );

  nf_rom_cycle #(
    .Bits(RequantLanes * ParamBits),
    .Depth(Filters / RequantLanes),
    .File(RequantFile)
  ) u_params (
    .clk_i,
    .rst_ni,
    .next_i(step_valid),
    .data_o(params)
  );

  nf_requant #(
    .Lanes(RequantLanes),
    .AccBits(AccBits),
    .CodeBits(PreBits),
    .ShiftLow(ShiftLow),
    .ShiftHigh(ShiftHigh),
    .Low(Low),
    .High(High)
  ) u_requant (
    .clk_i,
    .rst_ni,
    .valid_i(step_valid),
    .last_i(step_last),
    .end_i(step_end),
    .acc_i(step_acc),
    .param_i(params),
    .valid_o(pre_valid),
    .last_o(pre_last),
    .end_o(pre_end),
    .code_o(pre_codes)
  );

  // ---------------------------------------------------------------- activation table
  logic code_valid, code_last, code_end;
  logic [RequantLanes*OutBits-1:0] codes;

  if (HasTable) begin : g_table
    logic [PreBits-1:0] index [RequantLanes];
    logic [OutBits-1:0] found [RequantLanes];

    always_comb begin
      for (int i = 0; i < int'(RequantLanes); i++) begin
        index[i] = pre_codes[i*int'(PreBits)+:PreBits];
        codes[i*int'(OutBits)+:OutBits] = found[i];
      end
    end

    nf_table #(
      .Lanes(RequantLanes),
      .IndexBits(PreBits),
      .DataBits(OutBits),
      .File(TableFile)
    ) u_table (
      .clk_i,
      .load_i(pre_valid),
      .index_i(index),
      .data_o(found)
    );
    always_ff @(posedge clk_i) begin
      code_valid <= rst_ni & pre_valid;
      code_last <= pre_last;
      code_end <= pre_end;
    end
  end else begin : g_linear
    assign codes = pre_codes;
    assign code_valid = pre_valid;
    assign code_last = pre_last;
    assign code_end = pre_end;
  end

  // ---------------------------------------------------------------- output queue and credits
  localparam int unsigned Latency =
      11 + $clog2(Simd) + Pe / RequantLanes + (HasTable ? 32'd1 : 32'd0)
      + (ScaleParts ? 32'd3 : 32'd0) + (ScaleActs ? 32'd1 : 32'd0);
  // Places for the folds under way, so that a reader that is always ready never holds one up.
  localparam int unsigned QueueDepth = 1 + (Latency + FoldTaps - 1) / FoldTaps;
  localparam int unsigned CreditW = $clog2(QueueDepth + 1);
  logic beat_valid, take, give;
  logic [Pe*OutBits-1:0] beat;
  logic [CreditW-1:0] credit_q;

  nf_widen #(
    .LaneBits(OutBits),
    .LanesIn(RequantLanes),
    .LanesOut(Pe)
  ) u_widen (
    .clk_i,
    .valid_i(code_valid),
    .last_i(code_last),
    .data_i(codes),
    .valid_o(beat_valid),
    .data_o(beat)
  );

  nf_fifo #(
    .Bits(Pe * OutBits + 1),
    .Depth(QueueDepth)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .push_i(beat_valid),
    .data_i({code_end, beat}),
    .valid_o(m_valid_o),
    .data_o({m_end_o, m_data_o}),
    .ready_i(m_ready_i)
  );

  assign may_start = credit_q != '0;
  assign take = tap_valid & tap_first;
  assign give = m_valid_o & m_ready_i;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) credit_q <= CreditW'(QueueDepth);
    else credit_q <= credit_q + CreditW'(give) - CreditW'(take);
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Streaming convolution: window generator, multiply-accumulate core, requantizer, table, queue.
//
//   acc[f] = bias[f]
//            + sum over c, kh, kw of codebook[x[c][kh][kw]] * M[g] * table[t[g]][w[f][c][kh][kw]]
//   y[f] = activation[clip(((acc[f]*m[f] + (1 << (s[f]-1))) >>> s[f]) + zero_point[f], Low, High)]
//
// Dense and grouped: an input beat has Simd channels, an output beat OutLanes filters; Simd divides
// Channels/Groups and Pe divides Filters/Groups. Depthwise: every lane has its own channel, an
// input beat has Pe channels, Simd is 1 and Pe divides Channels = Filters = Groups.
//
// Core names what multiplies: plain, one multiplier per product (nf_conv_plain); outer4, pack6,
// w4a8, pack12, several products per DSP block and several pixels per tap (nf_conv_packed), whose
// results nf_pixel_order brings into stream order. Packed cores need no
// Pe that divides Filters: filters of zero weights fill the last fold, and their codes are dropped.
//
// Latency:       from the last tap of a fold to its codes 11 + $clog2(Simd) + Pe/RequantLanes
//                + (1 with a table) + (3 with multipliers by filter, 1 with multipliers by channel)
//                cycles for plain cores; hw.geometry has those of all, hw.conv_cycles whole frames.
// Throughput:    one tap per cycle while input and output keep up.
// Back-pressure: m_ready_i low fills the output queue; without a free place in it no fold begins,
//                so the data path never stalls. With weights from outside a tap waits for its word.
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
  parameter string Core = "plain",            // plain, outer4, pack6, w4a8 or pack12
  parameter bit UseDsp = 1'b0,                // plain: multipliers in DSP blocks, else in logic
  parameter int unsigned Cascade = 1,         // blocks of a chain of a packed core
  parameter int unsigned OutLanes = 4,        // channels of an output beat; Pe with plain cores
  parameter int unsigned OrderPlaces = 1,     // tokens that nf_pixel_order holds
  parameter int unsigned QueueDepth = 16,     // folds under way or waiting at the output
  parameter int unsigned RequantLanes = 4,    // accumulators requantized per cycle
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
  parameter int unsigned OffsetBits = 0,      // packed: signed bits of a shift of weights; 0: none
  parameter int unsigned WindowBits = 1,      // packed: unsigned bits of the sum of a window
  parameter int unsigned OperandBits = 5,     // signed bits of a decoded weight
  parameter int unsigned AccBits = 18,        // proven signed bits of the accumulator
  parameter int unsigned ShiftLow = 1,        // smallest shift of the requantizer
  parameter int unsigned ShiftHigh = 47,      // largest
  parameter int unsigned PreBits = 4,         // bits of the requantized code
  parameter int unsigned Low = 0,             // its smallest value
  parameter int unsigned High = 15,           // its largest
  parameter int unsigned OutBits = 4,         // bits of an output code; PreBits without a table
  parameter string WeightFile = "",           // words of codes in the order of the taps; packed:
                                              // files <WeightFile>0.mem.. of operands, nf_conv_packed
  parameter string DecodeFile = "",           // decode tables; "" for affine selections
  parameter string SelectFile = "",           // words of selections; "": one table
  parameter string FactorFile = "",           // words of multipliers; "": all are 1
  parameter string OffsetFile = "",           // words of shifts of weights; "": none
  parameter string RequantFile = "",          // words of RequantLanes parameter sets
  parameter string CodebookFile = "",         // decoded value of every input code; "": identity
  parameter string TableFile = "",            // output code of every requantized code; "": identity
  parameter string WeightStyle = "auto",      // memory of the weights, as nf_rom_cycle, or
                                              // "external": they come through w_*, word after word
  parameter bit LoadWeights = 1'b0,           // weights come through load_*, not from WeightFile
  localparam bit Streamed = WeightStyle == "external",
  localparam bit Packed = Core != "plain",
  localparam bit RowCore = Packed && Core != "outer4",
  localparam int unsigned InLanes = Depthwise ? Pe : Simd,
  localparam int unsigned Folds = (Filters + Pe - 1) / Pe,
  // A core of rows takes all kernel columns in one tap.
  localparam int unsigned FoldTaps =
      KernelH * (RowCore ? 1 : KernelW) * (Depthwise ? 1 : Channels / Groups / Simd),
  localparam int unsigned WeightDepth = Folds * FoldTaps,
  localparam int unsigned WeightAddrW = (WeightDepth > 1) ? $clog2(WeightDepth) : 1,
  localparam int unsigned WordBits =
      Pe * Simd * (Packed ? (RowCore ? 3 : 1) * OperandBits : WeightBits)
) (
  input  wire logic                             clk_i,
  input  wire logic                             rst_ni,
  // Words of the weight memory, before the first beat; only with LoadWeights.
  input  wire logic                             load_write_i = 1'b0,
  input  wire logic [WeightAddrW-1:0]           load_addr_i = '0,
  input  wire logic [WordBits-1:0]              load_data_i = '0,
  // Words of weights in the order of the taps, over and over; only with WeightStyle "external".
  input  wire logic [WordBits-1:0]              w_data_i = '0,
  input  wire logic                             w_valid_i = 1'b0,
  output logic                                  w_ready_o,
  input  wire logic [InLanes*InBits-1:0]        s_data_i,
  input  wire logic                             s_valid_i,
  output logic                                  s_ready_o,
  output logic [OutLanes*OutBits-1:0]           m_data_o,
  output logic                                  m_end_o,   // last beat of a frame
  output logic                                  m_valid_o,
  input  wire logic                             m_ready_i
);
  localparam bit HasCodebook = CodebookFile != "";
  localparam int unsigned GroupChannels = Channels / Groups;
  localparam int unsigned GroupFilters = Filters / Groups;
  localparam int unsigned ChannelFolds = Channels / InLanes;
  localparam int unsigned Pixels = !Packed ? 1 : (Core == "pack12") ? 4 : 2;

  if (Packed && Core != "outer4" && Core != "pack6" && Core != "w4a8" && Core != "pack12")
  begin : g_check_core
    $fatal(1, "Core (%s) must be plain, outer4, pack6, w4a8 or pack12", Core);
  end
  if (Channels % Groups != 0 || Filters % Groups != 0) begin : g_check_groups
    $fatal(1, "Groups (%0d) must divide Channels (%0d) and Filters (%0d)", Groups, Channels,
           Filters);
  end
  if (Depthwise && (Packed || Groups != Channels || Filters != Channels || Simd != 1
                    || Channels % Pe != 0)) begin : g_check_depthwise
    $fatal(1, "Depthwise needs a plain core, Simd = 1, Channels = Filters = Groups, Pe (%0d) a divisor",
           Pe);
  end
  if (!Depthwise && (((!Packed || Groups > 1) && GroupFilters % Pe != 0)
                     || GroupChannels % Simd != 0)) begin : g_check_folding
    $fatal(1, "Pe (%0d) must divide %0d and Simd (%0d) must divide %0d", Pe, GroupFilters, Simd,
           GroupChannels);
  end
  if (RowCore && (KernelW != 3 || StrideW != 1)) begin : g_check_rows
    $fatal(1, "Core %s needs rows of 3 (%0d) with stride 1 (%0d)", Core, KernelW, StrideW);
  end
  if (Pe * Pixels / RequantLanes > FoldTaps) begin : g_check_lanes
    $fatal(1, "Pe * pixels / RequantLanes (%0d) must be at most %0d, the taps of a fold",
           Pe * Pixels / RequantLanes, FoldTaps);
  end
  if (!Packed && OutLanes != Pe) begin : g_check_out
    $fatal(1, "OutLanes (%0d) must be Pe (%0d) with plain cores", OutLanes, Pe);
  end
  if (Streamed && LoadWeights) begin : g_check_load
    $fatal(1, "LoadWeights (%0d) must be 0 for weights from outside", LoadWeights);
  end
  if (!HasCodebook && InBits != ActBits) begin : g_check_codebook
    $fatal(1, "ActBits (%0d) must be InBits (%0d) without a codebook", ActBits, InBits);
  end

  // ---------------------------------------------------------------- window
  // Windows of a row: of plain cores one per result; of packed ones groups of Pixels results, or
  // for a core of rows groups of Pixels columns, of which the first ones may end no window.
  localparam int unsigned OutW = (Width + PadLeft + PadRight - KernelW) / StrideW + 1;
  localparam int unsigned OutH = (Height + PadTop + PadBottom - KernelH) / StrideH + 1;
  localparam int unsigned RowColumns = RowCore ? Width + PadLeft + PadRight : OutW;
  localparam int unsigned RowGroups = (RowColumns + Pixels - 1) / Pixels;
  localparam int unsigned Before = RowCore ? KernelW - 1 : 0;  // results that begin before the row
  localparam int unsigned Silent = Before / Pixels;            // groups of a row without a result

  logic tap_valid, tap_first, tap_last, tap_end, tap_row, tap_silent, may_start, word_here;
  logic [Pixels*InLanes*InBits-1:0] tap_codes;

  nf_window #(
    .CodeBits(InBits),
    .CodesPerBeat(InLanes),
    .ChannelFolds(ChannelFolds),
    // In depthwise mode every beat is a group of its own, read by one output fold.
    .Groups(Depthwise ? ChannelFolds : Groups),
    .GroupOutputFolds(Depthwise ? 1 : Folds / Groups),
    .Height(Height),
    .Width(Width),
    .KernelH(KernelH),
    .KernelW(RowCore ? 1 : KernelW),
    .StrideH(StrideH),
    .StrideW(Pixels * StrideW),
    .PadTop(PadTop),
    .PadLeft(PadLeft),
    .PadBottom(PadBottom),
    .PadRight(PadRight),
    .ZeroCode(ZeroCode),
    .Pixels(Pixels),
    .Apart(Packed ? StrideW : 1),
    .BufferPixels(BufferPixels),
    .Columns(RowGroups)
  ) u_window (
    .clk_i,
    .rst_ni,
    .s_data_i,
    .s_valid_i,
    .s_ready_o,
    .start_i(may_start | tap_silent),
    .go_i(word_here),
    .tap_valid_o(tap_valid),
    .tap_first_o(tap_first),
    .tap_last_o(tap_last),
    .tap_end_o(tap_end),
    .tap_data_o(tap_codes)
  );

  if (Packed) begin : g_row
    // Folds of a window, then windows of a row.
    logic fold_last;
    logic [1:0] unused_counts;
    nf_tap_count #(
      .Taps(Folds)
    ) u_folds (
      .clk_i,
      .rst_ni,
      .valid_i(tap_valid & tap_last),
      .first_o(unused_counts[0]),
      .last_o(fold_last)
    );
    nf_tap_count #(
      .Taps(RowGroups)
    ) u_groups (
      .clk_i,
      .rst_ni,
      .valid_i(tap_valid & tap_last & fold_last),
      .first_o(tap_row),
      .last_o(unused_counts[1])
    );
  end else begin : g_no_row
    assign tap_row = 1'b0;
  end
  // Silent is 0 or 1: two results begin before a row, and a group has two pixels at least.
  assign tap_silent = (Silent != 0) & tap_row;

  // ---------------------------------------------------------------- activations
  logic [Pixels*InLanes*ActBits-1:0] acts_q;
  logic shown_q;  // the window shows the codes of a new tap

  always_ff @(posedge clk_i) shown_q <= tap_valid;

  if (HasCodebook) begin : g_codebook
    logic [InBits-1:0] index [Pixels*InLanes];
    logic [ActBits-1:0] decoded [Pixels*InLanes];

    always_comb begin
      for (int i = 0; i < int'(Pixels * InLanes); i++) begin
        index[i] = tap_codes[i*int'(InBits)+:InBits];
        acts_q[i*int'(ActBits)+:ActBits] = decoded[i];
      end
    end

    nf_table #(
      .Lanes(Pixels * InLanes),
      .IndexBits(InBits),
      .DataBits(ActBits),
      .File(CodebookFile)
    ) u_codebook (
      .clk_i,
      .load_i(shown_q),
      .index_i(index),
      .data_o(decoded)
    );
  end else begin : g_identity
    always_ff @(posedge clk_i) if (shown_q) acts_q <= tap_codes;
  end

  // ---------------------------------------------------------------- weights from outside
  logic [WordBits-1:0] weight_word;

  if (Streamed) begin : g_streamed
    nf_weight_stream #(
      .Bits(WordBits),
      .Slices(Packed ? Cascade : 1)
    ) u_weights (
      .clk_i,
      .rst_ni,
      .s_data_i(w_data_i),
      .s_valid_i(w_valid_i),
      .s_ready_o(w_ready_o),
      .valid_o(word_here),
      .next_i(tap_valid),
      .data_o(weight_word)
    );
  end else begin : g_stored
    assign word_here = 1'b1;
    assign weight_word = '0;
    assign w_ready_o = 1'b0;
    logic unused_words;
    assign unused_words = ^{w_data_i, w_valid_i};
  end

  // ---------------------------------------------------------------- multiply-accumulate
  logic acc_valid, acc_end;
  logic [Pe*Pixels*AccBits-1:0] acc;
  logic [Pixels*WindowBits-1:0] window_sums;

  if (Packed) begin : g_packed
    nf_conv_packed #(
      .Core(Core),
      .Pe(Pe),
      .Simd(Simd),
      .Pixels(Pixels),
      .Cascade(Cascade),
      .Folds(Folds / Groups),
      .ActBits(ActBits),
      .OperandBits(OperandBits),
      .AccBits(AccBits),
      .WindowBits(WindowBits),
      .HasOffset(OffsetBits > 0),
      .WeightDepth(WeightDepth),
      .WeightFile(WeightFile),
      .WeightStyle(WeightStyle),
      .LoadWeights(LoadWeights)
    ) u_core (
      .clk_i,
      .rst_ni,
      .load_write_i,
      .load_addr_i,
      .load_data_i,
      .word_i(weight_word),
      .tap_valid_i(tap_valid),
      .tap_first_i(tap_first),
      .tap_last_i(tap_last),
      .tap_row_i(tap_row),
      .tap_silent_i(tap_silent),
      .act_i(acts_q),
      .valid_o(acc_valid),
      .acc_o(acc),
      .sum_o(window_sums)
    );
    assign acc_end = 1'b0;
    logic unused_end;
    assign unused_end = tap_end;
  end else begin : g_plain
    nf_conv_plain #(
      .Depthwise(Depthwise),
      .Pe(Pe),
      .Simd(Simd),
      .FoldTaps(FoldTaps),
      .UseDsp(UseDsp),
      .ActBits(ActBits),
      .WeightBits(WeightBits),
      .WeightDepth(WeightDepth),
      .SelectBits(SelectBits),
      .AffineSelect(AffineSelect),
      .SelectByChannel(SelectByChannel),
      .SelectTaps(SelectTaps),
      .SelectDepth(SelectDepth),
      .FactorBits(FactorBits),
      .FactorByChannel(FactorByChannel),
      .FactorTaps(FactorTaps),
      .FactorDepth(FactorDepth),
      .PartBits(PartBits),
      .OperandBits(OperandBits),
      .AccBits(AccBits),
      .WeightFile(WeightFile),
      .DecodeFile(DecodeFile),
      .SelectFile(SelectFile),
      .FactorFile(FactorFile),
      .WeightStyle(WeightStyle),
      .LoadWeights(LoadWeights)
    ) u_core (
      .clk_i,
      .rst_ni,
      .load_write_i,
      .load_addr_i,
      .load_data_i,
      .word_i(weight_word),
      .tap_valid_i(tap_valid),
      .tap_first_i(tap_first),
      .tap_last_i(tap_last),
      .tap_end_i(tap_end),
      .act_i(acts_q),
      .valid_o(acc_valid),
      .end_o(acc_end),
      .acc_o(acc)
    );
    assign window_sums = '0;
  end

  // ---------------------------------------------------------------- requantize
  logic code_valid, code_end;
  logic [Pe*Pixels*OutBits-1:0] codes;

  nf_conv_finish #(
    .Filters(Folds * Pe),
    .Pe(Pe),
    .Pixels(Pixels),
    .RequantLanes(RequantLanes),
    .AccBits(AccBits),
    .OffsetBits(OffsetBits),
    .SumBits(WindowBits),
    .ShiftLow(ShiftLow),
    .ShiftHigh(ShiftHigh),
    .PreBits(PreBits),
    .Low(Low),
    .High(High),
    .OutBits(OutBits),
    .RequantFile(RequantFile),
    .OffsetFile(OffsetFile),
    .TableFile(TableFile)
  ) u_finish (
    .clk_i,
    .rst_ni,
    .valid_i(acc_valid),
    .end_i(acc_end),
    .acc_i(acc),
    .sum_i(window_sums),
    .valid_o(code_valid),
    .end_o(code_end),
    .code_o(codes)
  );

  // ---------------------------------------------------------------- output queue, order
  // Places for the folds under way, so that a reader that is always ready never holds one up.
  logic queue_valid, queue_ready, queue_end;
  logic [Pe*Pixels*OutBits-1:0] queue_codes;

  nf_output_queue #(
    .Bits(Pe * Pixels * OutBits + 1),
    .Depth(QueueDepth)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(may_start),
    .take_i(tap_valid & tap_first & ~tap_silent),
    .push_i(code_valid),
    .data_i({code_end, codes}),
    .m_data_o({queue_end, queue_codes}),
    .m_valid_o(queue_valid),
    .m_ready_i(queue_ready)
  );

  if (Packed) begin : g_order
    nf_pixel_order #(
      .CodeBits(OutBits),
      .Pe(Pe),
      .Pixels(Pixels),
      .Lanes(OutLanes),
      .Beats(Filters / OutLanes),
      .Groups(RowGroups - Silent),
      .Rows(OutH),
      .Skip(Before % Pixels),
      .Stop((RowColumns - 1) % Pixels + 1),
      .Places(OrderPlaces)
    ) u_order (
      .clk_i,
      .rst_ni,
      .s_data_i(queue_codes),
      .s_valid_i(queue_valid),
      .s_ready_o(queue_ready),
      .m_data_o,
      .m_end_o,
      .m_valid_o,
      .m_ready_i
    );
    logic unused_queue;
    assign unused_queue = queue_end;
  end else begin : g_stream
    assign m_data_o = queue_codes;
    assign m_end_o = queue_end;
    assign m_valid_o = queue_valid;
    assign queue_ready = m_ready_i;
  end
endmodule

`default_nettype wire

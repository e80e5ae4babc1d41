// SPDX-License-Identifier: Apache-2.0
//
// From the accumulators of a fold to its codes: offset, requantizer, activation table.
//
//   y[f][x] = activation[clip((((acc + offset[f]*sum[x] + bias[f]) * m[f] + (1 << (s[f]-1))) >>> s[f])
//                             + zero_point[f], Low, High)]
//
// RequantLanes accumulators go through at a time, filter by filter and in a filter pixel by pixel;
// the pixels of a filter share its parameters.
//
// Latency:       7 + Pe*Pixels/RequantLanes cycles (1 more with a table, 3 more with offsets).
// Throughput:    one fold per Pe*Pixels/RequantLanes cycles.
// Back-pressure: none; what is under way never waits.
// Golden:        sim.golden.conv, sim.golden.requantize
`default_nettype none

module nf_conv_finish #(
  parameter int unsigned Filters = 8,       // a multiple of Pe
  parameter int unsigned Pe = 4,            // filters of a fold
  parameter int unsigned Pixels = 1,        // pixels of a fold
  parameter int unsigned RequantLanes = 4,  // divides Pe*Pixels; a divisor or multiple of Pixels
  parameter int unsigned AccBits = 18,
  parameter int unsigned OffsetBits = 0,    // signed bits of an offset; 0: none
  parameter int unsigned SumBits = 1,       // unsigned bits of the sum of a window
  parameter int unsigned ShiftLow = 1,
  parameter int unsigned ShiftHigh = 47,
  parameter int unsigned PreBits = 4,       // bits of the requantized code
  parameter int unsigned Low = 0,
  parameter int unsigned High = 15,
  parameter int unsigned OutBits = 4,       // bits of an output code; PreBits without a table
  parameter string RequantFile = "",        // words of the parameters of a step
  parameter string OffsetFile = "",         // words of the offsets of a step
  parameter string TableFile = ""           // output code of every requantized code; "": identity
) (
  input  wire logic                         clk_i,
  input  wire logic                         rst_ni,
  input  wire logic                         valid_i,
  input  wire logic                         end_i,   // sideband, returned
  input  wire logic [Pe*Pixels*AccBits-1:0] acc_i,   // filter p, pixel x at p*Pixels + x
  input  wire logic [Pixels*SumBits-1:0]    sum_i,
  output logic                              valid_o,
  output logic                              end_o,
  output logic [Pe*Pixels*OutBits-1:0]      code_o
);
  localparam bit HasTable = TableFile != "";
  localparam int unsigned Sets = (RequantLanes > Pixels) ? RequantLanes / Pixels : 1;
  localparam int unsigned Hold = (RequantLanes < Pixels) ? Pixels / RequantLanes : 1;
  localparam int unsigned ShiftBits =
      (ShiftHigh > ShiftLow) ? $clog2(ShiftHigh - ShiftLow + 1) : 1;
  localparam int unsigned ParamBits = AccBits + 17 + ShiftBits + PreBits + 1;

  if (!HasTable && PreBits != OutBits) begin : g_check_bits
    $fatal(1, "OutBits (%0d) must be PreBits (%0d) without a table", OutBits, PreBits);
  end
  if (RequantLanes % Pixels != 0 && Pixels % RequantLanes != 0) begin : g_check_lanes
    $fatal(1, "RequantLanes (%0d) must divide Pixels (%0d) or be a multiple of it", RequantLanes,
           Pixels);
  end

  // ---------------------------------------------------------------- steps
  logic narrow_valid, narrow_last, narrow_end, step_valid, step_last, step_end;
  logic [RequantLanes*AccBits-1:0] narrow_acc, step_acc;

  nf_narrow #(
    .LaneBits(AccBits),
    .LanesIn(Pe * Pixels),
    .LanesOut(RequantLanes)
  ) u_narrow (
    .clk_i,
    .rst_ni,
    .valid_i,
    .end_i,
    .data_i(acc_i),
    .valid_o(narrow_valid),
    .last_o(narrow_last),
    .end_o(narrow_end),
    .data_o(narrow_acc)
  );

  if (OffsetBits > 0) begin : g_offset
    nf_offset #(
      .Lanes(RequantLanes),
      .Pixels(Pixels),
      .Filters(Filters),
      .AccBits(AccBits),
      .SumBits(SumBits),
      .OffsetBits(OffsetBits),
      .File(OffsetFile)
    ) u_offset (
      .clk_i,
      .rst_ni,
      .valid_i(narrow_valid),
      .first_i(valid_i),
      .last_i(narrow_last),
      .end_i(narrow_end),
      .acc_i(narrow_acc),
      .sum_i,
      .valid_o(step_valid),
      .last_o(step_last),
      .end_o(step_end),
      .acc_o(step_acc)
    );
  end else begin : g_whole
    assign step_valid = narrow_valid;
    assign step_last = narrow_last;
    assign step_end = narrow_end;
    assign step_acc = narrow_acc;
    logic unused_sum;
    assign unused_sum = ^sum_i;
  end

  // ---------------------------------------------------------------- requantize
  logic pre_valid, pre_last, pre_end, param_next;
  logic [Sets*ParamBits-1:0] param_word;
  logic [RequantLanes*ParamBits-1:0] params;
  logic [RequantLanes*PreBits-1:0] pre_codes;

  if (Hold == 1) begin : g_every
    assign param_next = step_valid;
  end else begin : g_hold
    logic first, unused_last;
    nf_tap_count #(
      .Taps(Hold)
    ) u_steps (
      .clk_i,
      .rst_ni,
      .valid_i(step_valid),
      .first_o(first),
      .last_o(unused_last)
    );
    assign param_next = step_valid & first;
  end

  nf_rom_cycle #(
    .Bits(Sets * ParamBits),
    .Depth(Filters / Sets),
    .File(RequantFile)
  ) u_params (
    .clk_i,
    .rst_ni,
    .next_i(param_next),
    .data_o(param_word)
  );

  for (genvar i = 0; i < RequantLanes; i++) begin : g_params
    assign params[i*ParamBits+:ParamBits] =
        param_word[((Sets > 1) ? i / Pixels : 0)*ParamBits+:ParamBits];
  end

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
  logic code_valid, code_last;
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
      end_o <= pre_end;
    end
  end else begin : g_linear
    assign codes = pre_codes;
    assign code_valid = pre_valid;
    assign code_last = pre_last;
    assign end_o = pre_end;
  end

  nf_widen #(
    .LaneBits(OutBits),
    .LanesIn(RequantLanes),
    .LanesOut(Pe * Pixels)
  ) u_widen (
    .clk_i,
    .valid_i(code_valid),
    .last_i(code_last),
    .data_i(codes),
    .valid_o,
    .data_o(code_o)
  );
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Adds to an accumulator what a shift of all weights of its filter makes of the window.
//
//   acc_o = acc_i + offset[f] * sum_i[x]          modulo 2**AccBits
//
// Accumulators come in steps of Lanes, filter by filter and in a filter pixel by pixel.
//
// Latency:       3 cycles.
// Throughput:    one step per cycle.
// Back-pressure: none; what is under way never waits.
// Golden:        sim.golden.conv
`default_nettype none

module nf_offset #(
  parameter int unsigned Lanes = 2,       // accumulators of a step: a divisor or a multiple of Pixels
  parameter int unsigned Pixels = 2,
  parameter int unsigned Filters = 8,
  parameter int unsigned AccBits = 18,
  parameter int unsigned SumBits = 12,    // unsigned bits of the sum of a window
  parameter int unsigned OffsetBits = 5,  // signed bits of an offset
  parameter string File = "",             // words of offsets, of the filters of a step each
  localparam int unsigned Sets = (Lanes > Pixels) ? Lanes / Pixels : 1
) (
  input  wire logic                      clk_i,
  input  wire logic                      rst_ni,
  input  wire logic                      valid_i,
  input  wire logic                      first_i,  // first step of a fold: sum_i is its window's
  input  wire logic                      last_i,   // sidebands, returned
  input  wire logic                      end_i,
  input  wire logic [Lanes*AccBits-1:0]  acc_i,
  input  wire logic [Pixels*SumBits-1:0] sum_i,
  output logic                           valid_o,
  output logic                           last_o,
  output logic                           end_o,
  output logic [Lanes*AccBits-1:0]       acc_o
);
  localparam int unsigned Hold = (Lanes < Pixels) ? Pixels / Lanes : 1;  // steps of a filter
  localparam int unsigned StepW = (Hold > 1) ? $clog2(Hold) : 1;

  logic [2:0] valid_q, last_q, end_q;
  always_ff @(posedge clk_i) begin
    last_q <= 3'({last_q, last_i});
    end_q <= 3'({end_q, end_i});
    if (!rst_ni) valid_q <= '0;
    else valid_q <= 3'({valid_q, valid_i});
  end
  assign valid_o = valid_q[2];
  assign last_o = last_q[2];
  assign end_o = end_q[2];

  // ---------------------------------------------------------------- which pixel
  logic [StepW-1:0] step_q;
  logic [Pixels*SumBits-1:0] kept_q, sums;

  assign sums = first_i ? sum_i : kept_q;
  always_ff @(posedge clk_i) begin
    if (valid_i) kept_q <= sums;
    if (!rst_ni) step_q <= '0;
    else if (valid_i) step_q <= (step_q == StepW'(Hold - 1)) ? '0 : step_q + 1'b1;
  end

  logic signed [OffsetBits-1:0] offsets [Sets];
  logic [Sets*OffsetBits-1:0] word;
  nf_rom_cycle #(
    .Bits(Sets * OffsetBits),
    .Depth(Filters / Sets),
    .File(File)
  ) u_offsets (
    .clk_i,
    .rst_ni,
    .next_i(valid_i & (step_q == '0)),
    .data_o(word)
  );
  for (genvar f = 0; f < Sets; f++) begin : g_set
    assign offsets[f] = $signed(word[f*OffsetBits+:OffsetBits]);
  end

  // ---------------------------------------------------------------- product, sum
  // Of the product only what the accumulator keeps.
  localparam int unsigned WholeBits = SumBits + 1 + OffsetBits;
  localparam int unsigned ProductBits = (WholeBits < AccBits) ? WholeBits : AccBits;
  for (genvar i = 0; i < Lanes; i++) begin : g_lane
    logic [SumBits-1:0] picked, sum_1;
    logic signed [ProductBits-1:0] product_2;
    logic signed [AccBits-1:0] acc_1, acc_2, acc_3;

    if (Hold == 1) begin : g_fixed
      assign picked = sums[(i%Pixels)*SumBits+:SumBits];
    end else begin : g_step
      assign picked = sums[(32'(step_q)*Lanes+i)*SumBits+:SumBits];
    end
    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        sum_1 <= picked;
        acc_1 <= $signed(acc_i[i*AccBits+:AccBits]);
      end
      if (valid_q[0]) begin
        product_2 <= ProductBits'($signed({1'b0, sum_1}))
                     * ProductBits'(offsets[(Lanes > Pixels) ? i / Pixels : 0]);
        acc_2 <= acc_1;
      end
      if (valid_q[1]) acc_3 <= acc_2 + AccBits'(product_2);
    end
    assign acc_o[i*AccBits+:AccBits] = acc_3;
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
// Somebody else's convolution: whole frame in a memory, one multiplication per cycle, no pipeline.
//
//   acc = bias[f] + sum(code * weight)                      pads carry ZeroCode
//   y   = clip(((acc * m[f] + 2^(s[f]-1)) >>> s[f]) + zero[f], Low, High), then table[y] if there
//
// Nothing here comes from nibbleflow's cells; only the numbers do: the .mem files that
// `nibbleflow vectors` writes. Codes enter and leave in stream order: row, column, channel.
// Throughput: one output per InChannels*KernelHeight*KernelWidth + 1 cycles. No back-pressure.
`timescale 1ns/1ns
`default_nettype none

module plain_conv #(
  parameter int InChannels   = 1,  // codes per pixel
  parameter int InHeight     = 1,  // pixels
  parameter int InWidth      = 1,  // pixels
  parameter int OutHeight    = 1,  // pixels
  parameter int OutWidth     = 1,  // pixels
  parameter int Filters      = 1,
  parameter int KernelHeight = 1,
  parameter int KernelWidth  = 1,
  parameter int StrideDown   = 1,
  parameter int StrideRight  = 1,
  parameter int PadTop       = 0,
  parameter int PadLeft      = 0,
  parameter int InBits       = 8,
  parameter int OutBits      = 8,
  parameter int WeightBits   = 5,  // two's complement
  parameter int PreBits      = 8,  // requantized code, before the table
  parameter int ZeroCode     = 0,
  parameter int Low          = 0,
  parameter int High         = 255,
  parameter bit HasTable     = 1'b0
) (
  input  wire logic                clk_i,
  input  wire logic                rst_i,     // synchronous, active high
  input  wire logic                valid_i,
  input  wire logic [InBits-1:0]   code_i,
  output logic                     ready_o,
  output logic                     valid_o,
  output logic [OutBits-1:0]       code_o,
  output logic signed [31:0]       acc_o,     // for the bench: the sum behind code_o
  output logic                     done_o
);

  localparam int Pixels  = InHeight * InWidth;
  localparam int Taps    = InChannels * KernelHeight * KernelWidth;

  logic        [InBits-1:0]     frame      [Pixels * InChannels];
  logic signed [WeightBits-1:0] weights    [Filters * Taps];  // filter, channel, row, column
  logic signed [31:0]           bias       [Filters];
  logic        [16:0]           multiplier [Filters];
  logic        [5:0]            shift      [Filters];
  logic        [PreBits-1:0]    zero       [Filters];
  logic        [OutBits-1:0]    table_mem  [1 << PreBits];

  initial begin
    $readmemh("weights.mem", weights);
    $readmemh("bias.mem", bias);
    $readmemh("requant.multiplier.mem", multiplier);
    $readmemh("requant.shift.mem", shift);
    $readmemh("requant.zero_point.mem", zero);
    if (HasTable) $readmemh("table.mem", table_mem);
  end

  typedef enum logic [1:0] {Load, Multiply, Finish, Done} state_e;
  state_e state;

  int taken;                 // codes of the frame so far
  int row, column, filter;   // output position
  int channel, ky, kx, tap;  // position in the window; tap counts as the weights lie
  logic signed [31:0] acc;

  // The code under the window, or the pad's.
  int y, x;
  logic on_frame;
  logic [InBits-1:0] code;
  always_comb begin
    y        = row * StrideDown + ky - PadTop;
    x        = column * StrideRight + kx - PadLeft;
    on_frame = y >= 0 && y < InHeight && x >= 0 && x < InWidth;
    code     = on_frame ? frame[(y * InWidth + x) * InChannels + channel] : InBits'(ZeroCode);
  end

  // Requantize the finished sum.
  logic signed [49:0] acc_product, rounded, pre;
  always_comb begin
    acc_product = acc * $signed({1'b0, multiplier[filter]});
    rounded     = acc_product + (50'sd1 <<< (shift[filter] - 6'd1));
    pre         = (rounded >>> shift[filter]) + $signed(50'(zero[filter]));
    if (pre < 50'(Low))  pre = 50'(Low);
    if (pre > 50'(High)) pre = 50'(High);
  end

  assign ready_o = state == Load;
  assign valid_o = state == Finish;
  assign done_o  = state == Done;
  assign acc_o   = acc;
  assign code_o  = HasTable ? table_mem[PreBits'(pre)] : OutBits'(pre);

  always_ff @(posedge clk_i) begin
    case (state)
      Load: if (valid_i) begin
        frame[taken] <= code_i;
        taken        <= taken + 1;
        if (taken == Pixels * InChannels - 1) state <= Multiply;
      end

      Multiply: begin
        acc <= acc + $signed({1'b0, code}) * weights[filter * Taps + tap];
        tap <= tap + 1;
        kx  <= kx + 1;
        if (kx == KernelWidth - 1) begin
          kx <= 0;
          ky <= ky + 1;
          if (ky == KernelHeight - 1) begin
            ky      <= 0;
            channel <= channel + 1;
            if (channel == InChannels - 1) state <= Finish;
          end
        end
      end

      Finish: begin
        channel <= 0;
        tap     <= 0;
        acc     <= bias[filter == Filters - 1 ? 0 : filter + 1];
        state   <= Multiply;
        filter  <= filter + 1;
        if (filter == Filters - 1) begin
          filter <= 0;
          column <= column + 1;
          if (column == OutWidth - 1) begin
            column <= 0;
            row    <= row + 1;
            if (row == OutHeight - 1) state <= Done;
          end
        end
      end

      default: ;
    endcase

    if (rst_i) begin
      state  <= Load;
      taken  <= 0;
      row    <= 0;
      column <= 0;
      filter <= 0;
      {channel, ky, kx, tap} <= '0;
      acc    <= bias[0];
    end
  end

endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
// Test bench: input.mem goes in, output.mem and accumulator.mem come out.
//
// Plain SystemVerilog: any simulator runs it in a folder with the .mem files of one node. The
// parameters are those of plain_conv; simulate.py takes them from vector.json.
`timescale 1ns/1ns
`default_nettype none

module bench #(
  parameter int InChannels   = 1,
  parameter int InHeight     = 1,
  parameter int InWidth      = 1,
  parameter int OutHeight    = 1,
  parameter int OutWidth     = 1,
  parameter int Filters      = 1,
  parameter int KernelHeight = 1,
  parameter int KernelWidth  = 1,
  parameter int StrideDown   = 1,
  parameter int StrideRight  = 1,
  parameter int PadTop       = 0,
  parameter int PadLeft      = 0,
  parameter int InBits       = 8,
  parameter int OutBits      = 8,
  parameter int WeightBits   = 5,
  parameter int PreBits      = 8,
  parameter int ZeroCode     = 0,
  parameter int Low          = 0,
  parameter int High         = 255,
  parameter bit HasTable     = 1'b0
);

  localparam int InCodes  = InChannels * InHeight * InWidth;
  localparam int OutCodes = Filters * OutHeight * OutWidth;

  logic [InBits-1:0]  input_codes  [InCodes];
  logic [OutBits-1:0] output_codes [OutCodes];
  logic [31:0]        sums         [OutCodes];

  logic clk = 1'b0;
  logic rst = 1'b1;
  logic in_ready, out_valid, done;
  logic [OutBits-1:0] out_code;
  logic signed [31:0] out_acc;
  int sent = 0;
  int received = 0;

  always #5 clk = !clk;

  initial begin
    $readmemh("input.mem", input_codes);
    repeat (3) @(posedge clk);
    #1 rst = 1'b0;  // between the edges
    wait (done);
    if (received != OutCodes) $fatal(1, "%0d outputs, expected %0d", received, OutCodes);
    $writememh("output.mem", output_codes);
    $writememh("accumulator.mem", sums);
    $finish;
  end

  plain_conv #(
    .InChannels  (InChannels),
    .InHeight    (InHeight),
    .InWidth     (InWidth),
    .OutHeight   (OutHeight),
    .OutWidth    (OutWidth),
    .Filters     (Filters),
    .KernelHeight(KernelHeight),
    .KernelWidth (KernelWidth),
    .StrideDown  (StrideDown),
    .StrideRight (StrideRight),
    .PadTop      (PadTop),
    .PadLeft     (PadLeft),
    .InBits      (InBits),
    .OutBits     (OutBits),
    .WeightBits  (WeightBits),
    .PreBits     (PreBits),
    .ZeroCode    (ZeroCode),
    .Low         (Low),
    .High        (High),
    .HasTable    (HasTable)
  ) dut (
    .clk_i  (clk),
    .rst_i  (rst),
    .valid_i(!rst && sent < InCodes),
    .code_i (input_codes[sent < InCodes ? sent : 0]),
    .ready_o(in_ready),
    .valid_o(out_valid),
    .code_o (out_code),
    .acc_o  (out_acc),
    .done_o (done)
  );

  always_ff @(posedge clk) begin
    if (!rst && in_ready && sent < InCodes) sent <= sent + 1;
    if (!rst && out_valid) begin
      output_codes[received] <= out_code;
      sums[received]         <= out_acc;
      received               <= received + 1;
    end
  end

endmodule

`default_nettype wire

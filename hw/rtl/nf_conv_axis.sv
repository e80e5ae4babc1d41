// SPDX-License-Identifier: Apache-2.0
//
// AXI4-Stream face of nf_conv: byte-padded ports, tlast on the last output beat of a frame.
//
// Codes fill a beat from bit 0; the padding above them is ignored on input and zero on output.
// Frames are counted, so s_axis_0_tlast is ignored: a frame has exactly Channels*Height*Width codes.
//
// Parameters:    as nf_conv, with the same units and ranges.
// Latency, throughput, back-pressure: as nf_conv.
// Golden:        sim.golden.conv
`default_nettype none

module nf_conv_axis #(
  parameter int unsigned Channels = 8,
  parameter int unsigned Height = 8,
  parameter int unsigned Width = 8,
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
  parameter int unsigned Pe = 4,
  parameter int unsigned Simd = 4,
  parameter string Core = "plain",
  parameter bit UseDsp = 1'b0,
  parameter int unsigned Cascade = 1,
  parameter int unsigned OutLanes = 4,
  parameter int unsigned OrderPlaces = 1,
  parameter int unsigned QueueDepth = 16,
  parameter int unsigned RequantLanes = 4,
  parameter int unsigned BufferPixels = 32,
  parameter int unsigned InBits = 4,
  parameter int unsigned ActBits = 4,
  parameter int unsigned ZeroCode = 0,
  parameter int unsigned WeightBits = 4,
  parameter int unsigned SelectBits = 0,
  parameter bit AffineSelect = 1'b0,
  parameter bit SelectByChannel = 1'b0,
  parameter int unsigned SelectTaps = 18,
  parameter int unsigned SelectDepth = 2,
  parameter int unsigned FactorBits = 0,
  parameter bit FactorByChannel = 1'b0,
  parameter int unsigned FactorTaps = 18,
  parameter int unsigned FactorDepth = 2,
  parameter int unsigned PartBits = 18,
  parameter int unsigned OffsetBits = 0,
  parameter int unsigned WindowBits = 1,
  parameter int unsigned OperandBits = 5,
  parameter int unsigned AccBits = 18,
  parameter int unsigned ShiftLow = 1,
  parameter int unsigned ShiftHigh = 47,
  parameter int unsigned PreBits = 4,
  parameter int unsigned Low = 0,
  parameter int unsigned High = 15,
  parameter int unsigned OutBits = 4,
  parameter string WeightFile = "",
  parameter string DecodeFile = "",
  parameter string SelectFile = "",
  parameter string FactorFile = "",
  parameter string OffsetFile = "",
  parameter string RequantFile = "",
  parameter string CodebookFile = "",
  parameter string TableFile = "",
  localparam int unsigned InCodeBits = (Depthwise ? Pe : Simd) * InBits,
  localparam int unsigned OutCodeBits = OutLanes * OutBits,
  localparam int unsigned InPortBits = (InCodeBits + 7) / 8 * 8,
  localparam int unsigned OutPortBits = (OutCodeBits + 7) / 8 * 8
) (
  input  wire logic                   ap_clk,
  input  wire logic                   ap_rst_n,
  input  wire logic [InPortBits-1:0]  s_axis_0_tdata,
  input  wire logic                   s_axis_0_tvalid,
  output logic                        s_axis_0_tready,
  input  wire logic                   s_axis_0_tlast,
  output logic [OutPortBits-1:0]      m_axis_0_tdata,
  output logic                        m_axis_0_tvalid,
  input  wire logic                   m_axis_0_tready,
  output logic                        m_axis_0_tlast
);
  logic [OutCodeBits-1:0] codes;
  logic unused_word;

  nf_conv #(
    .Channels(Channels),
    .Height(Height),
    .Width(Width),
    .Filters(Filters),
    .Groups(Groups),
    .KernelH(KernelH),
    .KernelW(KernelW),
    .StrideH(StrideH),
    .StrideW(StrideW),
    .PadTop(PadTop),
    .PadLeft(PadLeft),
    .PadBottom(PadBottom),
    .PadRight(PadRight),
    .Depthwise(Depthwise),
    .Pe(Pe),
    .Simd(Simd),
    .Core(Core),
    .UseDsp(UseDsp),
    .Cascade(Cascade),
    .OutLanes(OutLanes),
    .OrderPlaces(OrderPlaces),
    .QueueDepth(QueueDepth),
    .RequantLanes(RequantLanes),
    .BufferPixels(BufferPixels),
    .InBits(InBits),
    .ActBits(ActBits),
    .ZeroCode(ZeroCode),
    .WeightBits(WeightBits),
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
    .OffsetBits(OffsetBits),
    .WindowBits(WindowBits),
    .OperandBits(OperandBits),
    .AccBits(AccBits),
    .ShiftLow(ShiftLow),
    .ShiftHigh(ShiftHigh),
    .PreBits(PreBits),
    .Low(Low),
    .High(High),
    .OutBits(OutBits),
    .WeightFile(WeightFile),
    .DecodeFile(DecodeFile),
    .SelectFile(SelectFile),
    .FactorFile(FactorFile),
    .OffsetFile(OffsetFile),
    .RequantFile(RequantFile),
    .CodebookFile(CodebookFile),
    .TableFile(TableFile)
  ) u_conv (
    .clk_i(ap_clk),
    .rst_ni(ap_rst_n),
    .s_data_i(s_axis_0_tdata[InCodeBits-1:0]),
    .s_valid_i(s_axis_0_tvalid),
    .w_ready_o(unused_word),
    .s_ready_o(s_axis_0_tready),
    .m_data_o(codes),
    .m_end_o(m_axis_0_tlast),
    .m_valid_o(m_axis_0_tvalid),
    .m_ready_i(m_axis_0_tready)
  );

  assign m_axis_0_tdata = OutPortBits'(codes);

  logic unused_input;
  assign unused_input = ^{s_axis_0_tdata, s_axis_0_tlast};
endmodule

`default_nettype wire

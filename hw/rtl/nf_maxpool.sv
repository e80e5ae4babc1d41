// SPDX-License-Identifier: Apache-2.0
//
// Max pool of any kernel, stride and padding below the kernel: rows first, then columns.
//
//   r[y][ox][c]  = max over kw of x[y][ox*StrideW - PadLeft + kw][c]       (horizontal pass)
//   y[oy][ox][c] = max over kh of r[oy*StrideH - PadTop + kh][ox][c]       (vertical pass)
//
// Padding never wins. The horizontal pass holds a few pixels, the vertical one KernelH - 1 lines of
// the narrower picture between them. A direction in which nothing happens (kernel and stride 1) has
// no pass; when that holds for both, one pass carries the codes through.
//
// Latency:       3 cycles per pass from the last tap of a window's beat to its beat.
// Throughput:    KernelW cycles per beat between the passes and KernelH per output beat, whichever
//                takes longer in a frame; one input beat per cycle at most.
// Back-pressure: m_ready_i low fills the output queues of the passes, then the line buffers.
// Golden:        sim.golden.pool
`default_nettype none

module nf_maxpool #(
  parameter int unsigned Channels = 8,
  parameter int unsigned Lanes = 4,        // channels of a beat, divides Channels
  parameter int unsigned CodeBits = 4,     // bits of a code
  parameter int unsigned Height = 8,       // rows of the input
  parameter int unsigned Width = 8,        // columns of the input
  parameter int unsigned KernelH = 3,
  parameter int unsigned KernelW = 3,
  parameter int unsigned StrideH = 1,
  parameter int unsigned StrideW = 1,
  parameter int unsigned PadTop = 1,
  parameter int unsigned PadLeft = 1,
  parameter int unsigned PadBottom = 1,
  parameter int unsigned PadRight = 1,
  parameter int unsigned RowPixels = 4,    // depth of the horizontal pass's buffer
  parameter int unsigned ColumnPixels = 18 // depth of the vertical pass's buffer
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
  localparam bit HasColumns = KernelH > 1 || StrideH > 1;
  localparam bit HasRows = KernelW > 1 || StrideW > 1 || !HasColumns;
  localparam int unsigned OutW = (Width + PadLeft + PadRight - KernelW) / StrideW + 1;

  logic [Lanes*CodeBits-1:0] row_data;
  logic row_valid, row_ready;

  if (HasRows) begin : g_rows
    nf_maxpool_pass #(
      .Channels(Channels),
      .Lanes(Lanes),
      .CodeBits(CodeBits),
      .Height(Height),
      .Width(Width),
      .KernelH(1),
      .KernelW(KernelW),
      .StrideH(1),
      .StrideW(StrideW),
      .PadTop(0),
      .PadLeft(PadLeft),
      .PadBottom(0),
      .PadRight(PadRight),
      .BufferPixels(RowPixels)
    ) u_rows (
      .clk_i,
      .rst_ni,
      .s_data_i,
      .s_valid_i,
      .s_ready_o,
      .m_data_o(row_data),
      .m_valid_o(row_valid),
      .m_ready_i(row_ready)
    );
  end else begin : g_no_rows
    assign row_data = s_data_i;
    assign row_valid = s_valid_i;
    assign s_ready_o = row_ready;
  end

  if (HasColumns) begin : g_columns
    nf_maxpool_pass #(
      .Channels(Channels),
      .Lanes(Lanes),
      .CodeBits(CodeBits),
      .Height(Height),
      .Width(OutW),
      .KernelH(KernelH),
      .KernelW(1),
      .StrideH(StrideH),
      .StrideW(1),
      .PadTop(PadTop),
      .PadLeft(0),
      .PadBottom(PadBottom),
      .PadRight(0),
      .BufferPixels(ColumnPixels)
    ) u_columns (
      .clk_i,
      .rst_ni,
      .s_data_i(row_data),
      .s_valid_i(row_valid),
      .s_ready_o(row_ready),
      .m_data_o,
      .m_valid_o,
      .m_ready_i
    );
  end else begin : g_no_columns
    assign m_data_o = row_data;
    assign m_valid_o = row_valid;
    assign row_ready = m_ready_i;
  end
endmodule

`default_nettype wire

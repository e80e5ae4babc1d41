// SPDX-License-Identifier: Apache-2.0
//
// Line buffer and window generator: replays every window of a streamed picture, tap by tap.
//
//   for each window (row oy, then column ox), for each output fold f:
//     for kh, kw, channel fold c of f's group:
//       tap[i] = x[oy*StrideH - PadTop + kh][ox*StrideW - PadLeft + kw + i*Apart][c], i < Pixels
//   Taps outside the picture carry ZeroCode in every lane.
//
// With several pixels a tap, a window is that many windows of a layer side by side (Apart the
// layer's stride, StrideW as many strides), or so many neighbouring columns (KernelW = 1).
//
// A circular buffer of BufferPixels whole pixels is written while it is read. A window starts once
// the last pixel that it needs has been written; a pixel is released once no later window needs it.
// Frames follow each other without a gap: reader and writer count pixels, not frames.
//
// Latency:       a window may start in the cycle after its last pixel arrived; tap data follows its
//                tap_valid_o by one cycle (RAM output register).
// Throughput:    one tap per cycle, one input beat per cycle.
// Back-pressure: start_i low holds the reader before the first tap of an output fold, go_i low before
//                any tap; else taps of a fold flow without a gap. s_ready_o is low while the buffer
//                holds BufferPixels.
// Golden:        sim.golden.conv
`default_nettype none

module nf_window #(
  parameter int unsigned CodeBits = 4,          // bits of a code, 1..16
  parameter int unsigned CodesPerBeat = 1,      // codes of one input beat
  parameter int unsigned ChannelFolds = 1,      // beats of one pixel
  parameter int unsigned Groups = 1,            // divides ChannelFolds
  parameter int unsigned GroupOutputFolds = 1,  // output folds that read the same group
  parameter int unsigned Height = 8,            // rows of the input picture
  parameter int unsigned Width = 8,             // columns of the input picture
  parameter int unsigned KernelH = 3,
  parameter int unsigned KernelW = 3,
  parameter int unsigned StrideH = 1,
  parameter int unsigned StrideW = 1,
  parameter int unsigned PadTop = 1,
  parameter int unsigned PadLeft = 1,
  parameter int unsigned PadBottom = 1,
  parameter int unsigned PadRight = 1,
  parameter int unsigned ZeroCode = 0,          // code that means real 0
  parameter int unsigned Pixels = 1,            // pixels of a tap
  parameter int unsigned Apart = 1,             // columns from one to the next
  parameter int unsigned BufferPixels = 32,     // pixels held, at least one window's span
  parameter int unsigned Columns =              // windows of a row
      (Width + PadLeft + PadRight - KernelW) / StrideW + 1
) (
  input  wire logic                             clk_i,
  input  wire logic                             rst_ni,
  // Input beats: channel fold fastest, then column, then row.
  input  wire logic [CodesPerBeat*CodeBits-1:0] s_data_i,
  input  wire logic                             s_valid_i,
  output logic                                  s_ready_o,
  // Permission to begin one more output fold.
  input  wire logic                             start_i,
  // Permission to go through one more tap.
  input  wire logic                             go_i = 1'b1,
  // Tap flags of this cycle.
  output logic                                  tap_valid_o,
  output logic                                  tap_first_o,  // first tap of an output fold
  output logic                                  tap_last_o,   // last tap of an output fold
  output logic                                  tap_end_o,    // last tap of the frame
  // Codes of the last tap, from the cycle after it.
  output logic [Pixels*CodesPerBeat*CodeBits-1:0] tap_data_o
);
  localparam int unsigned OutH = (Height + PadTop + PadBottom - KernelH) / StrideH + 1;
  localparam int unsigned GroupFolds = ChannelFolds / Groups;
  // A tap reads one pixel of as many banks as it has pixels, out of Banks (nf_window_banks).
  localparam int unsigned Banks = Pixels * Apart;
  localparam int unsigned Depth = BufferPixels / Banks * ChannelFolds;  // words of a bank
  localparam int unsigned WindowCols = (Pixels - 1) * Apart + KernelW;
  localparam int unsigned SpanCols = (WindowCols < Width) ? WindowCols : Width;
  // With more kernel rows than picture rows the upper windows of two lines begin in the same row.
  localparam int unsigned MinPixels =
      (KernelH > Height) ? Height * Width : (KernelH - 1) * Width + SpanCols;

  if (ChannelFolds % Groups != 0) begin : g_check_groups
    $fatal(1, "Groups (%0d) must divide ChannelFolds (%0d)", Groups, ChannelFolds);
  end
  if (BufferPixels < MinPixels || BufferPixels % Banks != 0) begin : g_check_buffer
    $fatal(1, "BufferPixels (%0d) must be at least %0d, the span of a window, and divide by %0d",
           BufferPixels, MinPixels, Banks);
  end
  if (KernelH > Height + PadTop + PadBottom
      || (Pixels == 1 && KernelW > Width + PadLeft + PadRight)) begin : g_check_kernel
    $fatal(1, "Kernel %0dx%0d exceeds the padded picture %0dx%0d", KernelH, KernelW,
           Height + PadTop + PadBottom, Width + PadLeft + PadRight);
  end
  if (PadTop >= KernelH || PadBottom >= KernelH
      || (Pixels == 1 && (PadLeft >= KernelW || PadRight >= KernelW))
      || PadLeft > WindowCols) begin : g_check_padding
    $fatal(1, "Padding (%0d, %0d, %0d, %0d) must be below the kernel %0dx%0d", PadTop, PadLeft,
           PadBottom, PadRight, KernelH, KernelW);
  end
  if (ZeroCode >= 2 ** CodeBits) begin : g_check_zero
    $fatal(1, "ZeroCode (%0d) must be below %0d", ZeroCode, 2 ** CodeBits);
  end

  function automatic int unsigned width_of(int unsigned count);
    width_of = (count > 1) ? $clog2(count) : 1;
  endfunction

  localparam int unsigned AddrW = width_of(Depth);
  localparam int unsigned FoldW = width_of(ChannelFolds);
  localparam int unsigned TapFoldW = width_of(GroupFolds);
  localparam int unsigned ReplayW = width_of(GroupOutputFolds);
  localparam int unsigned GroupW = width_of(Groups);
  localparam int unsigned KhW = width_of(KernelH);
  localparam int unsigned KwW = width_of(KernelW);
  localparam int unsigned OutYW = width_of(OutH);
  localparam int unsigned OutXW = width_of(Columns);
  localparam int unsigned BankW = width_of(Banks);
  localparam int unsigned PosW = BankW + AddrW;  // a bank below an address
  // Signed coordinates reach from -Pad to the end of the last window and one step more.
  localparam int unsigned RowW = $clog2(Height + PadTop + PadBottom + KernelH + StrideH + 1) + 1;
  localparam int unsigned ColW =
      $clog2(Width + PadLeft + PadRight + WindowCols + 2 * StrideW + 1) + 1;
  // Signed pixel counts of a frame, positive or negative, with room for one step more.
  localparam int unsigned PixelW =
      $clog2((Height + PadTop + PadBottom + KernelH + StrideH + 1) * Width + BufferPixels + 1) + 2;

  // Signed constants: a size cast of an unsigned parameter would make its comparison unsigned.
  localparam logic signed [RowW-1:0] Rows = RowW'(Height);
  localparam logic signed [RowW-1:0] RowStep = RowW'(StrideH);
  localparam logic signed [RowW-1:0] RowStart = -RowW'(PadTop);
  localparam logic signed [ColW-1:0] Cols = ColW'(Width);
  localparam logic signed [ColW-1:0] ColStep = ColW'(StrideW);
  localparam logic signed [ColW-1:0] ColStart = -ColW'(PadLeft);
  localparam logic signed [ColW-1:0] ColSpan = ColW'(WindowCols);
  localparam logic signed [PixelW-1:0] LineStep = PixelW'(StrideH * Width);
  localparam logic signed [PixelW-1:0] LineStart = -PixelW'(PadTop * Width);
  localparam logic signed [PixelW-1:0] LineSpan = PixelW'((KernelH - 1) * Width);
  localparam logic signed [PixelW-1:0] LineLast = PixelW'((Height - 1) * Width);
  localparam logic signed [PixelW-1:0] FramePixels = PixelW'(Height * Width);
  localparam logic signed [PixelW-1:0] Capacity = PixelW'(BufferPixels);

  // Steps of the reader, in pixels modulo BufferPixels.
  localparam int unsigned StartPixels =
      ((PadTop * Width + PadLeft + BufferPixels - 1) / BufferPixels * BufferPixels
       - (PadTop * Width + PadLeft)) % BufferPixels;
  localparam int unsigned RowPixels =
      (Width * BufferPixels + Width - (KernelW - 1)) % BufferPixels;
  localparam int unsigned FramePixelStep =
      (Height * Width + (OutH * StrideH * Width + 1) * BufferPixels
       - (OutH - 1) * StrideH * Width) % BufferPixels;

  // Positions of the reader: from one to the next some pixels on and some beats of a pixel back.
  // Constants only, reduced so that one conditional subtraction wraps them.
  function automatic logic [PosW-1:0] advance(logic [PosW-1:0] from, int unsigned pixels,
                                              int unsigned back);
    logic [BankW:0] bank;
    logic [AddrW:0] addr;
    logic further;
    bank = {1'b0, from[BankW-1:0]} + (BankW + 1)'(pixels % Banks);
    further = bank >= (BankW + 1)'(Banks);
    if (further) bank = bank - (BankW + 1)'(Banks);
    addr = {1'b0, from[PosW-1:BankW]}
           + (further ? (AddrW + 1)'((pixels / Banks * ChannelFolds + ChannelFolds + Depth - back)
                                     % Depth)
                      : (AddrW + 1)'((pixels / Banks * ChannelFolds + Depth - back) % Depth));
    if (addr >= (AddrW + 1)'(Depth)) addr = addr - (AddrW + 1)'(Depth);
    advance = {addr[AddrW-1:0], bank[BankW-1:0]};
  endfunction

  localparam logic [PosW-1:0] Start = {AddrW'(StartPixels / Banks * ChannelFolds),
                                       BankW'(StartPixels % Banks)};

  // ---------------------------------------------------------------- writer
  logic [AddrW-1:0] write_addr_q;
  logic [BankW-1:0] write_bank_q;
  logic [FoldW-1:0] write_fold_q;
  logic write, write_pixel, write_bank_last;
  // Pixels written and released since the first pixel of the frame that the reader is in. Both may
  // leave 0..Height*Width: the writer runs ahead into the next frame, and pixels that no window
  // needs are released before they arrive.
  logic signed [PixelW-1:0] written_q, released_q;

  assign s_ready_o = written_q - released_q < Capacity;
  assign write = s_valid_i & s_ready_o;
  assign write_pixel = write & (write_fold_q == FoldW'(ChannelFolds - 1));
  assign write_bank_last = write_bank_q == BankW'(Banks - 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_addr_q <= '0;
      write_bank_q <= '0;
      write_fold_q <= '0;
    end else if (write) begin
      write_fold_q <= write_pixel ? '0 : write_fold_q + 1'b1;
      if (write_pixel) write_bank_q <= write_bank_last ? '0 : write_bank_q + 1'b1;
      if (write_pixel & ~write_bank_last) begin
        // The next bank's pixel has the same words.
        write_addr_q <= write_addr_q - AddrW'(ChannelFolds - 1);
      end else begin
        write_addr_q <= (write_addr_q == AddrW'(Depth - 1)) ? '0 : write_addr_q + 1'b1;
      end
    end
  end

  // ---------------------------------------------------------------- reader
  logic [TapFoldW-1:0] fold_q;
  logic [KwW-1:0] kw_q;
  logic [KhW-1:0] kh_q;
  logic [ReplayW-1:0] replay_q;
  logic [GroupW-1:0] group_q;
  logic [OutXW-1:0] out_x_q;
  logic [OutYW-1:0] out_y_q;
  logic fold_last, kw_last, kh_last, replay_last, group_last, x_last, y_last;
  logic window_first, row_end, work_end, pixel_end, line_end, frame_end;
  logic work_begun_q, data_ready, tap;

  assign fold_last = fold_q == TapFoldW'(GroupFolds - 1);
  assign kw_last = kw_q == KwW'(KernelW - 1);
  assign kh_last = kh_q == KhW'(KernelH - 1);
  assign replay_last = replay_q == ReplayW'(GroupOutputFolds - 1);
  assign group_last = group_q == GroupW'(Groups - 1);
  assign x_last = out_x_q == OutXW'(Columns - 1);
  assign y_last = out_y_q == OutYW'(OutH - 1);
  assign row_end = fold_last & kw_last;
  assign work_end = row_end & kh_last;
  assign pixel_end = work_end & replay_last & group_last;
  assign line_end = pixel_end & x_last;
  assign frame_end = line_end & y_last;
  assign window_first = ~work_begun_q;

  // The check is per window: after its first tap the data of the whole pixel is known to be there,
  // and a replay finds it there still.
  assign tap = go_i & (work_begun_q | (start_i & data_ready));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      work_begun_q <= 1'b0;
      fold_q <= '0;
      kw_q <= '0;
      kh_q <= '0;
      replay_q <= '0;
      group_q <= '0;
      out_x_q <= '0;
      out_y_q <= '0;
    end else if (tap) begin
      work_begun_q <= ~work_end;
      fold_q <= fold_last ? '0 : fold_q + 1'b1;
      if (fold_last) kw_q <= kw_last ? '0 : kw_q + 1'b1;
      if (row_end) kh_q <= kh_last ? '0 : kh_q + 1'b1;
      if (work_end) replay_q <= replay_last ? '0 : replay_q + 1'b1;
      if (work_end & replay_last) group_q <= group_last ? '0 : group_q + 1'b1;
      if (pixel_end) out_x_q <= x_last ? '0 : out_x_q + 1'b1;
      if (line_end) out_y_q <= y_last ? '0 : out_y_q + 1'b1;
    end
  end

  // Coordinates of the window's corner and of the tap's first pixel; positions of the same.
  logic signed [RowW-1:0] corner_y_q, corner_y_d, tap_y_q;
  logic signed [ColW-1:0] corner_x_q, corner_x_d, tap_x_q;
  logic [PosW-1:0] line_base_q, line_base_d, pixel_base_q, pixel_base_d;
  logic [PosW-1:0] work_base_q, work_base_d, tap_q;

  // The window after this one; what is not at the end of one needs none of it.
  always_comb begin
    corner_y_d = corner_y_q;
    corner_x_d = corner_x_q;
    line_base_d = line_base_q;
    pixel_base_d = pixel_base_q;
    work_base_d = work_base_q;
    if (line_end) begin
      corner_y_d = y_last ? RowStart : corner_y_q + RowStep;
      corner_x_d = ColStart;
      line_base_d = y_last ? advance(line_base_q, FramePixelStep, 0)
                           : advance(line_base_q, StrideH * Width % BufferPixels, 0);
      pixel_base_d = line_base_d;
    end else if (pixel_end) begin
      corner_x_d = corner_x_q + ColStep;
      pixel_base_d = advance(pixel_base_q, StrideW % BufferPixels, 0);
    end
    // The beats of one pixel never wrap: Depth is a multiple of ChannelFolds.
    if (pixel_end) begin
      work_base_d = pixel_base_d;
    end else if (replay_last) begin
      work_base_d = {work_base_q[PosW-1:BankW] + AddrW'(GroupFolds % Depth),
                     work_base_q[BankW-1:0]};
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      corner_y_q <= RowStart;
      corner_x_q <= ColStart;
      tap_y_q <= RowStart;
      tap_x_q <= ColStart;
      line_base_q <= Start;
      pixel_base_q <= Start;
      work_base_q <= Start;
      tap_q <= Start;
    end else if (tap) begin
      if (pixel_end) begin
        corner_y_q <= corner_y_d;
        corner_x_q <= corner_x_d;
        line_base_q <= line_base_d;
        pixel_base_q <= pixel_base_d;
      end
      if (work_end) begin
        work_base_q <= work_base_d;
        tap_q <= work_base_d;
        tap_y_q <= corner_y_d;
        tap_x_q <= corner_x_d;
      end else if (row_end) begin
        tap_q <= advance(tap_q, RowPixels, GroupFolds - 1);
        tap_y_q <= tap_y_q + 1'b1;
        tap_x_q <= corner_x_q;
      end else if (fold_last) begin
        tap_q <= advance(tap_q, 1 % BufferPixels, GroupFolds - 1);
        tap_x_q <= tap_x_q + 1'b1;
      end else begin
        tap_q[PosW-1:BankW] <= tap_q[PosW-1:BankW] + 1'b1;
      end
    end
  end

  // ---------------------------------------------------------------- what a window needs and frees
  // Pixel counts in stream order. Padding below the kernel means that every window holds at least
  // one pixel of the picture, so one clamp per side is enough.
  logic signed [PixelW-1:0] corner_line_q, corner_line_d;  // corner_y * Width
  logic signed [PixelW-1:0] needed_q, needed_d, released_d, first_line;

  function automatic logic signed [PixelW-1:0] needed_by(logic signed [PixelW-1:0] line,
                                                         logic signed [ColW-1:0] x);
    logic signed [PixelW-1:0] last_line;
    logic signed [ColW-1:0] columns;
    last_line = line + LineSpan;
    if (last_line > LineLast) last_line = LineLast;
    columns = x + ColSpan;
    if (columns > Cols) columns = Cols;
    needed_by = last_line + PixelW'(columns);
  endfunction

  always_comb begin
    corner_line_d = corner_line_q;
    if (line_end) begin
      corner_line_d = y_last ? LineStart : corner_line_q + LineStep;
    end
    needed_d = needed_by(corner_line_d, corner_x_d);
    first_line = (corner_line_d < 0) ? '0 : corner_line_d;
    released_d = released_q;
    if (frame_end) begin
      released_d = '0;
    end else if (line_end) begin
      released_d = first_line;
    end else if (pixel_end & (y_last | (corner_y_q + RowStep > 0))) begin
      // While the next line of windows begins at the top row too, nothing is free.
      // A window of pad columns alone begins behind the last column.
      released_d = first_line + ((corner_x_d < 0) ? '0
                                 : (corner_x_d > Cols) ? PixelW'(Cols) : PixelW'(corner_x_d));
    end
  end

  assign data_ready = written_q >= needed_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      corner_line_q <= LineStart;
      needed_q <= needed_by(LineStart, ColStart);
      released_q <= '0;
      written_q <= '0;
    end else begin
      if (tap & pixel_end) begin
        corner_line_q <= corner_line_d;
        needed_q <= needed_d;
        released_q <= released_d;
      end
      if (write_pixel | (tap & frame_end)) begin
        written_q <= written_q + PixelW'(write_pixel) - ((tap & frame_end) ? FramePixels : '0);
      end
    end
  end

  // ---------------------------------------------------------------- tap output
  logic in_rows;
  logic [Pixels-1:0] in_picture;

  assign in_rows = (tap_y_q >= 0) & (tap_y_q < Rows);
  for (genvar i = 0; i < Pixels; i++) begin : g_inside
    logic signed [ColW-1:0] column;
    assign column = tap_x_q + ColW'(i * Apart);
    assign in_picture[i] = in_rows & (column >= 0) & (column < Cols);
  end

  nf_window_banks #(
    .CodeBits(CodeBits),
    .CodesPerBeat(CodesPerBeat),
    .ChannelFolds(ChannelFolds),
    .Depth(Depth),
    .Pixels(Pixels),
    .Apart(Apart),
    .ZeroCode(ZeroCode)
  ) u_banks (
    .clk_i,
    .write_i(write),
    .write_bank_i(write_bank_q),
    .write_addr_i(write_addr_q),
    .write_data_i(s_data_i),
    .read_i(tap),
    .read_bank_i(tap_q[BankW-1:0]),
    .read_addr_i(tap_q[PosW-1:BankW]),
    .inside_i(in_picture),
    .data_o(tap_data_o)
  );

  assign tap_valid_o = tap;
  assign tap_first_o = window_first;
  assign tap_last_o = work_end;
  assign tap_end_o = frame_end;
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Nearest-neighbour upsampling: every pixel Factor times, every row Factor times.
//
//   y[oy][ox][c] = x[oy / Factor][ox / Factor][c]
//
// One row is held in a circular memory. A beat is read as soon as it is there, and its place is
// given back with its last reading, while the row is repeated for the last time: the next row
// follows into the places that become free. Frames need no counter: rows follow rows.
//
// Latency:       2 cycles from the step that reads a beat to the output beat.
// Throughput:    one output beat per cycle, one input beat per cycle at most.
// Back-pressure: m_ready_i low fills the output queue; without a free place in it nothing is read.
//                s_ready_o is low while no place is free.
// Golden:        sim.golden.pointwise.upsample
`default_nettype none

module nf_upsample #(
  parameter int unsigned Channels = 8,
  parameter int unsigned Lanes = 4,     // channels of a beat, divides Channels
  parameter int unsigned CodeBits = 4,  // bits of a code
  parameter int unsigned Width = 8,     // columns of the input
  parameter int unsigned Factor = 2     // at least 2
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
  if (Channels % Lanes != 0) begin : g_check_lanes
    $fatal(1, "Lanes (%0d) must divide Channels (%0d)", Lanes, Channels);
  end
  if (Factor < 2) begin : g_check_factor
    $fatal(1, "Factor (%0d) must be at least 2", Factor);
  end

  localparam int unsigned BeatBits = Lanes * CodeBits;
  localparam int unsigned ChannelFolds = Channels / Lanes;
  localparam int unsigned RowBeats = Width * ChannelFolds;
  // A row of one beat would wait for its place to become free before it can follow.
  localparam int unsigned Depth = (RowBeats > 1) ? RowBeats : 2;

  function automatic int unsigned width_of(int unsigned count);
    width_of = (count > 1) ? $clog2(count) : 1;
  endfunction

  localparam int unsigned AddrW = width_of(Depth);
  localparam int unsigned CountW = $clog2(Depth + 1);
  localparam int unsigned FoldW = width_of(ChannelFolds);
  localparam int unsigned ColW = width_of(Width);
  localparam int unsigned CopyW = width_of(Factor);

  // ---------------------------------------------------------------- writer
  logic [BeatBits-1:0] row [Depth];
  logic [AddrW-1:0] write_addr_q;
  logic [CountW-1:0] held_q, unread_q;  // beats whose places are taken; those never read so far
  logic write, release_beat, read_new;

  assign s_ready_o = held_q != CountW'(Depth);
  assign write = s_valid_i & s_ready_o;

  always_ff @(posedge clk_i) begin
    if (write) row[write_addr_q] <= s_data_i;
    if (!rst_ni) begin
      write_addr_q <= '0;
      held_q <= '0;
      unread_q <= '0;
    end else begin
      if (write) write_addr_q <= (write_addr_q == AddrW'(Depth - 1)) ? '0 : write_addr_q + 1'b1;
      held_q <= held_q + CountW'(write) - CountW'(release_beat);
      unread_q <= unread_q + CountW'(write) - CountW'(read_new);
    end
  end

  // ---------------------------------------------------------------- reader
  logic [FoldW-1:0] fold_q;
  logic [CopyW-1:0] copy_x_q, copy_y_q;
  logic [ColW-1:0] col_q;
  logic [AddrW-1:0] read_addr_q;
  logic fold_last, copy_x_last, copy_y_last, col_last, pixel_end, row_end;
  logic first_read, last_read, may_start, read;

  assign fold_last = fold_q == FoldW'(ChannelFolds - 1);
  assign copy_x_last = copy_x_q == CopyW'(Factor - 1);
  assign copy_y_last = copy_y_q == CopyW'(Factor - 1);
  assign col_last = col_q == ColW'(Width - 1);
  assign pixel_end = fold_last & copy_x_last;
  assign row_end = pixel_end & col_last;
  assign first_read = (copy_x_q == '0) & (copy_y_q == '0);
  assign last_read = copy_x_last & copy_y_last;

  assign read = may_start & (~first_read | unread_q != '0);
  assign read_new = read & first_read;
  assign release_beat = read & last_read;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fold_q <= '0;
      copy_x_q <= '0;
      copy_y_q <= '0;
      col_q <= '0;
      read_addr_q <= '0;
    end else if (read) begin
      fold_q <= fold_last ? '0 : fold_q + 1'b1;
      if (fold_last) copy_x_q <= copy_x_last ? '0 : copy_x_q + 1'b1;
      if (pixel_end) col_q <= col_last ? '0 : col_q + 1'b1;
      if (row_end) copy_y_q <= copy_y_last ? '0 : copy_y_q + 1'b1;
      // A row fills the memory and begins at its first place; only a row of one beat moves on.
      if (row_end) read_addr_q <= (RowBeats > 1) ? '0 : read_addr_q ^ AddrW'(copy_y_last);
      else if (fold_last & ~copy_x_last) read_addr_q <= read_addr_q - AddrW'(ChannelFolds - 1);
      else read_addr_q <= read_addr_q + 1'b1;
    end
  end

  // ---------------------------------------------------------------- output queue
  localparam int unsigned Latency = 2;
  logic [BeatBits-1:0] read_1;
  logic valid_1;

  always_ff @(posedge clk_i) begin
    if (read) read_1 <= row[read_addr_q];
    valid_1 <= rst_ni & read;
  end

  nf_output_queue #(
    .Bits(BeatBits),
    .Depth(Latency + 1)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(may_start),
    .take_i(read),
    .push_i(valid_1),
    .data_i(read_1),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Brings the results of a core that computes several pixels at once into stream order.
//
// A token holds Pe filters of Pixels neighbouring pixels, code of filter p, pixel x at p*Pixels + x;
// tokens come by row, group of pixels, output fold. Beats go out by row, pixel, channel group. Of the
// first group of a row the first Skip pixels are dropped, of the last one all from pixel Stop on;
// channels from Lanes*Beats on belong to filters that fill the last fold, and are dropped, too.
//
// A token keeps its place until its last beat has been read.
//
// Latency:       2 cycles from the token that a beat waits for to m_valid_o.
// Throughput:    one beat per cycle.
// Back-pressure: m_ready_i low fills the output queue of 2 beats, then the Places of the tokens.
// Golden:        none; it carries codes as they are.
`default_nettype none

module nf_pixel_order #(
  parameter int unsigned CodeBits = 4,
  parameter int unsigned Pe = 8,      // filters of a token
  parameter int unsigned Pixels = 2,  // pixels of a token
  parameter int unsigned Lanes = 8,   // channels of a beat, divides Pe
  parameter int unsigned Beats = 2,   // beats of a pixel
  parameter int unsigned Groups = 4,  // groups of a row
  parameter int unsigned Rows = 4,    // rows of a frame
  parameter int unsigned Skip = 0,    // pixels of a row's first group that are dropped
  parameter int unsigned Stop = 2,    // pixels of a row's last group before those dropped
  parameter int unsigned Places = 4,  // tokens held, at least those of a group
  localparam int unsigned TokenBits = Pe * Pixels * CodeBits
) (
  input  wire logic                      clk_i,
  input  wire logic                      rst_ni,
  input  wire logic [TokenBits-1:0]      s_data_i,
  input  wire logic                      s_valid_i,
  output logic                           s_ready_o,
  output logic [Lanes*CodeBits-1:0]      m_data_o,
  output logic                           m_end_o,   // last beat of a frame
  output logic                           m_valid_o,
  input  wire logic                      m_ready_i
);
  localparam int unsigned Parts = Pe / Lanes;                    // beats of a token and pixel
  localparam int unsigned Folds = (Beats + Parts - 1) / Parts;   // tokens of a group

  if (Pe % Lanes != 0) begin : g_check_lanes
    $fatal(1, "Lanes (%0d) must divide Pe (%0d)", Lanes, Pe);
  end
  if (Places < Folds) begin : g_check_places
    $fatal(1, "Places (%0d) must be at least %0d, the tokens of a group", Places, Folds);
  end
  if (Skip >= Pixels || Stop < 1 || Stop > Pixels || (Groups == 1 && Skip >= Stop))
  begin : g_check_pixels
    $fatal(1, "Skip (%0d) and Stop (%0d) must leave a pixel of %0d", Skip, Stop, Pixels);
  end

  function automatic int unsigned width_of(int unsigned count);
    width_of = (count > 1) ? $clog2(count) : 1;
  endfunction

  localparam int unsigned AddrW = width_of(Places);
  localparam int unsigned CountW = $clog2(Places + Folds + 1);
  localparam int unsigned PixelW = width_of(Pixels);
  localparam int unsigned PartW = width_of(Parts);
  localparam int unsigned FoldW = width_of(Folds);
  localparam int unsigned BeatW = width_of(Beats);
  localparam int unsigned GroupW = width_of(Groups);
  localparam int unsigned RowW = width_of(Rows);

  (* ram_style = "distributed" *) logic [TokenBits-1:0] tokens [Places];

  // ---------------------------------------------------------------- where the reader is
  logic [PixelW-1:0] pixel_q;
  logic [PartW-1:0] part_q;
  logic [FoldW-1:0] fold_q;
  logic [BeatW-1:0] beat_q;
  logic [GroupW-1:0] group_q;
  logic [RowW-1:0] row_q;
  logic part_last, beat_last, pixel_last, group_last, row_last, pixel_end, group_end, row_end;
  logic step, write, free_token, next_begins_row;

  assign part_last = part_q == PartW'(Parts - 1);
  assign beat_last = beat_q == BeatW'(Beats - 1);
  assign group_last = group_q == GroupW'(Groups - 1);
  assign row_last = row_q == RowW'(Rows - 1);
  assign pixel_last = pixel_q == (group_last ? PixelW'(Stop - 1) : PixelW'(Pixels - 1));
  assign pixel_end = step & beat_last;
  assign group_end = pixel_end & pixel_last;
  assign row_end = group_end & group_last;
  assign free_token = step & pixel_last & (part_last | beat_last);
  assign next_begins_row = row_end | (Groups == 1);

  // Tokens since the first one of the reader's group, and tokens that hold a place.
  logic [CountW-1:0] ahead_q, held_q;
  logic [AddrW-1:0] write_q, base_q, read_q;
  logic place;

  assign s_ready_o = held_q < CountW'(Places);
  assign write = s_valid_i & s_ready_o;
  assign step = place & (ahead_q > CountW'(fold_q));

  function automatic logic [AddrW-1:0] after(logic [AddrW-1:0] addr);
    after = (addr == AddrW'(Places - 1)) ? '0 : addr + 1'b1;
  endfunction

  always_ff @(posedge clk_i) begin
    if (write) tokens[write_q] <= s_data_i;
    if (!rst_ni) begin
      pixel_q <= PixelW'(Skip);
      part_q <= '0;
      fold_q <= '0;
      beat_q <= '0;
      group_q <= '0;
      row_q <= '0;
      ahead_q <= '0;
      held_q <= '0;
      write_q <= '0;
      base_q <= '0;
      read_q <= '0;
    end else begin
      if (write) write_q <= after(write_q);
      ahead_q <= ahead_q + CountW'(write) - (group_end ? CountW'(Folds) : '0);
      held_q <= held_q + CountW'(write) - CountW'(free_token);
      if (step) begin
        part_q <= (part_last | beat_last) ? '0 : part_q + 1'b1;
        beat_q <= beat_last ? '0 : beat_q + 1'b1;
        if (part_last | beat_last) begin
          fold_q <= beat_last ? '0 : fold_q + 1'b1;
          read_q <= (beat_last & ~pixel_last) ? base_q : after(read_q);
        end
      end
      if (pixel_end) begin
        if (!pixel_last) pixel_q <= pixel_q + 1'b1;
        else pixel_q <= next_begins_row ? PixelW'(Skip) : '0;
      end
      if (group_end) begin
        base_q <= after(read_q);
        group_q <= group_last ? '0 : group_q + 1'b1;
      end
      if (row_end) row_q <= row_last ? '0 : row_q + 1'b1;
    end
  end

  // ---------------------------------------------------------------- beat
  logic [TokenBits-1:0] token;
  logic [Lanes*CodeBits-1:0] beats [Parts*Pixels];
  logic [Lanes*CodeBits-1:0] beat;

  assign token = tokens[read_q];
  always_comb begin
    for (int j = 0; j < int'(Parts); j++) begin
      for (int x = 0; x < int'(Pixels); x++) begin
        for (int l = 0; l < int'(Lanes); l++) begin
          beats[j*int'(Pixels)+x][l*int'(CodeBits)+:CodeBits] =
              token[((j*int'(Lanes)+l)*int'(Pixels)+x)*int'(CodeBits)+:CodeBits];
        end
      end
    end
  end
  localparam int unsigned PickW = width_of(Parts * Pixels);
  logic [PickW-1:0] pick;
  assign pick = PickW'(32'(part_q) * Pixels + 32'(pixel_q));
  assign beat = beats[pick];

  nf_output_queue #(
    .Bits(Lanes * CodeBits + 1),
    .Depth(2)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(place),
    .take_i(step),
    .push_i(step),
    .data_i({row_end & row_last, beat}),
    .m_data_o({m_end_o, m_data_o}),
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Passes some channels of a tensor: beats First..End-1 of every pixel; the others are dropped.
//
//   output beat n of a pixel = input beat First + n,  n < End - First
//
// Latency:       1 cycle.
// Throughput:    one input beat per cycle.
// Back-pressure: m_ready_i low fills the output queue; then beats that pass wait, and those behind.
// Golden:        sim.golden.pointwise.split
`default_nettype none

module nf_split #(
  parameter int unsigned BeatBits = 16,  // bits of a beat
  parameter int unsigned Beats = 4,      // beats of a pixel
  parameter int unsigned First = 0,      // first beat that passes
  parameter int unsigned End = 2         // beat after the last one that passes
) (
  input  wire logic                 clk_i,
  input  wire logic                 rst_ni,
  input  wire logic [BeatBits-1:0]  s_data_i,
  input  wire logic                 s_valid_i,
  output logic                      s_ready_o,
  output logic [BeatBits-1:0]       m_data_o,
  output logic                      m_valid_o,
  input  wire logic                 m_ready_i
);
  if (First >= End || End > Beats) begin : g_check_beats
    $fatal(1, "First (%0d) and End (%0d) must be rising and at most %0d", First, End, Beats);
  end

  localparam int unsigned BeatW = (Beats > 1) ? $clog2(Beats) : 1;

  logic [BeatW-1:0] beat_q, beat_d;
  logic pass_q, free, move;

  function automatic logic passes(logic [BeatW-1:0] beat);
    // A beat before First is far above End - First once First is subtracted.
    passes = 32'(beat) - First < End - First;
  endfunction

  assign s_ready_o = free | ~pass_q;
  assign move = s_valid_i & s_ready_o;
  assign beat_d = (beat_q == BeatW'(Beats - 1)) ? '0 : beat_q + 1'b1;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      beat_q <= '0;
      pass_q <= passes('0);
    end else if (move) begin
      beat_q <= beat_d;
      pass_q <= passes(beat_d);
    end
  end

  nf_output_queue #(
    .Bits(BeatBits),
    .Depth(2)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(free),
    .take_i(move & pass_q),
    .push_i(move & pass_q),
    .data_i(s_data_i),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

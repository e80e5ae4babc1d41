// SPDX-License-Identifier: Apache-2.0
//
// Puts the channels of several tensors one after the other: reads a pixel's beats source by source.
//
//   output beats of a pixel = beats of source 0, then of source 1, ..., then of source Sources-1
//
// Latency:       1 cycle.
// Throughput:    one beat per cycle.
// Back-pressure: only the source whose turn it is sees ready, while the output queue has a place.
// Golden:        sim.golden.pointwise.concat
`default_nettype none

module nf_concat #(
  parameter int unsigned Sources = 2,    // at least 2
  parameter int unsigned BeatBits = 16,  // bits of a beat, the same for every source
  parameter int unsigned CountBits = 2,  // bits of a word of BeatsFile
  parameter string BeatsFile = ""        // per source: beats of a pixel, less one
) (
  input  wire logic                         clk_i,
  input  wire logic                         rst_ni,
  input  wire logic [Sources*BeatBits-1:0]  s_data_i,
  input  wire logic [Sources-1:0]           s_valid_i,
  output logic [Sources-1:0]                s_ready_o,
  output logic [BeatBits-1:0]               m_data_o,
  output logic                              m_valid_o,
  input  wire logic                         m_ready_i
);
  if (Sources < 2) begin : g_check_sources
    $fatal(1, "Sources (%0d) must be at least 2", Sources);
  end

  localparam int unsigned SourceW = $clog2(Sources);

  (* logic_block = 1 *)
  logic [CountBits-1:0] last_beats [Sources];
  logic [SourceW-1:0] source_q;
  logic [CountBits-1:0] beat_q;
  logic [BeatBits-1:0] data;
  logic free, valid, take, source_end;

  initial $readmemh(BeatsFile, last_beats);

  always_comb begin
    data = '0;
    valid = 1'b0;
    s_ready_o = '0;
    for (int k = 0; k < int'(Sources); k++) begin
      if (source_q == SourceW'(k)) begin
        data = s_data_i[k*int'(BeatBits)+:BeatBits];
        valid = s_valid_i[k];
        s_ready_o[k] = free;
      end
    end
  end

  assign take = free & valid;
  assign source_end = beat_q == last_beats[source_q];
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      source_q <= '0;
      beat_q <= '0;
    end else if (take) begin
      beat_q <= source_end ? '0 : beat_q + 1'b1;
      if (source_end) source_q <= (source_q == SourceW'(Sources - 1)) ? '0 : source_q + 1'b1;
    end
  end

  nf_output_queue #(
    .Bits(BeatBits),
    .Depth(2)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(free),
    .take_i(take),
    .push_i(take),
    .data_i(data),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Weights that come from outside: a queue in front of a layer that stores none of them.
//
//   data_o = word n of the stream after the n-th pulse of next_i (n = 0, 1, ...)
//
// For the chains of a packed core a word has several slices, and slice k comes k cycles later.
//
// It stands in the place of nf_rom_cycle: who feeds the stream repeats the words of the layer from
// the first to the last, over and over. A reset empties the queue; the next word taken is the first.
//
// Latency:       1 cycle from a word taken to valid_o when empty; data_o follows next_i by one cycle
//                (slice k by 1 + k) and holds until the next pulse has come as far.
// Throughput:    one word per cycle.
// Back-pressure: next_i only while valid_o is high; s_ready_o is low while Places words wait, and
//                during a reset. Neither depends on s_valid_i.
// Golden:        sim.golden.conv (weights in the order of the taps)
`default_nettype none

module nf_weight_stream #(
  parameter int unsigned Bits = 8,    // bits of a word
  parameter int unsigned Slices = 1,  // divides Bits
  parameter int unsigned Places = 32  // words that wait, at least 2: a word per cycle
) (
  input  wire logic            clk_i,
  input  wire logic            rst_ni,
  input  wire logic [Bits-1:0] s_data_i,
  input  wire logic            s_valid_i,
  output logic                 s_ready_o,
  output logic                 valid_o,  // a word is here
  input  wire logic            next_i,
  output logic [Bits-1:0]      data_o
);
  if (Places < 2) begin : g_check_places
    $fatal(1, "Places (%0d) must be at least 2", Places);
  end

  if (Bits % Slices != 0) begin : g_check_slices
    $fatal(1, "Slices (%0d) must divide Bits (%0d)", Slices, Bits);
  end

  localparam int unsigned SliceBits = Bits / Slices;

  logic free, take;
  logic [Bits-1:0] word, word_q;

  // A word that came during a reset would be lost.
  assign s_ready_o = rst_ni & free;
  assign take = s_valid_i & s_ready_o;

  nf_output_queue #(
    .Bits(Bits),
    .Depth(Places)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(free),
    .take_i(take),
    .push_i(take),
    .data_i(s_data_i),
    .m_data_o(word),
    .m_valid_o(valid_o),
    .m_ready_i(next_i)
  );

  always_ff @(posedge clk_i) if (next_i) word_q <= word;

  for (genvar k = 0; k < Slices; k++) begin : g_slice
    nf_delay #(
      .Bits(SliceBits),
      .Cycles(k)
    ) u_late (
      .clk_i,
      .data_i(word_q[k*SliceBits+:SliceBits]),
      .data_o(data_o[k*SliceBits+:SliceBits])
    );
  end
endmodule

`default_nettype wire

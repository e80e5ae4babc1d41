// SPDX-License-Identifier: Apache-2.0
//
// Holds a network's input back until its loadable memories are full.
//
//   takes exactly Words words from the load stream, then none; the input flows once full_i was seen
//
// The memories are loaded once after power-up (loaded_q starts at 0 with the configuration of the
// device): a later reset keeps them. A reset before the last word begins the loading again.
//
// Latency:       0 cycles for words and beats; the input opens one cycle after full_i.
// Throughput:    one word and one beat per cycle.
// Back-pressure: that of the network, and s_ready_o low while the memories are not full.
// Golden:        none; it carries no data.
`default_nettype none

module nf_load_gate #(
  parameter int unsigned Words = 1  // words of the load stream, at least 1
) (
  input  wire logic clk_i,
  input  wire logic rst_ni,
  // Load stream, and the reset of the memories' loaders.
  input  wire logic load_valid_i,
  output logic      load_ready_o,
  output logic      word_valid_o,
  output logic      loader_rst_no,
  input  wire logic full_i,
  // Input of the network.
  input  wire logic s_valid_i,
  output logic      s_ready_o,
  output logic      m_valid_o,
  input  wire logic m_ready_i
);
  if (Words < 1) begin : g_check_words
    $fatal(1, "Words (%0d) must be at least 1", Words);
  end

  localparam int unsigned CountW = $clog2(Words + 1);

  logic [CountW-1:0] count_q;
  logic loaded_q;

  initial loaded_q = 1'b0;

  assign load_ready_o = count_q != CountW'(Words);
  assign word_valid_o = load_valid_i & load_ready_o;
  assign loader_rst_no = rst_ni | loaded_q;
  assign m_valid_o = s_valid_i & loaded_q;
  assign s_ready_o = m_ready_i & loaded_q;

  always_ff @(posedge clk_i) begin
    if (!loader_rst_no) count_q <= '0;
    else if (word_valid_o) count_q <= count_q + 1'b1;
    if (rst_ni & full_i) loaded_q <= 1'b1;
  end
endmodule

`default_nettype wire

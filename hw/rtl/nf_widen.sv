// SPDX-License-Identifier: Apache-2.0
//
// Collects a burst of words of few lanes into one word of many lanes, low lanes first.
//
//   data_o[k*LanesIn +: LanesIn] = data_i of step k,  k < LanesOut / LanesIn
//
// Latency:       0 cycles after the last step.
// Throughput:    one input word per cycle.
// Back-pressure: none.
// Golden:        sim.golden.conv
`default_nettype none

module nf_widen #(
  parameter int unsigned LaneBits = 4,
  parameter int unsigned LanesIn = 4,
  parameter int unsigned LanesOut = 4  // multiple of LanesIn
) (
  input  wire logic                         clk_i,
  input  wire logic                         valid_i,
  input  wire logic                         last_i,   // last step of a word
  input  wire logic [LanesIn*LaneBits-1:0]  data_i,
  output logic                              valid_o,
  output logic [LanesOut*LaneBits-1:0]      data_o
);
  localparam int unsigned Steps = LanesOut / LanesIn;
  localparam int unsigned StepBits = LanesIn * LaneBits;

  if (LanesOut % LanesIn != 0) begin : g_check_lanes
    $fatal(1, "LanesIn (%0d) must divide LanesOut (%0d)", LanesIn, LanesOut);
  end

  assign valid_o = valid_i & last_i;
  if (Steps == 1) begin : g_wire
    assign data_o = data_i;
    logic unused_clk;
    assign unused_clk = clk_i;
  end else begin : g_collect
    logic [(Steps-1)*StepBits-1:0] before_q;
    assign data_o = {data_i, before_q};
    always_ff @(posedge clk_i) begin
      if (valid_i) before_q <= data_o[Steps*StepBits-1:StepBits];
    end
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Takes a word of many lanes apart into a burst of words of few lanes, low lanes first.
//
//   data_o in step k after valid_i = data_i[k*LanesOut +: LanesOut],  k < LanesIn / LanesOut
//
// Latency:       0 cycles for the first step.
// Throughput:    one input word per LanesIn / LanesOut cycles; the writer keeps that distance.
// Back-pressure: none.
// Golden:        sim.golden.conv
`default_nettype none

module nf_narrow #(
  parameter int unsigned LaneBits = 18,
  parameter int unsigned LanesIn = 4,
  parameter int unsigned LanesOut = 4  // divides LanesIn
) (
  input  wire logic                         clk_i,
  input  wire logic                         rst_ni,
  input  wire logic                         valid_i,
  input  wire logic                         end_i,    // sideband, returned with the last step
  input  wire logic [LanesIn*LaneBits-1:0]  data_i,
  output logic                              valid_o,
  output logic                              last_o,   // last step of a word
  output logic                              end_o,
  output logic [LanesOut*LaneBits-1:0]      data_o
);
  localparam int unsigned Steps = LanesIn / LanesOut;
  localparam int unsigned StepBits = LanesOut * LaneBits;

  if (LanesIn % LanesOut != 0) begin : g_check_lanes
    $fatal(1, "LanesOut (%0d) must divide LanesIn (%0d)", LanesOut, LanesIn);
  end

  if (Steps == 1) begin : g_wire
    assign valid_o = valid_i;
    assign last_o = 1'b1;
    assign end_o = end_i;
    assign data_o = data_i;
    logic unused_control;
    assign unused_control = clk_i ^ rst_ni;
  end else begin : g_burst
    logic [(Steps-1)*StepBits-1:0] rest_q;
    // Bit k is set while k + 1 more steps are to come.
    logic [Steps-2:0] left_q;
    logic end_q;

    assign valid_o = valid_i | left_q[0];
    assign last_o = ~valid_i & (left_q == (Steps-1)'(1));
    assign end_o = end_q;
    assign data_o = valid_i ? data_i[StepBits-1:0] : rest_q[StepBits-1:0];

    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        rest_q <= data_i[LanesIn*LaneBits-1:StepBits];
        end_q <= end_i;
      end else if (left_q[0]) begin
        rest_q <= ((Steps-1)*StepBits)'({StepBits'(0), rest_q} >> StepBits);
      end
      if (!rst_ni) left_q <= '0;
      else left_q <= valid_i ? '1 : (Steps-1)'({1'b0, left_q} >> 1);
    end
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Table lookup of a whole tensor: a non-linear activation where no convolution precedes.
//
//   y = table[q]
//
// Latency:       2 cycles.
// Throughput:    one beat per cycle.
// Back-pressure: m_ready_i low fills the output queue; without a free place in it no beat is taken.
// Golden:        sim.golden.pointwise.lookup
`default_nettype none

module nf_lookup #(
  parameter int unsigned Lanes = 4,
  parameter int unsigned InBits = 4,   // bits of an input code
  parameter int unsigned OutBits = 4,  // bits of an output code
  parameter string TableFile = ""      // 2**InBits output codes
) (
  input  wire logic                     clk_i,
  input  wire logic                     rst_ni,
  input  wire logic [Lanes*InBits-1:0]  s_data_i,
  input  wire logic                     s_valid_i,
  output logic                          s_ready_o,
  output logic [Lanes*OutBits-1:0]      m_data_o,
  output logic                          m_valid_o,
  input  wire logic                     m_ready_i
);
  localparam int unsigned Latency = 2;
  logic take, valid_q;
  logic [Lanes*OutBits-1:0] codes;

  assign take = s_valid_i & s_ready_o;
  always_ff @(posedge clk_i) valid_q <= rst_ni & take;

  nf_decode #(
    .Lanes(Lanes),
    .InBits(InBits),
    .OutBits(OutBits),
    .File(TableFile)
  ) u_table (
    .clk_i,
    .load_i(take),
    .codes_i(s_data_i),
    .data_o(codes)
  );

  nf_output_queue #(
    .Bits(Lanes * OutBits),
    .Depth(Latency + 1)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(s_ready_o),
    .take_i(take),
    .push_i(valid_q),
    .data_i(codes),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

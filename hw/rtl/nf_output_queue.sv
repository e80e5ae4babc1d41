// SPDX-License-Identifier: Apache-2.0
//
// Output of a cell: results wait here for the reader; a credit is taken before a result is begun.
//
//   beats leave in the order in which they were pushed
//
// A step that will end in a push raises take_i in a cycle in which free_o is high; the data path
// between take_i and push_i then runs without a stall, whatever its length, because the place of
// its beat is kept.
//
// Latency:       1 cycle from push_i to m_valid_o when empty.
// Throughput:    one beat per cycle when Depth is at least 1 + the cycles from take_i to m_valid_o.
// Back-pressure: free_o is low while Depth beats are under way or wait; a place is free in the cycle
//                after its beat has left. m_valid_o and free_o come from registers alone.
// Golden:        none; it carries beats as they are.
`default_nettype none

module nf_output_queue #(
  parameter int unsigned Bits = 8,  // bits of a beat
  parameter int unsigned Depth = 4  // beats, at least 1
) (
  input  wire logic            clk_i,
  input  wire logic            rst_ni,
  output logic                 free_o,
  input  wire logic            take_i,
  input  wire logic            push_i,
  input  wire logic [Bits-1:0] data_i,
  output logic [Bits-1:0]      m_data_o,
  output logic                 m_valid_o,
  input  wire logic            m_ready_i
);
  localparam int unsigned CreditW = $clog2(Depth + 1);

  logic [CreditW-1:0] credit_q;
  logic give;

  assign free_o = credit_q != '0;
  assign give = m_valid_o & m_ready_i;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) credit_q <= CreditW'(Depth);
    else credit_q <= credit_q + CreditW'(give) - CreditW'(take_i);
  end

  nf_fifo #(
    .Bits(Bits),
    .Depth(Depth)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .push_i,
    .data_i,
    .valid_o(m_valid_o),
    .data_o(m_data_o),
    .ready_i(m_ready_i)
  );
endmodule

`default_nettype wire

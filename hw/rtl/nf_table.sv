// SPDX-License-Identifier: Apache-2.0
//
// Table lookup in parallel lanes: codebook decode, weight decode, non-linear activation.
//
//   data_o[lane] = entries[index_i[lane]]
//
// Every lane reads the same constant table, so synthesis reduces a lane to the logic that the
// entries need: none for an identity, one inverter for a symmetric code.
//
// Latency:       1 cycle.
// Throughput:    one index per lane and cycle.
// Back-pressure: none; without load_i the data of the last cycle stays.
// Golden:        sim.golden.conv, sim.golden.decode
`default_nettype none

module nf_table #(
  parameter int unsigned Lanes = 1,
  parameter int unsigned IndexBits = 4,  // bits of an index
  parameter int unsigned DataBits = 4,   // bits of an entry
  parameter string File = ""             // 2**IndexBits hexadecimal entries ($readmemh)
) (
  input  wire logic                 clk_i,
  input  wire logic                 load_i = 1'b1,
  input  wire logic [IndexBits-1:0] index_i [Lanes],
  output logic [DataBits-1:0]       data_o [Lanes]
);
  // Logic, not block memory: the table is small and there are many lanes. (Yosys has no read-only
  // memory of style "distributed"; this is its name for logic.)
  (* logic_block = 1 *)
  logic [DataBits-1:0] entries [2**IndexBits];

  initial $readmemh(File, entries);

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      logic [DataBits-1:0] data [Lanes];
      for (int lane = 0; lane < int'(Lanes); lane++) data[lane] = entries[index_i[lane]];
      data_o <= data;
    end
  end
endmodule

`default_nettype wire

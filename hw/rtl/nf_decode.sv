// SPDX-License-Identifier: Apache-2.0
//
// Decodes a beat of codes: every lane through the same table, or through a register alone.
//
//   data_o[lane] = entries[codes_i[lane]]        (File = "": data_o = codes_i)
//
// Latency:       1 cycle.
// Throughput:    one beat per cycle.
// Back-pressure: none; without load_i the data of the last beat stays.
// Golden:        sim.golden.decode, sim.golden.pointwise.lookup
`default_nettype none

module nf_decode #(
  parameter int unsigned Lanes = 1,
  parameter int unsigned InBits = 4,   // bits of a code
  parameter int unsigned OutBits = 4,  // bits of an entry; InBits without a table
  parameter string File = ""           // 2**InBits hexadecimal entries ($readmemh); "": identity
) (
  input  wire logic                     clk_i,
  input  wire logic                     load_i,
  input  wire logic [Lanes*InBits-1:0]  codes_i,
  output logic [Lanes*OutBits-1:0]      data_o
);
  if (File != "") begin : g_table
    logic [InBits-1:0] index [Lanes];
    logic [OutBits-1:0] found [Lanes];

    always_comb begin
      for (int i = 0; i < int'(Lanes); i++) begin
        index[i] = codes_i[i*int'(InBits)+:InBits];
        data_o[i*int'(OutBits)+:OutBits] = found[i];
      end
    end

    nf_table #(
      .Lanes(Lanes),
      .IndexBits(InBits),
      .DataBits(OutBits),
      .File(File)
    ) u_table (
      .clk_i,
      .load_i,
      .index_i(index),
      .data_o(found)
    );
  end else begin : g_plain
    if (InBits != OutBits) begin : g_check_bits
      $fatal(1, "OutBits (%0d) must be InBits (%0d) without a table", OutBits, InBits);
    end
    always_ff @(posedge clk_i) if (load_i) data_o <= codes_i;
  end
endmodule

`default_nettype wire

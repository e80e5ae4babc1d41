// SPDX-License-Identifier: Apache-2.0
//
// Multiplies activations by the group multipliers of their channels (F-shape- and channel-wise).
//
//   act_o[i] = act_i[i] * factor[FactorLanes == 1 ? 0 : i]
//
// M[c][kh][kw] is the same for every filter, so it meets each activation once, in front of the
// products, and not each of the Pe*Simd decoded weights: a * (M * table) = (a * M) * table.
//
// Latency:       act_o follows act_i by one cycle; next_i asks for the factors a cycle before act_i.
// Throughput:    one tap per cycle.
// Back-pressure: none; act_o stays while no factors are asked for.
// Golden:        sim.golden.conv
`default_nettype none

module nf_scale_acts #(
  parameter int unsigned Lanes = 4,        // activations
  parameter int unsigned FactorLanes = 4,  // factors of a word: Lanes, or 1 for all
  parameter int unsigned ActBits = 4,      // unsigned bits of an activation
  parameter int unsigned FactorBits = 8,   // unsigned bits of a factor
  parameter int unsigned Depth = 9,        // words of factors, read over and over
  parameter bit UseDsp = 1'b0,             // multipliers in DSP blocks, else in logic
  parameter string File = "",              // words of factors ($readmemh)
  localparam int unsigned OutBits = ActBits + FactorBits
) (
  input  wire logic                     clk_i,
  input  wire logic                     rst_ni,
  input  wire logic                     next_i,
  input  wire logic [Lanes*ActBits-1:0] act_i,
  output logic [Lanes*OutBits-1:0]      act_o
);
  if (FactorLanes != Lanes && FactorLanes != 1) begin : g_check_lanes
    $fatal(1, "FactorLanes (%0d) must be %0d or 1", FactorLanes, Lanes);
  end

  logic [FactorLanes*FactorBits-1:0] factors;
  logic [OutBits-1:0] product [Lanes];
  logic [OutBits-1:0] product_q [Lanes];
  logic asked_q;  // factors and activations of a tap stand side by side

  always_ff @(posedge clk_i) asked_q <= next_i;

  nf_rom_cycle #(
    .Bits(FactorLanes * FactorBits),
    .Depth(Depth),
    .File(File)
  ) u_factors (
    .clk_i,
    .rst_ni,
    .next_i,
    .data_o(factors)
  );

  always_comb begin
    for (int i = 0; i < int'(Lanes); i++) begin
      product[i] =
          OutBits'(act_i[i*int'(ActBits)+:ActBits])
          * OutBits'(factors[(FactorLanes == 1 ? 0 : i)*int'(FactorBits)+:FactorBits]);
    end
  end
  if (UseDsp) begin : g_dsp
    (* use_dsp = "yes" *) logic [OutBits-1:0] dsp_q [Lanes];
    always_ff @(posedge clk_i) if (asked_q) dsp_q <= product;
    assign product_q = dsp_q;
  end else begin : g_logic
    (* use_dsp = "no" *) logic [OutBits-1:0] logic_q [Lanes];
    always_ff @(posedge clk_i) if (asked_q) logic_q <= product;
    assign product_q = logic_q;
  end
  always_comb begin
    for (int i = 0; i < int'(Lanes); i++) act_o[i*int'(OutBits)+:OutBits] = product_q[i];
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Sums partial sums, each times its group multiplier (C-shape-wise: one per kernel position).
//
//   acc_o[p] = sum over Parts partial sums of part_i[p] * factor[p]   modulo 2**AccBits
//
// M[f][kh][kw] leaves the sum over the channels, so one product per partial sum does.
//
// Latency:       valid_o follows the last partial sum by 3 cycles: factor, product, sum.
// Throughput:    one partial sum per cycle.
// Back-pressure: none; cycles without valid_i are ignored.
// Golden:        sim.golden.conv
`default_nettype none

module nf_part_sum #(
  parameter int unsigned Lanes = 4,
  parameter int unsigned PartBits = 14,   // proven signed bits of a partial sum
  parameter int unsigned FactorBits = 5,  // unsigned bits of a factor
  parameter int unsigned AccBits = 18,    // proven signed bits of the accumulator
  parameter int unsigned Parts = 9,       // partial sums of an accumulator
  parameter int unsigned Depth = 9,       // words of factors, read over and over
  parameter bit UseDsp = 1'b0,            // multipliers in DSP blocks, else in logic
  parameter string File = ""              // words of Lanes factors ($readmemh)
) (
  input  wire logic                      clk_i,
  input  wire logic                      rst_ni,
  input  wire logic                      valid_i,
  input  wire logic                      end_i,    // sideband of the last partial sum, returned
  input  wire logic [Lanes*PartBits-1:0] part_i,
  output logic                           valid_o,
  output logic                           end_o,
  output logic [Lanes*AccBits-1:0]       acc_o
);
  localparam int unsigned ProductBits = PartBits + FactorBits;

  logic first, last;
  logic [1:0] valid_q, first_q, last_q, end_q;
  logic [Lanes*PartBits-1:0] part_q;
  logic [Lanes*FactorBits-1:0] factors;

  nf_tap_count #(
    .Taps(Parts)
  ) u_parts (
    .clk_i,
    .rst_ni,
    .valid_i,
    .first_o(first),
    .last_o(last)
  );

  nf_rom_cycle #(
    .Bits(Lanes * FactorBits),
    .Depth(Depth),
    .File(File)
  ) u_factors (
    .clk_i,
    .rst_ni,
    .next_i(valid_i),
    .data_o(factors)
  );

  always_ff @(posedge clk_i) begin
    if (valid_i) part_q <= part_i;
    first_q <= {first_q[0], first};
    last_q <= {last_q[0], last};
    end_q <= {end_q[0], end_i};
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[0], valid_i};
  end

  // ---------------------------------------------------------------- product
  // A stage loads when its flag is set.
  logic signed [ProductBits-1:0] product [Lanes];
  logic signed [ProductBits-1:0] product_q [Lanes];

  always_comb begin
    for (int p = 0; p < int'(Lanes); p++) begin
      // The zero on top makes the unsigned factor a signed one.
      product[p] = ProductBits'($signed(part_q[p*int'(PartBits)+:PartBits]))
                   * ProductBits'($signed({1'b0, factors[p*int'(FactorBits)+:FactorBits]}));
    end
  end
  if (UseDsp) begin : g_dsp
    (* use_dsp = "yes" *) logic signed [ProductBits-1:0] dsp_q [Lanes];
    always_ff @(posedge clk_i) if (valid_q[0]) dsp_q <= product;
    assign product_q = dsp_q;
  end else begin : g_logic
    (* use_dsp = "no" *) logic signed [ProductBits-1:0] logic_q [Lanes];
    always_ff @(posedge clk_i) if (valid_q[0]) logic_q <= product;
    assign product_q = logic_q;
  end

  // ---------------------------------------------------------------- sum
  logic signed [AccBits-1:0] acc_q [Lanes];

  always_ff @(posedge clk_i) begin
    if (valid_q[1]) begin
      logic signed [AccBits-1:0] total [Lanes];
      for (int p = 0; p < int'(Lanes); p++) begin
        total[p] = (first_q[1] ? '0 : acc_q[p]) + AccBits'(product_q[p]);
      end
      acc_q <= total;
    end
  end
  always_comb begin
    for (int p = 0; p < int'(Lanes); p++) acc_o[p*int'(AccBits)+:AccBits] = acc_q[p];
  end

  always_ff @(posedge clk_i) begin
    end_o <= end_q[1];
    if (!rst_ni) valid_o <= 1'b0;
    else valid_o <= valid_q[1] & last_q[1];
  end
endmodule

`default_nettype wire

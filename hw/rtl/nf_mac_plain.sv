// SPDX-License-Identifier: Apache-2.0
//
// Multiply-accumulate core with one multiplier per product.
//
//   acc_o[p] = sum over the taps of a fold, first_i to last_i, and over s < Simd, of
//              act_i[s] * table[select_i[p]][weight_i[p][s]]      (SharedActs)
//              act_i[p] * table[select_i[p]][weight_i[p][s]]      (not SharedActs: depthwise)
//   modulo 2**AccBits; select_i[s] with SelectByChannel; with AffineSelect table[z][w] is w + z.
//
// Every multiply-accumulate core has these ports; a packed one takes this one's place.
//
// Latency:       valid_o follows last_i by 3 + $clog2(Simd) cycles; acc_o is valid in that cycle.
// Throughput:    one tap per cycle; folds follow each other without a gap.
// Back-pressure: none; cycles without valid_i are ignored.
// Golden:        sim.golden.conv
`default_nettype none

module nf_mac_plain #(
  parameter int unsigned Pe = 4,           // output lanes
  parameter int unsigned Simd = 8,         // products per lane and tap
  parameter bit SharedActs = 1'b1,         // every output lane reads the same Simd activations
  parameter bit UseDsp = 1'b0,             // multipliers in DSP blocks, else in logic
  parameter int unsigned ActBits = 4,      // unsigned bits of a decoded activation
  parameter int unsigned WeightBits = 4,   // stored bits of a weight, 1..8
  parameter int unsigned SelectBits = 0,   // bits of a lane's selection; 0: one table
  parameter bit AffineSelect = 1'b0,       // selection: signed offset, else a table's number
  parameter bit SelectByChannel = 1'b0,    // selections of the Simd products, else of the lanes
  parameter int unsigned OperandBits = 5,  // signed bits of a decoded weight
  parameter int unsigned AccBits = 18,     // signed bits of the accumulator, at most 32
  parameter string TableFile = "",         // decode tables one after the other ($readmemh)
  localparam int unsigned ActLanes = SharedActs ? Simd : Pe,
  localparam int unsigned SelectW = (SelectBits > 0) ? SelectBits : 1,
  localparam int unsigned SelectLanes = SelectByChannel ? Simd : Pe
) (
  input  wire logic                          clk_i,
  input  wire logic                          rst_ni,
  input  wire logic                          valid_i,
  input  wire logic                          first_i,
  input  wire logic                          last_i,
  input  wire logic                          end_i,     // sideband, returned with the accumulators
  input  wire logic [ActLanes*ActBits-1:0]   act_i,     // one cycle after valid_i
  input  wire logic [Pe*Simd*WeightBits-1:0] weight_i,  // lane p, product s at p*Simd+s
  input  wire logic [SelectLanes*SelectW-1:0] select_i,
  output logic                               valid_o,
  output logic                               end_o,
  output logic [Pe*AccBits-1:0]              acc_o
);
  if (!SharedActs && Simd != 1) begin : g_check_lanes
    $fatal(1, "Simd (%0d) must be 1 when every lane has its own activation", Simd);
  end
  if (!AffineSelect && SelectBits > 4) begin : g_check_select
    $fatal(1, "SelectBits (%0d) must be in [0, 4]", SelectBits);
  end
  if (AffineSelect && (SelectBits < 1 || SelectBits > OperandBits)) begin : g_check_offset
    $fatal(1, "SelectBits (%0d) must be in [1, %0d]", SelectBits, OperandBits);
  end

  localparam int unsigned ProductBits = ActBits + OperandBits;
  localparam int unsigned SumBits = ProductBits + $clog2(Simd);
  // Stages between valid_i and the sum in front of the accumulator: decode, product, adder tree.
  localparam int unsigned Stages = 2 + $clog2(Simd);

  // A stage loads when its flag is set: while no tap is under way nothing switches, neither in the
  // device nor in a simulation. Every stage writes its array as a whole.
  // ---------------------------------------------------------------- decode
  logic signed [OperandBits-1:0] operands [Pe*Simd];

  if (AffineSelect) begin : g_affine
    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        logic signed [OperandBits-1:0] shifted [Pe*Simd];
        for (int p = 0; p < int'(Pe); p++) begin
          for (int s = 0; s < int'(Simd); s++) begin
            shifted[p*int'(Simd)+s] =
                OperandBits'(weight_i[(p*int'(Simd)+s)*int'(WeightBits)+:WeightBits])
                + OperandBits'($signed(select_i[(SelectByChannel ? s : p)*int'(SelectW)+:SelectW]));
          end
        end
        operands <= shifted;
      end
    end
  end else begin : g_table
    localparam int unsigned IndexBits = SelectBits + WeightBits;
    logic [IndexBits-1:0] index [Pe*Simd];
    logic [OperandBits-1:0] decoded [Pe*Simd];

    always_comb begin
      for (int p = 0; p < int'(Pe); p++) begin
        for (int s = 0; s < int'(Simd); s++) begin
          // Without a selection the cast drops it.
          index[p*int'(Simd)+s] =
              IndexBits'({select_i[(SelectByChannel ? s : p)*int'(SelectW)+:SelectW],
                          weight_i[(p*int'(Simd)+s)*int'(WeightBits)+:WeightBits]});
        end
      end
    end

    nf_table #(
      .Lanes(Pe * Simd),
      .IndexBits(IndexBits),
      .DataBits(OperandBits),
      .File(TableFile)
    ) u_decode (
      .clk_i,
      .load_i(valid_i),
      .index_i(index),
      .data_o(decoded)
    );

    always_comb begin
      for (int i = 0; i < int'(Pe * Simd); i++) operands[i] = $signed(decoded[i]);
    end
  end

  // ---------------------------------------------------------------- flags beside the data
  logic [Stages-1:0] valid_q, first_q, last_q, end_q;

  always_ff @(posedge clk_i) begin
    first_q <= Stages'({first_q, first_i});
    last_q <= Stages'({last_q, last_i});
    end_q <= Stages'({end_q, end_i});
    if (!rst_ni) valid_q <= '0;
    else valid_q <= Stages'({valid_q, valid_i});
  end

  // ---------------------------------------------------------------- products, sum, accumulate
  logic signed [ProductBits-1:0] product_q [Pe*Simd];
  logic signed [SumBits-1:0] sum [Pe];
  logic signed [AccBits-1:0] acc_q [Pe];

  if (UseDsp) begin : g_dsp
    (* use_dsp = "yes" *) logic signed [ProductBits-1:0] dsp_q [Pe*Simd];
    always_ff @(posedge clk_i) begin
      if (valid_q[0]) begin
        logic signed [ProductBits-1:0] product [Pe*Simd];
        for (int p = 0; p < int'(Pe); p++) begin
          for (int s = 0; s < int'(Simd); s++) begin
            // The zero on top makes the unsigned activation a signed factor.
            product[p*int'(Simd)+s] =
                ProductBits'($signed({1'b0, act_i[(SharedActs ? s : p)*int'(ActBits)+:ActBits]}))
                * ProductBits'(operands[p*int'(Simd)+s]);
          end
        end
        dsp_q <= product;
      end
    end
    assign product_q = dsp_q;
  end else begin : g_logic
    // w = (w without its sign bit) - sign * 2**(OperandBits-1): the row of the sign is subtracted,
    // so that no row of the multiplier is longer than an activation. Rows that carry their sign to
    // the top cost more logic and a level of it.
    localparam logic signed [OperandBits-1:0] Magnitude =
        OperandBits'((64'd1 << (OperandBits - 1)) - 64'd1);
    (* use_dsp = "no" *) logic signed [ProductBits-1:0] logic_q [Pe*Simd];
    always_ff @(posedge clk_i) begin
      if (valid_q[0]) begin
        logic signed [ProductBits-1:0] product [Pe*Simd];
        for (int p = 0; p < int'(Pe); p++) begin
          for (int s = 0; s < int'(Simd); s++) begin
            logic [ProductBits-1:0] act;
            act = ProductBits'(act_i[(SharedActs ? s : p)*int'(ActBits)+:ActBits]);
            product[p*int'(Simd)+s] =
                act * ProductBits'(operands[p*int'(Simd)+s] & Magnitude)
                - (operands[p*int'(Simd)+s] < 0 ? act << (OperandBits - 1) : '0);
          end
        end
        logic_q <= product;
      end
    end
    assign product_q = logic_q;
  end

  localparam int unsigned LoadW = (Simd > 1) ? $clog2(Simd) : 1;
  logic [LoadW-1:0] tree_load;
  // Without a level the flag means nothing.
  assign tree_load = LoadW'(valid_q >> 1);

  nf_adder_tree #(
    .Lanes(Pe),
    .Terms(Simd),
    .Bits(ProductBits)
  ) u_tree (
    .clk_i,
    .load_i(tree_load),
    .terms_i(product_q),
    .sum_o(sum)
  );

  always_ff @(posedge clk_i) begin
    if (valid_q[Stages-1]) begin
      logic signed [AccBits-1:0] total [Pe];
      for (int p = 0; p < int'(Pe); p++) begin
        total[p] = (first_q[Stages-1] ? '0 : acc_q[p]) + AccBits'(sum[p]);
      end
      acc_q <= total;
    end
  end
  always_comb begin
    for (int p = 0; p < int'(Pe); p++) acc_o[p*int'(AccBits)+:AccBits] = acc_q[p];
  end

  always_ff @(posedge clk_i) begin
    end_o <= end_q[Stages-1];
    if (!rst_ni) valid_o <= 1'b0;
    else valid_o <= valid_q[Stages-1] & last_q[Stages-1];
  end
endmodule

`default_nettype wire

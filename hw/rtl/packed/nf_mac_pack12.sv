// SPDX-License-Identifier: Apache-2.0
//
// Multiply-accumulate core for rows of three taps, twelve products per DSP block: three weights of
// a kernel row times four neighbouring pixels.
//
// A fold is one group of four columns, 4t to 4t+3, of a padded row, with all kernel rows and
// channels. Folds come in the order group, then output fold; row_i marks those of a row's first
// group. For every fold, modulo 2**AccBits:
//
//   acc_o[x][p] = sum over the taps, s < Simd, k < 3 of act(4t + x - 2 + k)[s] * weight_i[p][s][k]
//
// where act(c) is the activation of column c of the same tap, 0 before the row.
//
// A block multiplies w2 + w1*2**7 + w0*2**14 by the four activations, 2**7 apart. Its six sums
// V0 .. V5 overlap by three bits, so every V1 .. V5 is also computed modulo 8, in logic:
//
//   spill[i] = ((P >> 7*(i+1)) - V[i+1]) mod 8, in [-4, 3]: what lanes 0 .. i carry into lane i+1
//   V[i] = P[7*i+6:7*i] + 2**7 * spill[i] - spill[i-1]
//
// Exact while the weights' word has 18 bits and every spill lies in [-4, 3]; hw.packing proves it.
//
// Latency:       valid_o follows last_i by 7 + $clog2(Simd) cycles; acc_o is valid in that cycle.
// Throughput:    one tap per cycle; folds follow each other without a gap.
// Back-pressure: none; cycles without valid_i are ignored.
// Golden:        sim.packed, sim.golden.conv
`default_nettype none

module nf_mac_pack12 #(
  parameter int unsigned Pe = 4,           // output lanes
  parameter int unsigned Simd = 2,         // channels per tap
  parameter int unsigned Folds = 1,        // output folds of a group of columns
  parameter int unsigned ActBits = 4,      // unsigned bits of an activation, 3 to 5
  parameter int unsigned OperandBits = 4,  // signed bits of a weight, 3 or 4
  parameter int unsigned AccBits = 18      // signed bits of the accumulator, at most 32
) (
  input  wire logic                             clk_i,
  input  wire logic                             rst_ni,
  input  wire logic                             valid_i,
  input  wire logic                             first_i,
  input  wire logic                             last_i,
  input  wire logic                             row_i,     // with first_i: first group of a row
  input  wire logic                             end_i,     // sideband, returned
  input  wire logic [4*Simd*ActBits-1:0]        act_i,     // one cycle after valid_i; column x,
                                                           // channel s at x*Simd+s
  input  wire logic [Pe*Simd*3*OperandBits-1:0] weight_i,  // lane p, channel s, column k
                                                           // at (p*Simd+s)*3+k
  output logic                                  valid_o,
  output logic                                  end_o,
  output logic [4*Pe*AccBits-1:0]               acc_o      // column x, lane p at x*Pe+p
);
  if (ActBits < 3 || ActBits > 5 || OperandBits < 3 || OperandBits > 4) begin : g_check_operands
    $fatal(1, "ActBits (%0d) must be in [3, 5] and OperandBits (%0d) in [3, 4]", ActBits,
           OperandBits);
  end

  localparam int unsigned Step = 7;    // bits from lane to lane
  localparam int unsigned Lanes = 6;
  localparam int unsigned Blocks = Pe * Simd;
  localparam int unsigned Levels = $clog2(Simd);
  // Stages between valid_i and the sum in front of the accumulator: weights, pre-adder, product,
  // result, spill, tree, correction.
  localparam int unsigned Stages = 6 + Levels;
  localparam int unsigned TermBits = Step + 3;
  localparam int unsigned TermSumBits = TermBits + Levels;
  localparam int unsigned SpillSumBits = 3 + Levels;
  localparam int unsigned SumBits = TermSumBits + 1;

  // ---------------------------------------------------------------- flags beside the data
  logic [Stages-1:0] valid_q, first_q, last_q, row_q, end_q;

  always_ff @(posedge clk_i) begin
    first_q <= Stages'({first_q, first_i});
    last_q <= Stages'({last_q, last_i});
    row_q <= Stages'({row_q, row_i});
    end_q <= Stages'({end_q, end_i});
    if (!rst_ni) valid_q <= '0;
    else valid_q <= Stages'({valid_q, valid_i});
  end

  // ---------------------------------------------------------------- blocks
  // Lane i with its own spill on top, from which the spill of the lane below is still to be taken.
  logic signed [TermBits-1:0] terms [Lanes*Blocks];
  logic signed [2:0] spills [(Lanes-1)*Blocks];

  // Low bits of the activations beside the block's first register.
  logic [2:0] remainder_q [Simd][4];

  always_ff @(posedge clk_i) begin
    for (int s = 0; s < int'(Simd); s++) begin
      for (int x = 0; x < 4; x++) remainder_q[s][x] <= act_i[(x*int'(Simd)+s)*int'(ActBits)+:3];
    end
  end

  // Sums modulo 8 as plain logic: a carry chain of three bits costs more than it saves.
  function automatic logic [2:0] add8(logic [2:0] a, logic [2:0] b, logic c);
    logic c1, c2;
    c1 = (a[0] & b[0]) | (c & (a[0] ^ b[0]));
    c2 = (a[1] & b[1]) | (c1 & (a[1] ^ b[1]));
    add8 = {a[2] ^ b[2] ^ c2, a[1] ^ b[1] ^ c1, a[0] ^ b[0] ^ c};
  endfunction

  function automatic logic [2:0] lane_sum(logic [2:0] parts [3][4], int lane);
    lane_sum = '0;
    for (int j = 0; j < 3; j++) begin
      if (lane - j >= 0 && lane - j < 4) lane_sum = add8(lane_sum, parts[j][lane-j], 1'b0);
    end
  endfunction

  for (genvar p = 0; p < Pe; p++) begin : g_pe
    for (genvar s = 0; s < Simd; s++) begin : g_block
      logic [26:0] low, sign, factor;
      logic [47:0] link, product;
      logic unused;

      always_comb begin
        low = '0;
        sign = '0;
        factor = '0;
        for (int j = 0; j < 3; j++) begin
          low[j*int'(Step)+:OperandBits-1] = weight_i[((p*Simd+s)*3+2-j)*OperandBits+:OperandBits-1];
          sign[j*int'(Step)+int'(OperandBits)-1] =
              weight_i[((p*Simd+s)*3+2-j)*OperandBits+OperandBits-1];
        end
        for (int x = 0; x < 4; x++) begin
          factor[x*int'(Step)+:ActBits] = act_i[(x*Simd+s)*ActBits+:ActBits];
        end
      end
      nf_dsp48e2 #(
        .WideFactor(1'b1)
      ) u_dsp (
        .clk_i,
        .low_i(low),
        .sign_i(sign),
        .factor_i(factor),
        .pc_i('0),
        .pc_o(link),
        .p_o(product)
      );
      assign unused = ^{link, product[47:Lanes*Step+1]};

      // Remainders modulo 8 in step with the block: operands, products, sums.
      logic [2:0] weight_q [3];
      logic [2:0] weight_q2 [3];
      logic [2:0] part_q [3][4];
      logic [2:0] lane_q [1:Lanes-1];

      always_ff @(posedge clk_i) begin
        for (int j = 0; j < 3; j++) begin
          weight_q[j] <= weight_i[((p*Simd+s)*3+2-j)*OperandBits+:3];
          weight_q2[j] <= weight_q[j];
          for (int x = 0; x < 4; x++) part_q[j][x] <= weight_q2[j] * remainder_q[s][x];
        end
        for (int i = 1; i < int'(Lanes); i++) lane_q[i] <= lane_sum(part_q, i);
      end

      for (genvar i = 0; i < Lanes; i++) begin : g_lane
        logic signed [TermBits-1:0] term_q;
        if (i < Lanes - 1) begin : g_spill
          logic [2:0] spill;
          assign spill = add8(product[(i+1)*Step+:3], ~lane_q[i+1], 1'b1);
          always_ff @(posedge clk_i) term_q <= {spill, product[i*Step+:Step]};
          assign spills[(i*Pe+p)*Simd+s] = term_q[Step+:3];
        end else begin : g_top
          // What fits its weights and activations has eight bits, the spill included.
          always_ff @(posedge clk_i) term_q <= TermBits'($signed(product[i*Step+:Step+1]));
        end
        assign terms[(i*Pe+p)*Simd+s] = term_q;
      end
    end
  end

  // ---------------------------------------------------------------- sums over the blocks
  logic signed [TermSumBits-1:0] term_sum [Lanes*Pe];
  logic signed [SpillSumBits-1:0] spill_sum [(Lanes-1)*Pe];
  logic signed [SumBits-1:0] sum_d [Lanes*Pe];
  logic signed [SumBits-1:0] sum_q [Lanes*Pe];
  logic carry [Lanes*Pe];

  nf_adder_tree #(
    .Lanes(Lanes * Pe),
    .Terms(Simd),
    .Bits(TermBits)
  ) u_terms (
    .clk_i,
    .terms_i(terms),
    .sum_o(term_sum)
  );
  nf_adder_tree #(
    .Lanes((Lanes - 1) * Pe),
    .Terms(Simd),
    .Bits(3)
  ) u_spills (
    .clk_i,
    .terms_i(spills),
    .sum_o(spill_sum)
  );

  always_comb begin
    // verilator unroll_disable
    for (int p = 0; p < int'(Pe); p++) begin
      for (int i = 0; i < int'(Lanes); i++) begin
        carry[p*int'(Lanes)+i] = 1'b0;
        sum_d[p*int'(Lanes)+i] = SumBits'(term_sum[i*int'(Pe)+p]);
        if (i > 0) begin
          sum_d[p*int'(Lanes)+i] = SumBits'(term_sum[i*int'(Pe)+p])
                                   - SumBits'(spill_sum[(i-1)*int'(Pe)+p]);
        end
      end
    end
  end
  always_ff @(posedge clk_i) sum_q <= sum_d;

  nf_row_accumulator #(
    .Pe(Pe),
    .Pixels(4),
    .Folds(Folds),
    .SumBits(SumBits),
    .AccBits(AccBits)
  ) u_accumulate (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q[Stages-1]),
    .first_i(first_q[Stages-1]),
    .last_i(last_q[Stages-1]),
    .row_i(row_q[Stages-1]),
    .end_i(end_q[Stages-1]),
    .sum_i(sum_q),
    .carry_i(carry),
    .valid_o,
    .end_o,
    .acc_o
  );
endmodule

`default_nettype wire

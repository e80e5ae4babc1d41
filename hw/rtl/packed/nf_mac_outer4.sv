// SPDX-License-Identifier: Apache-2.0
//
// Multiply-accumulate core with four products per DSP block: two weights times two pixels.
//
//   acc_o[x][p] = sum over the taps of a fold, first_i to last_i, and over s < Simd, of
//                 act_i[x][s] * weight_i[p][s]                          x = 0, 1, modulo 2**AccBits
//
// A block multiplies w0 + w1*2**22 by a0 + a1*2**11 and adds the block before: Cascade blocks make
// one chain. Lane i of the result, 11 bits from bit 11*i, is the signed bits plus the bit below.
// That is exact while every lane's sum over a chain is in [-1023, 1023]; hw.packing proves it.
//
// A chain adds from block to block, one cycle each, so block s % Cascade works that much later:
// weight_i of it arrives s % Cascade cycles late (its memory reads late); act_i is delayed here.
//
// Latency:       valid_o follows last_i by 4 + Cascade + $clog2(Simd/Cascade) cycles; acc_o is
//                valid in that cycle.
// Throughput:    one tap per cycle; folds follow each other without a gap.
// Back-pressure: none; cycles without valid_i are ignored.
// Golden:        sim.packed, sim.golden.conv
`default_nettype none

module nf_mac_outer4 #(
  parameter int unsigned Pe = 8,           // output lanes, even
  parameter int unsigned Simd = 8,         // products per lane, pixel and tap
  parameter int unsigned Cascade = 8,      // blocks of a chain, divides Simd
  parameter int unsigned ActBits = 4,      // unsigned bits of an activation, at most 6
  parameter int unsigned OperandBits = 4,  // signed bits of a weight, at most 5
  parameter int unsigned AccBits = 18      // signed bits of the accumulator, 13 to 32
) (
  input  wire logic                             clk_i,
  input  wire logic                             rst_ni,
  input  wire logic                             valid_i,
  input  wire logic                             first_i,
  input  wire logic                             last_i,
  input  wire logic                             end_i,     // sideband, returned
  input  wire logic [2*Simd*ActBits-1:0]        act_i,     // one cycle after valid_i
  input  wire logic [Pe*Simd*OperandBits-1:0]   weight_i,  // lane p, product s at p*Simd+s
  output logic                                  valid_o,
  output logic                                  end_o,
  output logic [2*Pe*AccBits-1:0]               acc_o      // pixel x, lane p at x*Pe+p
);
  if (Pe % 2 != 0) begin : g_check_pe
    $fatal(1, "Pe (%0d) must be even", Pe);
  end
  if (Simd % Cascade != 0) begin : g_check_cascade
    $fatal(1, "Cascade (%0d) must divide Simd (%0d)", Cascade, Simd);
  end
  if (ActBits > 6 || OperandBits < 2 || OperandBits > 5) begin : g_check_operands
    $fatal(1, "ActBits (%0d) must be at most 6 and OperandBits (%0d) in [2, 5]", ActBits,
           OperandBits);
  end

  localparam int unsigned LaneBits = 11;
  localparam int unsigned Chains = Simd / Cascade;
  localparam int unsigned TermBits = LaneBits + $clog2(Chains);
  // Stages between valid_i and the sum in front of the accumulator: weights, pre-adder, product,
  // chain, adder tree.
  localparam int unsigned Stages = 3 + Cascade + $clog2(Chains);

  // ---------------------------------------------------------------- flags beside the data
  logic [Stages-1:0] valid_q, first_q, last_q, end_q;

  always_ff @(posedge clk_i) begin
    first_q <= Stages'({first_q, first_i});
    last_q <= Stages'({last_q, last_i});
    end_q <= Stages'({end_q, end_i});
    if (!rst_ni) valid_q <= '0;
    else valid_q <= Stages'({valid_q, valid_i});
  end

  // ---------------------------------------------------------------- activations, late per block
  logic [17:0] factor [Simd];

  for (genvar s = 0; s < Simd; s++) begin : g_act
    // The second input register of a block is one cycle of its delay.
    localparam int unsigned Late = (s % Cascade > 1) ? s % Cascade - 1 : 0;
    logic [2*ActBits-1:0] late;
    nf_delay #(
      .Bits(2 * ActBits),
      .Cycles(Late)
    ) u_late (
      .clk_i,
      .data_i({act_i[(Simd+s)*ActBits+:ActBits], act_i[s*ActBits+:ActBits]}),
      .data_o(late)
    );
    assign factor[s] = 18'({LaneBits'(late[ActBits+:ActBits]), LaneBits'(late[0+:ActBits])});
  end

  // ---------------------------------------------------------------- products
  // Lane 0: w0*a0, 1: w0*a1, 2: w1*a0, 3: w1*a1.
  logic signed [LaneBits-1:0] terms [2*Pe*Chains];
  logic borrows [2*Pe*Chains];

  for (genvar q = 0; q < Pe / 2; q++) begin : g_pair
    for (genvar c = 0; c < Chains; c++) begin : g_chain
      logic [47:0] links [Cascade+1];
      logic [47:0] product;
      assign links[0] = '0;
      for (genvar k = 0; k < Cascade; k++) begin : g_block
        localparam int unsigned S = c * Cascade + k;
        logic [OperandBits-1:0] w0, w1;
        logic [26:0] low, sign;
        logic [47:0] result;
        assign w0 = weight_i[(2*q*Simd+S)*OperandBits+:OperandBits];
        assign w1 = weight_i[((2*q+1)*Simd+S)*OperandBits+:OperandBits];
        always_comb begin
          low = '0;
          sign = '0;
          low[0+:OperandBits-1] = w0[OperandBits-2:0];
          low[2*LaneBits+:OperandBits-1] = w1[OperandBits-2:0];
          sign[OperandBits-1] = w0[OperandBits-1];
          sign[2*LaneBits+OperandBits-1] = w1[OperandBits-1];
        end
        nf_dsp48e2 #(
          .FactorRegs((k == 0) ? 1 : 2),
          .Cascaded(k != 0)
        ) u_dsp (
          .clk_i,
          .low_i(low),
          .sign_i(sign),
          .factor_i(27'(factor[S])),
          .pc_i(links[k]),
          .pc_o(links[k+1]),
          .p_o(result)
        );
        if (k == Cascade - 1) begin : g_last
          logic unused;
          assign product = result;
          assign unused = ^{links[k+1], product[47:4*LaneBits]};
        end else begin : g_inner
          logic unused;
          assign unused = ^result;
        end
      end
      for (genvar i = 0; i < 4; i++) begin : g_lane
        localparam int unsigned Lane = (i % 2) * Pe + 2 * q + i / 2;
        assign terms[Lane*Chains+c] = product[i*LaneBits+:LaneBits];
        assign borrows[Lane*Chains+c] = (i == 0) ? 1'b0 : product[(i == 0) ? 0 : i*LaneBits-1];
      end
    end
  end

  // ---------------------------------------------------------------- sum, accumulate
  logic signed [TermBits-1:0] sum [2*Pe];
  logic carry [2*Pe];
  logic signed [AccBits-1:0] total [2*Pe];
  logic signed [AccBits-1:0] acc_q [2*Pe];

  nf_carry_tree #(
    .Lanes(2 * Pe),
    .Terms(Chains),
    .Bits(LaneBits)
  ) u_tree (
    .clk_i,
    .terms_i(terms),
    .carries_i(borrows),
    .sum_o(sum),
    .carry_o(carry)
  );

  always_comb begin
    // verilator unroll_disable
    for (int i = 0; i < int'(2 * Pe); i++) begin
      total[i] = AccBits'(sum[i]) + (first_q[Stages-1] ? '0 : acc_q[i])
                 + $signed(AccBits'(carry[i]));
      acc_o[i*int'(AccBits)+:AccBits] = acc_q[i];
    end
  end
  always_ff @(posedge clk_i) begin
    if (valid_q[Stages-1]) acc_q <= total;
    end_o <= end_q[Stages-1];
    if (!rst_ni) valid_o <= 1'b0;
    else valid_o <= valid_q[Stages-1] & last_q[Stages-1];
  end
endmodule

`default_nettype wire

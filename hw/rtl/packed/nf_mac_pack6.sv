// SPDX-License-Identifier: Apache-2.0
//
// Multiply-accumulate core for rows of three taps, six products per DSP block: three weights of a
// kernel row times two neighbouring pixels.
//
// A fold is one pair of pixels of a padded row, columns 2t and 2t+1, of all kernel rows and channels
// of a group. Folds come in the order pair, then output fold; row_i marks those of a row's first
// pair. For every fold, modulo 2**AccBits:
//
//   acc_o[x][p] = sum over the taps, s < Simd, k < 3 of act(2t + x - 2 + k)[s] * weight_i[p][s][k]
//
// where act(c) is the activation of column c of the same tap, 0 before the row. So the results of
// pair t are the windows that end in its columns; those of a row's first pair end too early.
//
// A block multiplies w2 + w1*2**11 + w0*2**22 by a0 + a1*2**11: a polynomial product, whose upper
// two of four lanes belong to the next pair: nf_row_accumulator keeps them. Lane i of a result, 11
// bits from bit 11*i, is the signed bits plus the bit below; exact while every lane's sum over the
// Cascade blocks of a chain is in [-1023, 1023] (hw.packing proves it). Activations of more than
// four bits are two nibbles on two blocks: three products per block.
//
// Block s % Cascade of a chain works that many cycles late: weight_i of it arrives as late (its
// memory reads late); act_i is delayed here.
//
// Latency:       valid_o follows last_i by 4 + Cascade + $clog2(Simd/Cascade) cycles, one more with
//                two nibbles; acc_o is valid in that cycle.
// Throughput:    one tap per cycle; folds follow each other without a gap.
// Back-pressure: none; cycles without valid_i are ignored.
// Golden:        sim.packed, sim.golden.conv
`default_nettype none

module nf_mac_pack6 #(
  parameter int unsigned Pe = 4,           // output lanes
  parameter int unsigned Simd = 8,         // channels per tap
  parameter int unsigned Cascade = 4,      // blocks of a chain, divides Simd
  parameter int unsigned Folds = 1,        // output folds of a pair
  parameter int unsigned ActBits = 4,      // unsigned bits of an activation, at most 8
  parameter int unsigned OperandBits = 4,  // signed bits of a weight, 2 to 5
  parameter int unsigned AccBits = 18      // signed bits of the accumulator, at most 32
) (
  input  wire logic                             clk_i,
  input  wire logic                             rst_ni,
  input  wire logic                             valid_i,
  input  wire logic                             first_i,
  input  wire logic                             last_i,
  input  wire logic                             row_i,     // with first_i: first pair of a row
  input  wire logic                             end_i,     // sideband, returned
  input  wire logic [2*Simd*ActBits-1:0]        act_i,     // one cycle after valid_i
  input  wire logic [Pe*Simd*3*OperandBits-1:0] weight_i,  // lane p, channel s, column k
                                                           // at (p*Simd+s)*3+k
  output logic                                  valid_o,
  output logic                                  end_o,
  output logic [2*Pe*AccBits-1:0]               acc_o      // column x, lane p at x*Pe+p
);
  if (Simd % Cascade != 0) begin : g_check_cascade
    $fatal(1, "Cascade (%0d) must divide Simd (%0d)", Cascade, Simd);
  end
  if (ActBits > 8 || OperandBits < 2 || OperandBits > 5) begin : g_check_operands
    $fatal(1, "ActBits (%0d) must be at most 8 and OperandBits (%0d) in [2, 5]", ActBits,
           OperandBits);
  end
  if (Folds < 1) begin : g_check_folds
    $fatal(1, "Folds (%0d) must be at least 1", Folds);
  end

  localparam int unsigned LaneBits = 11;
  localparam int unsigned Nibbles = (ActBits > 4) ? 2 : 1;
  localparam int unsigned PartBits = (ActBits > 4) ? 4 : ActBits;
  localparam int unsigned Chains = Simd / Cascade;
  localparam int unsigned TermBits = LaneBits + $clog2(Chains);
  localparam int unsigned SumBits = (Nibbles == 2) ? TermBits + 5 : TermBits;
  // Stages between valid_i and the sum in front of the accumulator: weights, pre-adder, product,
  // chain, adder tree, joining of nibbles.
  localparam int unsigned Stages = 2 + Cascade + $clog2(Chains) + Nibbles;

  if (AccBits < SumBits || AccBits > 32) begin : g_check_acc
    $fatal(1, "AccBits (%0d) must be in [%0d, 32]", AccBits, SumBits);
  end

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

  // ---------------------------------------------------------------- activations, late per block
  logic [17:0] factor [Nibbles*Simd];

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
    for (genvar n = 0; n < Nibbles; n++) begin : g_nibble
      localparam int unsigned Bits = (n == 0) ? PartBits : ActBits - 4;
      assign factor[n*Simd+s] = 18'({LaneBits'(late[ActBits+4*n+:Bits]),
                                     LaneBits'(late[4*n+:Bits])});
    end
  end

  // ---------------------------------------------------------------- products
  // Lane 0: w2*a0, 1: w2*a1 + w1*a0, 2: w1*a1 + w0*a0, 3: w0*a1.
  logic signed [TermBits-1:0] parts [Nibbles*4*Pe];
  logic carries [Nibbles*4*Pe];

  for (genvar n = 0; n < Nibbles; n++) begin : g_part
    logic signed [LaneBits-1:0] terms [4*Pe*Chains];
    logic borrows [4*Pe*Chains];
    logic signed [TermBits-1:0] sums [4*Pe];
    logic passed [4*Pe];

    for (genvar p = 0; p < Pe; p++) begin : g_pe
      for (genvar c = 0; c < Chains; c++) begin : g_chain
        logic [47:0] links [Cascade+1];
        logic [47:0] product;
        assign links[0] = '0;
        for (genvar k = 0; k < Cascade; k++) begin : g_block
          localparam int unsigned S = c * Cascade + k;
          logic [26:0] low, sign;
          logic [47:0] result;
          always_comb begin
            low = '0;
            sign = '0;
            for (int j = 0; j < 3; j++) begin
              low[j*int'(LaneBits)+:OperandBits-1] =
                  weight_i[((p*Simd+S)*3+2-j)*OperandBits+:OperandBits-1];
              sign[j*int'(LaneBits)+int'(OperandBits)-1] =
                  weight_i[((p*Simd+S)*3+2-j)*OperandBits+OperandBits-1];
            end
          end
          nf_dsp48e2 #(
            .FactorRegs((k == 0) ? 1 : 2),
            .Cascaded(k != 0)
          ) u_dsp (
            .clk_i,
            .low_i(low),
            .sign_i(sign),
            .factor_i(27'(factor[n*Simd+S])),
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
          assign terms[(4*p+i)*Chains+c] = product[i*LaneBits+:LaneBits];
          assign borrows[(4*p+i)*Chains+c] = (i == 0) ? 1'b0 : product[(i == 0) ? 0 : i*LaneBits-1];
        end
      end
    end

    nf_carry_tree #(
      .Lanes(4 * Pe),
      .Terms(Chains),
      .Bits(LaneBits)
    ) u_tree (
      .clk_i,
      .terms_i(terms),
      .carries_i(borrows),
      .sum_o(sums),
      .carry_o(passed)
    );
    for (genvar i = 0; i < 4 * Pe; i++) begin : g_sum
      assign parts[n*4*Pe+i] = sums[i];
      assign carries[n*4*Pe+i] = passed[i];
    end
  end

  // ---------------------------------------------------------------- nibbles
  logic signed [SumBits-1:0] sum [4*Pe];
  logic carry [4*Pe];

  if (Nibbles == 2) begin : g_join
    // low + 16*high: the lowest four bits are low's own.
    logic signed [SumBits-1:0] joined [4*Pe];
    logic low_carry [4*Pe];
    always_comb begin
      // verilator unroll_disable
      for (int i = 0; i < int'(4 * Pe); i++) begin
        joined[i][3:0] = parts[i][3:0];
        joined[i][SumBits-1:4] = (SumBits-4)'(parts[i] >>> 4)
                                 + (SumBits-4)'(parts[i+int'(4*Pe)])
                                 + $signed((SumBits-4)'(carries[i+int'(4*Pe)]));
        low_carry[i] = carries[i];
      end
    end
    always_ff @(posedge clk_i) begin
      sum <= joined;
      carry <= low_carry;
    end
  end else begin : g_single
    assign sum = parts;
    assign carry = carries;
  end

  // ---------------------------------------------------------------- accumulate, overlap
  nf_row_accumulator #(
    .Pe(Pe),
    .Pixels(2),
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
    .sum_i(sum),
    .carry_i(carry),
    .valid_o,
    .end_o,
    .acc_o
  );
endmodule

`default_nettype wire

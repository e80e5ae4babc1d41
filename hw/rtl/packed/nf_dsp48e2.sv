// SPDX-License-Identifier: Apache-2.0
//
// One DSP48E2 block as a packed multiplier in a cascade.
//
//   p_o = pc_o = (low_i - sign_i) * factor_i + pc_i
//
// Small signed weights side by side in one word: their low bits are low_i, their sign bits sign_i,
// and the pre-adder makes the sum of weight * 2**offset, which costs no logic.
//
// Latency:       low_i, sign_i to p_o 4 cycles; factor_i to p_o 2 + FactorRegs; pc_i to p_o 1.
// Throughput:    one product per cycle.
// Back-pressure: none; data flows on every cycle.
// Golden:        sim.packed
`default_nettype none

module nf_dsp48e2 #(
  parameter bit WideFactor = 1'b0,        // factor_i has 27 signed bits, the weights 18; else 18, 27
  parameter int unsigned FactorRegs = 1,  // input registers of factor_i, 1 or 2
  parameter bit Cascaded = 1'b0           // adds pc_i
) (
  input  wire logic        clk_i,
  input  wire logic [26:0] low_i,
  input  wire logic [26:0] sign_i,
  input  wire logic [26:0] factor_i,
  input  wire logic [47:0] pc_i,  // pc_o of the block before in the column
  output logic [47:0]      pc_o,
  output logic [47:0]      p_o
);
  if (FactorRegs < 1 || FactorRegs > 2) begin : g_check_registers
    $fatal(1, "FactorRegs (%0d) must be 1 or 2", FactorRegs);
  end

  localparam int ARegs = WideFactor ? int'(FactorRegs) : 1;
  localparam int BRegs = WideFactor ? 1 : int'(FactorRegs);

  logic [29:0] a;
  logic [17:0] b;
  logic [65:0] unused;
  assign a = 30'(WideFactor ? factor_i : sign_i);
  assign b = 18'(WideFactor ? sign_i : factor_i);

  DSP48E2 #(
    .ACASCREG(ARegs),
    .ADREG(1),
    .ALUMODEREG(0),
    .AMULTSEL(WideFactor ? "A" : "AD"),
    .AREG(ARegs),
    .A_INPUT("DIRECT"),
    .BCASCREG(BRegs),
    .BMULTSEL(WideFactor ? "AD" : "B"),
    .BREG(BRegs),
    .B_INPUT("DIRECT"),
    .CARRYINREG(0),
    .CARRYINSELREG(0),
    .CREG(1),
    .DREG(1),
    .INMODEREG(0),
    .MREG(1),
    .OPMODEREG(0),
    .PREADDINSEL(WideFactor ? "B" : "A"),
    .PREG(1),
    .USE_MULT("MULTIPLY"),
    .USE_SIMD("ONE48")
  ) u_block (
    .ACOUT(unused[29:0]),
    .BCOUT(unused[47:30]),
    .CARRYCASCOUT(unused[48]),
    .CARRYOUT(unused[52:49]),
    .MULTSIGNOUT(unused[53]),
    .OVERFLOW(unused[54]),
    .P(p_o),
    .PATTERNBDETECT(unused[55]),
    .PATTERNDETECT(unused[56]),
    .PCOUT(pc_o),
    .UNDERFLOW(unused[57]),
    .XOROUT(unused[65:58]),
    .A(a),
    .ACIN('0),
    .ALUMODE(4'b0000),
    .B(b),
    .BCIN('0),
    .C('0),
    .CARRYCASCIN(1'b0),
    .CARRYIN(1'b0),
    .CARRYINSEL(3'b000),
    .CEA1(1'b1),
    .CEA2(1'b1),
    .CEAD(1'b1),
    .CEALUMODE(1'b1),
    .CEB1(1'b1),
    .CEB2(1'b1),
    .CEC(1'b1),
    .CECARRYIN(1'b1),
    .CECTRL(1'b1),
    .CED(1'b1),
    .CEINMODE(1'b1),
    .CEM(1'b1),
    .CEP(1'b1),
    .CLK(clk_i),
    .D(low_i),
    // D - A2 (or B2); the second registers feed the multiplier.
    .INMODE(5'b01100),
    .MULTSIGNIN(1'b0),
    // M plus 0 or PCIN.
    .OPMODE(Cascaded ? 9'b00_001_01_01 : 9'b00_000_01_01),
    .PCIN(pc_i),
    .RSTA(1'b0),
    .RSTALLCARRYIN(1'b0),
    .RSTALUMODE(1'b0),
    .RSTB(1'b0),
    .RSTC(1'b0),
    .RSTCTRL(1'b0),
    .RSTD(1'b0),
    .RSTINMODE(1'b0),
    .RSTM(1'b0),
    .RSTP(1'b0)
  );
endmodule

`default_nettype wire

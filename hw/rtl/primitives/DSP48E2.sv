// SPDX-License-Identifier: Apache-2.0
//
// Behavioural model of the DSP48E2 block of UltraScale+, for simulation: the subset that
// nf_dsp48e2 uses. The names of module, parameters and ports are the device's.
//
//   P = M + Z, M = factor * AD, AD = (D or 0) + or - (A or B), Z = 0, PCIN, P or C
//
// Input registers of A and B (0 to 2), D, AD, M and P (0 or 1) as the parameters say. Everything
// else of the block (logic unit, SIMD, pattern detector, cascaded A and B, clock enables, resets,
// carries) is refused: at elaboration by parameter, during simulation by input.
//
// Synthesis takes the device's own block; DSP48E2_ports.sv declares it for Yosys.
`default_nettype none

module DSP48E2 #(
  parameter int ACASCREG = 1,
  parameter int ADREG = 1,
  parameter int ALUMODEREG = 1,
  parameter AMULTSEL = "A",
  parameter int AREG = 1,
  parameter A_INPUT = "DIRECT",
  parameter int BCASCREG = 1,
  parameter BMULTSEL = "B",
  parameter int BREG = 1,
  parameter B_INPUT = "DIRECT",
  parameter int CARRYINREG = 1,
  parameter int CARRYINSELREG = 1,
  parameter int CREG = 1,
  parameter int DREG = 1,
  parameter int INMODEREG = 1,
  parameter int MREG = 1,
  parameter int OPMODEREG = 1,
  parameter PREADDINSEL = "A",
  parameter int PREG = 1,
  parameter USE_MULT = "MULTIPLY",
  parameter USE_SIMD = "ONE48"
) (
  output logic [29:0]      ACOUT,
  output logic [17:0]      BCOUT,
  output logic             CARRYCASCOUT,
  output logic [3:0]       CARRYOUT,
  output logic             MULTSIGNOUT,
  output logic             OVERFLOW,
  output logic [47:0]      P,
  output logic             PATTERNBDETECT,
  output logic             PATTERNDETECT,
  output logic [47:0]      PCOUT,
  output logic             UNDERFLOW,
  output logic [7:0]       XOROUT,
  input  wire logic [29:0] A,
  input  wire logic [29:0] ACIN,
  input  wire logic [3:0]  ALUMODE,
  input  wire logic [17:0] B,
  input  wire logic [17:0] BCIN,
  input  wire logic [47:0] C,
  input  wire logic        CARRYCASCIN,
  input  wire logic        CARRYIN,
  input  wire logic [2:0]  CARRYINSEL,
  input  wire logic        CEA1,
  input  wire logic        CEA2,
  input  wire logic        CEAD,
  input  wire logic        CEALUMODE,
  input  wire logic        CEB1,
  input  wire logic        CEB2,
  input  wire logic        CEC,
  input  wire logic        CECARRYIN,
  input  wire logic        CECTRL,
  input  wire logic        CED,
  input  wire logic        CEINMODE,
  input  wire logic        CEM,
  input  wire logic        CEP,
  input  wire logic        CLK,
  input  wire logic [26:0] D,
  input  wire logic [4:0]  INMODE,
  input  wire logic        MULTSIGNIN,
  input  wire logic [8:0]  OPMODE,
  input  wire logic [47:0] PCIN,
  input  wire logic        RSTA,
  input  wire logic        RSTALLCARRYIN,
  input  wire logic        RSTALUMODE,
  input  wire logic        RSTB,
  input  wire logic        RSTC,
  input  wire logic        RSTCTRL,
  input  wire logic        RSTD,
  input  wire logic        RSTINMODE,
  input  wire logic        RSTM,
  input  wire logic        RSTP
);
  if (AREG < 1 || AREG > 2 || BREG < 1 || BREG > 2 || ACASCREG != AREG || BCASCREG != BREG)
  begin : g_check_inputs
    $fatal(1, "AREG (%0d) and BREG (%0d) must be 1 or 2, ACASCREG and BCASCREG the same", AREG,
           BREG);
  end
  if (DREG != 1 || ADREG != 1 || MREG != 1 || PREG != 1 || CREG != 1) begin : g_check_registers
    $fatal(1, "DREG (%0d), ADREG (%0d), MREG (%0d), PREG (%0d) and CREG (%0d) must be 1", DREG,
           ADREG, MREG, PREG, CREG);
  end
  if (ALUMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0 || INMODEREG != 0 || OPMODEREG != 0)
  begin : g_check_modes
    $fatal(1, "Mode registers (%0d, %0d, %0d, %0d, %0d) must be 0", ALUMODEREG, CARRYINREG,
           CARRYINSELREG, INMODEREG, OPMODEREG);
  end
  if (A_INPUT != "DIRECT" || B_INPUT != "DIRECT" || USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48")
  begin : g_check_kind
    $fatal(1, "A_INPUT, B_INPUT, USE_MULT, USE_SIMD must be DIRECT, DIRECT, MULTIPLY, ONE48");
  end
  // The pre-adder takes A or B, and its sum takes that one's place at the multiplier.
  localparam bit AddsA = AMULTSEL == "AD" && BMULTSEL == "B" && PREADDINSEL == "A";
  localparam bit AddsB = AMULTSEL == "A" && BMULTSEL == "AD" && PREADDINSEL == "B";
  localparam bit AddsNone = AMULTSEL == "A" && BMULTSEL == "B";
  if (!AddsA && !AddsB && !AddsNone) begin : g_check_adder
    $fatal(1, "AMULTSEL (%s), BMULTSEL (%s), PREADDINSEL (%s) are not modelled together", AMULTSEL,
           BMULTSEL, PREADDINSEL);
  end

  logic signed [26:0] a1_q, a2_q, d_q, ad_q, added;
  logic signed [17:0] b1_q, b2_q;
  logic signed [44:0] m_q;
  logic signed [47:0] c_q, p_q, z;

  assign added = AddsB ? 27'(b2_q) : a2_q;

  always_ff @(posedge CLK) begin
    a1_q <= A[26:0];
    a2_q <= (AREG == 2) ? a1_q : A[26:0];
    b1_q <= B;
    b2_q <= (BREG == 2) ? b1_q : B;
    d_q <= D;
    c_q <= C;
    ad_q <= (INMODE[2] ? d_q : '0) + (INMODE[3] ? -added : added);
    m_q <= 45'(AddsA ? ad_q : a2_q) * 45'(AddsB ? $signed(ad_q[17:0]) : b2_q);
    p_q <= 48'(m_q) + z;
  end

  always_comb begin
    unique case (OPMODE[6:4])
      3'b001: z = PCIN;
      3'b010: z = p_q;
      3'b011: z = c_q;
      default: z = '0;
    endcase
  end
  assign P = p_q;
  assign PCOUT = p_q;

  // What the model does not do must not be asked for; an X-free simulation shows it at once.
  logic [12:0] enables;
  logic [9:0] resets;
  assign enables = {CEA1, CEA2, CEAD, CEALUMODE, CEB1, CEB2, CEC, CECARRYIN, CECTRL, CED, CEINMODE,
                    CEM, CEP};
  assign resets = {RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM,
                   RSTP};
  always_ff @(posedge CLK) begin
    if (enables != '1 || resets != '0) begin
      $fatal(1, "clock enables (%b) must be 1 and resets (%b) 0", enables, resets);
    end
    if (OPMODE[8:7] != 2'b00 || OPMODE[3:0] != 4'b0101 || OPMODE[6:4] > 3'b011 || ALUMODE != '0)
    begin
      $fatal(1, "OPMODE (%b) must select M and 0, PCIN, P or C, and ALUMODE (%b) the sum", OPMODE,
             ALUMODE);
    end
    if ({INMODE[4], INMODE[1:0]} != '0 || CARRYIN || CARRYINSEL != '0) begin
      $fatal(1, "INMODE (%b) must select A2 and B2, CARRYIN (%b) and CARRYINSEL (%b) be 0", INMODE,
             CARRYIN, CARRYINSEL);
    end
  end

  assign {ACOUT, BCOUT, CARRYCASCOUT, CARRYOUT, MULTSIGNOUT} = '0;
  assign {OVERFLOW, PATTERNBDETECT, PATTERNDETECT, UNDERFLOW, XOROUT} = '0;
  logic unused;
  assign unused = ^{A[29:27], ACIN, BCIN, CARRYCASCIN, MULTSIGNIN};
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Changes the lanes of a stream: the same codes in the same order, other beats.
//
//   lane l of output beat n = code n*LanesOut + l of the stream,  of LanesIn codes per input beat
//
// Lanes move in units of their greatest common divisor, so that one module narrows (4 to 2), widens
// (2 to 4) and does both at once (6 to 4). Both numbers divide the channels of a pixel: a pixel ends
// with nothing left over.
//
// Latency:       1 cycle.
// Throughput:    one beat per cycle on the side of fewer lanes.
// Back-pressure: m_ready_i low fills the output queue of 2 beats; a step that ends an output beat
//                needs a free place in it.
// Golden:        none; it carries codes as they are.
`default_nettype none

module nf_width #(
  parameter int unsigned CodeBits = 4,  // bits of a code
  parameter int unsigned LanesIn = 4,   // codes of an input beat
  parameter int unsigned LanesOut = 2   // codes of an output beat, not LanesIn
) (
  input  wire logic                          clk_i,
  input  wire logic                          rst_ni,
  input  wire logic [LanesIn*CodeBits-1:0]   s_data_i,
  input  wire logic                          s_valid_i,
  output logic                               s_ready_o,
  output logic [LanesOut*CodeBits-1:0]       m_data_o,
  output logic                               m_valid_o,
  input  wire logic                          m_ready_i
);
  if (LanesIn == LanesOut) begin : g_check_lanes
    $fatal(1, "LanesIn (%0d) must differ from LanesOut (%0d)", LanesIn, LanesOut);
  end

  function automatic int unsigned common_divisor(int unsigned a, int unsigned b);
    int unsigned high, low, rest;
    high = a;
    low = b;
    while (low != 0) begin
      rest = high % low;
      high = low;
      low = rest;
    end
    common_divisor = high;
  endfunction

  localparam int unsigned Unit = common_divisor(LanesIn, LanesOut);
  localparam int unsigned UnitBits = Unit * CodeBits;
  localparam int unsigned UnitsIn = LanesIn / Unit;
  localparam int unsigned UnitsOut = LanesOut / Unit;
  localparam int unsigned InBits = LanesIn * CodeBits;
  localparam int unsigned OutBits = LanesOut * CodeBits;
  localparam int unsigned WordBits = InBits + OutBits - UnitBits;

  logic free, push;
  logic [WordBits-1:0] word;
  logic [OutBits-1:0] beat;

  if (UnitsIn > UnitsOut) begin : g_narrow
    // Every step gives a beat. The units held lie at the bottom, and zeros above them; a new beat is
    // taken on top of them when they do not suffice.
    localparam int unsigned HeldW = $clog2(UnitsIn);
    logic [HeldW-1:0] held_q, held_d;
    logic [WordBits-OutBits-1:0] rest_q;
    logic lacks_q;

    assign s_ready_o = free & lacks_q;
    assign push = free & (~lacks_q | s_valid_i);
    assign held_d = held_q - HeldW'(UnitsOut) + (lacks_q ? HeldW'(UnitsIn) : '0);
    assign beat = word[OutBits-1:0];

    always_comb begin
      word = WordBits'(rest_q);
      if (lacks_q) begin
        for (int k = 0; k < int'(UnitsOut); k++) begin
          if (held_q == HeldW'(k)) begin
            word = WordBits'(s_data_i) << (k * int'(UnitBits));
            if (k > 0) word = word | WordBits'(rest_q);
          end
        end
      end
    end

    always_ff @(posedge clk_i) begin
      if (push) rest_q <= word[WordBits-1:OutBits];
      if (!rst_ni) begin
        held_q <= '0;
        lacks_q <= 1'b1;
      end else if (push) begin
        held_q <= held_d;
        lacks_q <= held_d < HeldW'(UnitsOut);
      end
    end
  end else begin : g_widen
    // Every step takes a beat. The units held lie at the top of the rest; the new beat comes above
    // them, and what it is too much for an output beat stays.
    localparam int unsigned HeldW = $clog2(UnitsOut);
    logic [HeldW-1:0] held_q, held_d;
    logic [WordBits-InBits-1:0] rest_q;
    logic suffices_q, step;

    assign s_ready_o = free | ~suffices_q;
    assign step = s_valid_i & s_ready_o;
    assign push = step & suffices_q;
    assign held_d = held_q + HeldW'(UnitsIn) - (suffices_q ? HeldW'(UnitsOut) : '0);
    assign word = {s_data_i, rest_q};

    always_comb begin
      beat = word[OutBits-1:0];
      // Units that stay behind this beat: k.
      for (int k = 0; k < int'(UnitsIn); k++) begin
        if (held_d == HeldW'(k)) beat = word[(int'(UnitsIn)-1-k)*int'(UnitBits)+:OutBits];
      end
    end

    always_ff @(posedge clk_i) begin
      if (step) rest_q <= word[WordBits-1:InBits];
      if (!rst_ni) begin
        held_q <= '0;
        suffices_q <= 1'b0;
      end else if (step) begin
        held_q <= held_d;
        suffices_q <= held_d >= HeldW'(UnitsOut - UnitsIn);
      end
    end
  end

  nf_output_queue #(
    .Bits(OutBits),
    .Depth(2)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .free_o(free),
    .take_i(push),
    .push_i(push),
    .data_i(beat),
    .m_data_o,
    .m_valid_o,
    .m_ready_i
  );
endmodule

`default_nettype wire

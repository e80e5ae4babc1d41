// SPDX-License-Identifier: Apache-2.0
//
// First-in first-out buffer between two cells, of exactly Depth places, output registers included.
//
//   beats leave in the order in which they came
//
// Latency:       from a beat taken to the same beat offered, when empty: "shift" and "distributed"
//                1 cycle; "block" and "ultra" 4 cycles (two registers of the memory, then a queue).
// Throughput:    one beat in and one beat out per cycle when Depth is above the latency.
// Back-pressure: s_ready_o is low while Depth beats are inside; a place is free in the cycle after
//                its beat has left. Both handshakes come from registers alone.
// Golden:        none; it carries beats as they are.
`default_nettype none

module nf_stream_fifo #(
  parameter int unsigned BeatBits = 16,  // bits of a beat
  parameter int unsigned Depth = 16,     // beats, at least 1; any integer
  parameter string Style = "shift"       // "shift", "distributed", "block" or "ultra"
) (
  input  wire logic                 clk_i,
  input  wire logic                 rst_ni,
  input  wire logic [BeatBits-1:0]  s_data_i,
  input  wire logic                 s_valid_i,
  output logic                      s_ready_o,
  output logic [BeatBits-1:0]       m_data_o,
  output logic                      m_valid_o,
  input  wire logic                 m_ready_i
);
  if (Depth < 1) begin : g_check_depth
    $fatal(1, "Depth (%0d) must be at least 1", Depth);
  end

  localparam int unsigned CountW = $clog2(Depth + 1);

  logic [CountW-1:0] count_q, count_d;
  logic push, pop;

  assign push = s_valid_i & s_ready_o;
  assign pop = m_valid_o & m_ready_i;
  assign count_d = count_q + CountW'(push) - CountW'(pop);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      count_q <= '0;
      s_ready_o <= 1'b1;
    end else begin
      count_q <= count_d;
      s_ready_o <= count_d != CountW'(Depth);
    end
  end

  if (Style == "shift") begin : g_shift
    // One shift register per bit, selected by "+:": the form that synthesis knows. The newest bit is
    // bit 0, the oldest one bit count_q - 1.
    localparam int unsigned PlaceW = (Depth > 1) ? $clog2(Depth) : 1;
    logic [PlaceW-1:0] oldest_q;

    for (genvar b = 0; b < int'(BeatBits); b++) begin : g_bit
      logic [Depth-1:0] line_q;
      assign m_data_o[b] = line_q[oldest_q+:1];
      always_ff @(posedge clk_i) begin
        if (push) line_q <= Depth'({line_q, s_data_i[b]});
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        m_valid_o <= 1'b0;
        oldest_q <= '0;
      end else begin
        m_valid_o <= count_d != '0;
        oldest_q <= (count_d == '0) ? '0 : PlaceW'(count_d - 1'b1);
      end
    end
  end else if (Style == "distributed") begin : g_distributed
    localparam int unsigned AddrW = (Depth > 1) ? $clog2(Depth) : 1;
    (* ram_style = "distributed" *) logic [BeatBits-1:0] words [Depth];
    logic [AddrW-1:0] write_q, read_q;

    assign m_data_o = words[read_q];
    always_ff @(posedge clk_i) begin
      if (push) words[write_q] <= s_data_i;
      if (!rst_ni) begin
        m_valid_o <= 1'b0;
        write_q <= '0;
        read_q <= '0;
      end else begin
        m_valid_o <= count_d != '0;
        if (push) write_q <= (write_q == AddrW'(Depth - 1)) ? '0 : write_q + 1'b1;
        if (pop) read_q <= (read_q == AddrW'(Depth - 1)) ? '0 : read_q + 1'b1;
      end
    end
  end else begin : g_memory
    // Beats move on from the memory as soon as the queue behind it has a credit, so the memory holds
    // at most max(1, Depth - Ahead) at a time: it fills beyond one beat only while all credits are
    // taken. One word more keeps the word that is written apart from the word that is read.
    localparam int unsigned Ahead = 4;
    localparam int unsigned Words = (Depth > Ahead + 1) ? Depth - Ahead + 1 : 2;
    localparam int unsigned AddrW = $clog2(Words);
    logic [AddrW-1:0] write_q, read_q;
    logic [CountW-1:0] waiting_q;  // beats in the memory
    logic free, fetch;
    logic [1:0] fetched_q;
    logic [BeatBits-1:0] word;

    assign fetch = free & (waiting_q != '0);
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        write_q <= '0;
        read_q <= '0;
        waiting_q <= '0;
        fetched_q <= '0;
      end else begin
        if (push) write_q <= (write_q == AddrW'(Words - 1)) ? '0 : write_q + 1'b1;
        if (fetch) read_q <= (read_q == AddrW'(Words - 1)) ? '0 : read_q + 1'b1;
        waiting_q <= waiting_q + CountW'(push) - CountW'(fetch);
        fetched_q <= {fetched_q[0], fetch};
      end
    end

    nf_ram #(
      .Bits(BeatBits),
      .Words(Words),
      .Style(Style)
    ) u_ram (
      .clk_i,
      .write_i(push),
      .write_addr_i(write_q),
      .data_i(s_data_i),
      .read_i(fetch),
      .read_addr_i(read_q),
      .data_o(word)
    );

    nf_output_queue #(
      .Bits(BeatBits),
      .Depth(Ahead)
    ) u_queue (
      .clk_i,
      .rst_ni,
      .free_o(free),
      .take_i(fetch),
      .push_i(fetched_q[1]),
      .data_i(word),
      .m_data_o,
      .m_valid_o,
      .m_ready_i
    );
  end
endmodule

`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
//
// Memory of the window generator: Pixels pixels a cycle out of Pixels*Apart banks.
//
//   pixel n of the stream lies in bank n % Banks, beat f of it at word n/Banks * ChannelFolds + f
//   data_o[x] = beat of the pixel that is x*Apart pixels behind the one in bank read_bank_i
//
// Neighbours in a tap are Apart pixels apart, so they never share a bank; those behind the last bank
// are one pixel further in theirs. A pixel outside the picture carries ZeroCode in every lane.
//
// Latency:       data_o follows read_i by one cycle and holds until the next one.
// Throughput:    one beat in and Pixels beats out per cycle.
// Back-pressure: none; nf_window keeps reader and writer apart.
// Golden:        sim.golden.conv
`default_nettype none

module nf_window_banks #(
  parameter int unsigned CodeBits = 4,      // bits of a code
  parameter int unsigned CodesPerBeat = 1,  // codes of a beat
  parameter int unsigned ChannelFolds = 1,  // beats of a pixel
  parameter int unsigned Depth = 32,        // words of a bank, a multiple of ChannelFolds
  parameter int unsigned Pixels = 1,        // pixels of a tap
  parameter int unsigned Apart = 1,         // columns from one to the next
  parameter int unsigned ZeroCode = 0,      // code that means real 0
  localparam int unsigned Banks = Pixels * Apart,
  localparam int unsigned AddrW = (Depth > 1) ? $clog2(Depth) : 1,
  localparam int unsigned BankW = (Banks > 1) ? $clog2(Banks) : 1
) (
  input  wire logic                                    clk_i,
  input  wire logic                                    write_i,
  input  wire logic [BankW-1:0]                        write_bank_i,
  input  wire logic [AddrW-1:0]                        write_addr_i,
  input  wire logic [CodesPerBeat*CodeBits-1:0]        write_data_i,
  input  wire logic                                    read_i,
  input  wire logic [BankW-1:0]                        read_bank_i,  // of the first pixel
  input  wire logic [AddrW-1:0]                        read_addr_i,  // of the first pixel
  input  wire logic [Pixels-1:0]                       inside_i,     // pixels of the picture
  output logic [Pixels*CodesPerBeat*CodeBits-1:0]      data_o
);
  localparam int unsigned BeatBits = CodesPerBeat * CodeBits;

  logic [Banks-1:0][BeatBits-1:0] read_q;
  logic [BankW-1:0] bank_q;
  logic [Pixels-1:0] inside_q;

  if (Banks == 1) begin : g_one
    logic [BeatBits-1:0] words [Depth];
    always_ff @(posedge clk_i) begin
      if (write_i) words[write_addr_i] <= write_data_i;
      if (read_i) read_q[0] <= words[read_addr_i];
    end
    logic unused_banks;
    assign unused_banks = ^{write_bank_i, read_bank_i};
    assign bank_q = '0;
  end else begin : g_banks
    logic [AddrW:0] further;
    logic [AddrW-1:0] next_addr;

    assign further = {1'b0, read_addr_i} + (AddrW + 1)'(ChannelFolds);
    assign next_addr = (further >= (AddrW + 1)'(Depth)) ? AddrW'(further - (AddrW + 1)'(Depth))
                                                        : further[AddrW-1:0];
    for (genvar b = 0; b < Banks; b++) begin : g_bank
      logic [BeatBits-1:0] words [Depth];
      logic [AddrW-1:0] addr;
      if (b == Banks - 1) begin : g_last
        assign addr = read_addr_i;
      end else begin : g_inner
        assign addr = (read_bank_i > BankW'(b)) ? next_addr : read_addr_i;
      end
      always_ff @(posedge clk_i) begin
        if (write_i && write_bank_i == BankW'(b)) words[write_addr_i] <= write_data_i;
        if (read_i) read_q[b] <= words[addr];
      end
    end
    always_ff @(posedge clk_i) if (read_i) bank_q <= read_bank_i;
  end

  always_ff @(posedge clk_i) if (read_i) inside_q <= inside_i;

  for (genvar x = 0; x < Pixels; x++) begin : g_pixel
    logic [BeatBits-1:0] found;
    if (Banks == 1) begin : g_only
      assign found = read_q[0];
    end else begin : g_turn
      logic [BankW:0] sum;
      logic [BankW-1:0] bank;
      assign sum = {1'b0, bank_q} + (BankW + 1)'(x * Apart);
      assign bank = (sum >= (BankW + 1)'(Banks)) ? BankW'(sum - (BankW + 1)'(Banks))
                                                 : sum[BankW-1:0];
      assign found = read_q[bank];
    end
    assign data_o[x*BeatBits+:BeatBits] =
        inside_q[x] ? found : {CodesPerBeat{CodeBits'(ZeroCode)}};
  end
  if (Banks == 1) begin : g_unused
    logic unused_bank;
    assign unused_bank = ^bank_q;
  end
endmodule

`default_nettype wire

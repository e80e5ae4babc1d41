// SPDX-License-Identifier: Apache-2.0
// Watches one stream inside the device under test; bound into it, so the device does not know.
//
// Every beat that moves (valid and ready) goes to nf_probe.cpp with its cycle, which keeps it in
// nf_probe_<Id>.bin. At the end the number of beats and both handshake signals go there too: where
// valid waits for ready, and where ready waits for valid, says why a network stands still.
// Nothing is compared here.
`default_nettype none
module nf_probe #(
    parameter int Id = 0,               // number in the file names
    parameter int unsigned Bits = 1,    // width of the stream's data, >= 1
    parameter bit Record = 1'b1         // keep the beats; 0: only count them
) (
    input wire logic            clk_i,
    input wire logic            rst_ni,
    input wire logic [Bits-1:0] data_i,
    input wire logic            valid_i,
    input wire logic            ready_i
);
  import "DPI-C" function void nf_probe_open(input int id, input int bytes);
  // The first 64 bits of a beat, and each further 64.
  import "DPI-C" function void nf_probe_beat(input int id, input int cycle, input longint data);
  import "DPI-C" function void nf_probe_more(input int id, input longint data);
  import "DPI-C" function void nf_probe_end(input int id, input longint beats, input bit valid,
                                            input bit ready);

  localparam int unsigned Words = (Bits + 63) / 64;
  logic [64*Words-1:0] padded;
  longint beats;

  assign padded = (64 * Words)'(data_i);

  initial begin
    beats = 0;
    if (Record) nf_probe_open(Id, int'((Bits + 7) / 8));
  end

  always @(posedge clk_i) begin
    if (nf_bench.awake & rst_ni & valid_i & ready_i) begin
      beats <= beats + 1;
      if (Record) begin
        nf_probe_beat(Id, int'(nf_bench.cycle[31:0]), padded[63:0]);
        for (int unsigned w = 1; w < Words; w++) nf_probe_more(Id, padded[64*w+:64]);
      end
    end
  end

  final nf_probe_end(Id, beats, valid_i, ready_i);
endmodule
`default_nettype wire

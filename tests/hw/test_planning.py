# SPDX-License-Identifier: Apache-2.0
"""The complete plan: its FIFO depths, simulated, give the cycles that it says and equal codes."""

import dataclasses

import numpy as np
import pytest

from hw.conv import rtl_sources
from hw.emit_network import emit_rtl
from hw.network import build_network
from hw.plan_network import plan_network
from hw.planning import complete_schedule, plan
from hw.timing import Times, simulate
from hw.tokens import token_graph
from quant.samples import sample_codes, sample_graph
from sim.golden import GoldenModel
from sim.rtl import build_bench
from sim.stream import beat_bytes, pack_beats, unpack_beats

GRAPH = sample_graph(1)
TARGET = 3000
FRAMES = 3


def test_plan_is_the_network_plan_with_depths():
    bare = plan_network(GRAPH, target_interval_cycles=TARGET)
    complete = plan(GRAPH, target_interval_cycles=TARGET)
    assert dict(complete.folding) == dict(bare.folding)
    assert dict(complete.memory) == dict(bare.memory)
    assert not bare.fifo_depth
    assert min(complete.fifo_depth.values()) > 0
    least = plan(GRAPH, target_interval_cycles=TARGET, fifos="minimal")
    assert sum(least.fifo_depth.values()) < sum(complete.fifo_depth.values())


def test_depths_of_before_do_not_matter():
    schedule = plan_network(GRAPH, target_interval_cycles=TARGET)
    first = complete_schedule(GRAPH, schedule)
    deep = dataclasses.replace(schedule, fifo_depth={("stem", "sum"): 5000})
    assert dict(complete_schedule(GRAPH, deep).schedule.fifo_depth) == dict(
        first.schedule.fifo_depth
    )
    assert first.fifos.throughput.interval_cycles <= TARGET


@pytest.mark.rtl
@pytest.mark.parametrize("fifos", ["minimal", "throughput"])
def test_counted_cycles_are_the_planned_ones(fifos, builds, tmp_path):
    schedule = plan(GRAPH, target_interval_cycles=TARGET, fifos=fifos)
    times = simulate(token_graph(build_network(GRAPH, schedule)), FRAMES)
    assert isinstance(times, Times)
    project = emit_rtl(GRAPH, schedule, "dut")
    (tmp_path / "dut.sv").write_text(project.files["dut.sv"])
    image, streams = project.network.input, project.network.outputs
    bench = build_bench(
        [*rtl_sources(), tmp_path / "dut.sv"],
        "dut",
        beat_bytes(image.bits, image.lanes),
        [beat_bytes(s.bits, s.lanes) for s in streams.values()],
        builds,
    )
    frames = sample_codes(3, (FRAMES, *image.shape), image.bits)
    run = bench.run(
        tmp_path / "run",
        [[pack_beats(frame, image.bits, image.lanes) for frame in frames]],
        [stream.beats for stream in streams.values()],
        files={name: text for name, text in project.files.items() if name != "dut.sv"},
    )
    assert (run.stalled, run.violation) == (None, None)
    ends = [end - run.first_input_cycle for end in run.last_output_cycles]
    assert ends == times.frame_ends.tolist()
    expected = GoldenModel(GRAPH).run(frames).tensors
    for port, (name, s) in enumerate(streams.items()):
        codes = [unpack_beats(beats, s.shape, s.bits, s.lanes) for beats in run.outputs[port]]
        assert np.array_equal(np.stack(codes), expected[name])

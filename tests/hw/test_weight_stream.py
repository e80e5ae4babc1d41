# SPDX-License-Identifier: Apache-2.0
"""Weights from outside: words in order and repetition, exact under any gaps, no cycle more."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest

from hw.axis_top import axis_top
from hw.cells import node_cell
from hw.conv import rtl_sources
from hw.emit_network import emit_rtl
from hw.network import build_network
from hw.packed_sources import dsp_model
from hw.timing import simulate
from hw.tokens import token_graph
from quant.errors import PlanError
from quant.samples import sample_codes, sample_graph
from quant.schedule import Folding, Schedule
from sim.golden import GoldenModel
from sim.rtl import ALWAYS, Pattern, find_verilator
from sim.stream import unpack_beats
from sim.verify import replay_node
from sim.verify.network_run import build_network_bench
from sim.verify.small_graphs import small_graph

PLACES = 32
FRAMES = 3


def stored(schedule):
    """The same plan with every weight memory in block RAM."""
    return replace(schedule, memory=dict.fromkeys(schedule.memory, "block"))


@pytest.fixture(scope="module")
def streamed():
    return small_graph("streamed")


@pytest.fixture(scope="module")
def bench(streamed, builds, tmp_path_factory):
    graph, schedule = streamed
    return build_network_bench(graph, schedule, tmp_path_factory.mktemp("streamed"), builds)


@pytest.fixture(scope="module")
def frames(streamed):
    graph, _ = streamed
    return np.stack([sample_codes(seed, graph.input.shape, 8) for seed in range(FRAMES)])


def codes_of(bench, run):
    (out,) = bench.network.outputs.values()
    return np.stack([unpack_beats(b, out.shape, out.bits, out.lanes) for b in run.frames])


def test_words_are_those_of_the_memory_in_its_order(streamed):
    graph, schedule = streamed
    network = build_network(graph, schedule)
    memories = build_network(graph, stored(schedule))
    assert network.weight_ports == {
        name: f"s_axis_weights_{k}"
        for k, name in enumerate(("acts", "alone", "dense", "pairs", "rows"))
    }
    for name in network.weight_ports:
        cell, memory = network.cells[name], memories.cells[name]
        words = cell.streamed
        assert memory.streamed is None
        images = [memory.files[f] for f in sorted(memory.files) if "weights" in f]
        assert not any("weights" in file for file in cell.files)
        lines = [image.split() for image in images]
        bits = words.bits // len(images)
        whole = [
            sum(int(part, 16) << (bits * k) for k, part in enumerate(parts))
            for parts in zip(*lines, strict=True)
        ]
        found = [int.from_bytes(word.tobytes(), "little") for word in words.words]
        assert found == whole
        assert len(set(found)) > 1
        assert words.words.shape[1] == -(-words.bits // 8)
        assert words.frame_words == words.repeats * len(whole)
        assert words.frame_bytes == words.frame_words * words.words.shape[1]
        # A word is a cycle of the core.
        assert words.frame_words == cell.stages[0].steps * cell.stages[0].cycles
    # A packed core whose chains have several blocks, so that words come late.
    assert network.cells["rows"].parameters["Cascade"] > 1


def test_cycles_are_those_of_a_memory(streamed):
    graph, schedule = streamed
    outside = simulate(token_graph(build_network(graph, schedule)), FRAMES)
    inside = simulate(token_graph(build_network(graph, stored(schedule))), FRAMES)
    assert np.array_equal(outside.ends, inside.ends)


@pytest.mark.rtl
def test_without_gaps_no_cycle_more_than_planned(streamed, bench, frames, tmp_path):
    graph, schedule = streamed
    run = bench.run(tmp_path / "run", frames, watchdog_cycles=5000)
    planned = simulate(token_graph(build_network(graph, schedule)), FRAMES)
    assert (run.stalled, run.violation) == (None, None)
    assert run.latency_cycles == planned.latency_cycles
    assert run.interval_cycles == planned.interval_cycles
    assert np.array_equal(codes_of(bench, run), GoldenModel(graph).run(frames).tensors["out"])


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("idle", "stall"),
    [
        (Pattern.random(0.75), ALWAYS),
        (Pattern.bursts(3, 80), ALWAYS),
        (Pattern.random(0.4), Pattern.bursts(20, 60)),
    ],
    ids=["mostly gaps", "long gaps", "gaps and back-pressure"],
)
def test_exact_with_any_gaps(streamed, bench, frames, tmp_path, idle, stall):
    graph, schedule = streamed
    run = bench.run(tmp_path / "run", frames, idle=idle, stall=stall, seed=7, watchdog_cycles=5000)
    assert (run.stalled, run.violation) == (None, None)
    expected = GoldenModel(graph).run(frames).tensors["out"]
    assert np.array_equal(codes_of(bench, run), expected)
    assert len(np.unique(expected)) > 8
    # Words arrive at a quarter of their speed at most: the cells did wait.
    planned = simulate(token_graph(build_network(graph, schedule)), FRAMES)
    assert run.cycles > 1.3 * planned.frame_ends[-1]
    # Every word that the frames need, and no more than wait for the next one.
    taken = run.input_beats[1:]
    cells = [bench.network.cells[name] for name in bench.network.weight_ports]
    for count, cell in zip(taken, cells, strict=True):
        assert 0 <= count - FRAMES * cell.streamed.frame_words <= PLACES


@pytest.mark.rtl
def test_a_cell_alone_takes_its_words(streamed, builds, tmp_path):
    graph, schedule = streamed
    codes = sample_codes(1, graph.input.shape, 8)
    verdict = replay_node(
        graph, schedule, "rows", codes, tmp_path / "work", builds, frame=0, seed=1, replay="again"
    )
    assert verdict.ok
    assert verdict.counted_interval == verdict.planned_interval


@pytest.mark.rtl
def test_tops_are_clean(streamed, tmp_path):
    graph, schedule = streamed
    project = emit_rtl(graph, schedule, "dut")
    alone = axis_top(build_network(graph, schedule).cells["alone"], "single")
    for name, text in (("dut", project.files["dut.sv"]), ("single", alone)):
        (tmp_path / f"{name}.sv").write_text(text)
        command = [str(find_verilator().command), "--lint-only", "-Wall", "--top-module", name]
        command += [*map(str, [*rtl_sources(), dsp_model()]), str(tmp_path / f"{name}.sv")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_top_names_words_and_repetitions(streamed):
    graph, schedule = streamed
    text = emit_rtl(graph, schedule, "dut").files["dut.sv"]
    words = build_network(graph, schedule).cells["dense"].streamed
    assert f"[{8 * words.words.shape[1] - 1}:0]   s_axis_weights_2_tdata" in text
    assert (
        f"  // Weights on s_axis_weights_2: {len(words.words)} words of {words.bits} bits, "
        f"{words.repeats} times a frame." in text
    )
    assert "weights from outside" in text


def test_only_weights_come_from_outside():
    graph = sample_graph(1)
    schedule = Schedule(graph.digest, 200_000_000, {})
    pool = next(n.name for n in graph.nodes if type(n).__name__ == "MaxPool")
    edge = f"{graph.node(pool).source}->{pool}"
    for memory in (f"{pool}.weights", edge):
        with pytest.raises(PlanError) as caught:
            build_network(graph, replace(schedule, memory={memory: "external"}))
        assert str(caught.value) == (
            f"the schedule has '{memory}' from outside; only weights of layers can come from "
            "outside; give it another style"
        )


def test_a_linear_layer_takes_its_words_from_outside_too():
    graph = sample_graph(1)
    node = next(n for n in graph.nodes if type(n).__name__ == "Linear")
    cell = node_cell(node, graph, Folding(1, 1), "x_", "external")
    assert cell.parameters["WeightFile"] == ""
    assert cell.streamed.repeats == 1
    assert len(cell.streamed.words) == node.weights.codes.size

# SPDX-License-Identifier: Apache-2.0
"""Whole networks in RTL: every node kind, a planted fault, a standstill, a replay."""

from dataclasses import replace

import numpy as np
import pytest

from hw.conv import rtl_sources
from hw.emit_network import emit_rtl
from hw.fifo_minimum import minimal_depths
from hw.network import build_network
from hw.plan_network import plan_network
from hw.timing import simulate_settled
from hw.tokens import token_graph
from quant.errors import InputFileError, PlanError
from quant.graph import QGraph
from quant.nodes import Add, Input, Output
from quant.samples import sample_codes, sample_conv, sample_format, sample_graph
from sim.verify import replay_node, verify_whole
from sim.verify.depths import run_at_depths
from sim.verify.small_graphs import small_graph

pytestmark = pytest.mark.rtl


def with_depths(graph, schedule):
    """The schedule with FIFOs that hold nothing up."""
    tokens = token_graph(build_network(graph, schedule))
    times = simulate_settled(tokens, {edge.key: edge.beats for edge in tokens.edges})
    return replace(schedule, fifo_depth={k: n for k, n in times.most_held.items() if n})


@pytest.fixture(scope="module")
def sample():
    graph = sample_graph(3)
    schedule = with_depths(graph, plan_network(graph, max_macs_per_cycle=200))
    # Words of a dense, a depthwise and a linear layer come through the load stream.
    loaded = dict.fromkeys(("stem.weights", "depthwise.weights", "linear.weights"), "ultra")
    schedule = replace(schedule, memory=schedule.memory | loaded)
    codes = np.stack([sample_codes(seed, graph.input.shape, 8) for seed in (1, 2)])
    return graph, schedule, codes


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("network")


def command(name, frame):
    return f"replay {name} {frame}"


def skip_graph():
    """A skip connection beside a convolution that has to see two rows before it answers."""
    image = Input("image", (4, 6, 8), sample_format(4, 8))
    plain = sample_format(4, 8, zero=128)
    first, _ = sample_conv(
        1, 4, 4, 1, padding=0, output=plain, source=image.output, names=("first", "image")
    )
    second, _ = sample_conv(
        2, 4, 4, 3, padding=1, output=plain, source=plain, names=("second", "first")
    )
    join = Add("sum", ("first", "second"), (70000, 41234), 17, 0, 255, plain)
    return QGraph("skip", (image, first, second, join, Output("out", "sum")))


def test_every_node_kind(sample, work):
    graph, schedule, codes = sample
    verdict = verify_whole(graph, schedule, codes, work, seed=1, replay=command)
    assert [run.failure for run in verdict.runs] == [None, None]
    assert verdict.ok
    assert (verdict.first, verdict.following, verdict.named) == (None, (), None)
    assert [v.name for v in verdict.nodes] == [
        n.name for n in graph.nodes if not isinstance(n, Input | Output)
    ]
    assert sum(v.mismatches for v in verdict.nodes) == 0
    # Three frames at full speed and two with pauses.
    for node in verdict.nodes:
        assert node.values == 5 * np.prod(graph.shapes[node.name])
        assert node.counted_interval == node.planned_interval == verdict.planned.interval_cycles
        assert node.distinct > 10
    assert verdict.counted_interval == verdict.planned.interval_cycles
    assert verdict.counted_latency == verdict.planned.latency_cycles
    assert verdict.runs[1].cycles > verdict.planned.interval_cycles
    assert verdict.words_loaded == len(emit_rtl(graph, schedule).load_words) > 20
    assert not (work / "network").exists()


def test_first_wrong_code_is_named_and_its_stretch_recorded(tmp_path):
    graph = skip_graph()
    schedule = with_depths(graph, plan_network(graph, max_macs_per_cycle=8))
    codes = np.stack([sample_codes(seed, graph.input.shape, 8) for seed in (1, 2)])
    broken = []
    for source in rtl_sources():
        text = source.read_text()
        if source.name == "nf_window.sv":
            # A step of one column too many on the way to the next row of the kernel.
            right = "Width * BufferPixels + Width - (KernelW - 1)"
            assert text.count(right) == 1
            text = text.replace(right, "Width * BufferPixels + Width + 1 - (KernelW - 1)")
        (tmp_path / source.name).write_text(text)
        broken.append(tmp_path / source.name)
    verdict = verify_whole(
        graph,
        schedule,
        codes,
        tmp_path / "work",
        seed=1,
        replay=command,
        waves=True,
        sources=broken,
    )
    first = verdict.first
    # The kernel of 'first' has one row; only 'second' steps from row to row.
    assert not verdict.ok
    assert (first.node, verdict.named, verdict.following) == ("second", "second", ("sum",))
    assert (first.frame, first.row) == (0, 0)
    assert first.expected != first.got
    assert first.replay == "replay second 0"
    assert isinstance(first.accumulator, int)
    assert str(first).startswith(f"'second'[0, {first.channel}, 0, {first.column}]: rtl ")
    waves = verdict.waves.read_text()
    assert "second_data" in waves
    steps = [int(line[1:]) for line in waves.splitlines() if line.startswith("#")]
    assert steps[0] <= 2 * first.cycle + 40 <= steps[-1] + 80
    assert verdict.to_json()["first"]["node"] == "second"


def test_one_beat_less_stands_still_where_the_model_says(work):
    graph = skip_graph()
    schedule = plan_network(graph, max_macs_per_cycle=8)
    least = minimal_depths(token_graph(build_network(graph, schedule)))
    skip = ("first", "sum")
    assert least.depths[skip] > 1
    codes = np.stack([sample_codes(seed, graph.input.shape, 8) for seed in (1, 2)])

    def run(depths, name):
        return run_at_depths(
            graph, schedule, depths, codes, work / name, work / "benches", watchdog_cycles=3000
        )

    enough = run(least.depths, "enough")
    assert (enough.stalled, enough.mismatches, enough.waiting) == (None, 0, ())
    less = run(least.depths | {skip: least.depths[skip] - 1}, "less")
    assert "no beat moves any more" in less.stalled
    assert less.mismatches == 0
    # The input waits too, for the convolution that cannot hand its beat to both readers.
    assert less.full_edges == (("image", "first"), skip)
    assert skip in {wait.edge for wait in least.stalls[skip].waits}
    depth = least.depths[skip] - 1
    assert any(
        line.startswith(f"first -> sum (FIFO of {depth}):")
        and line.endswith("full: 'first' waits for 'sum'")
        for line in less.report
    )
    assert any(line.endswith("empty: 'sum' waits for 'second'") for line in less.report)
    shallow = replace(schedule, fifo_depth={skip: depth})
    with pytest.raises(PlanError, match=r"^the planned network stands still; deadlock:"):
        verify_whole(graph, shallow, codes, work, seed=1, replay=command)


def test_one_node_replayed_alone(sample, work):
    graph, schedule, codes = sample
    verdict = replay_node(
        graph,
        schedule,
        "sum",
        codes[1],
        work / "replay",
        work / "benches",
        frame=1,
        seed=1,
        replay="x",
        waves=True,
    )
    assert verdict.ok, verdict.failure
    assert verdict.values == 5 * np.prod(graph.shapes["sum"])
    assert verdict.counted_interval == verdict.planned_interval > 0
    assert (work / "replay" / "waves" / "dump.vcd").is_file()
    with pytest.raises(InputFileError, match=r"^'image' is an input, which computes nothing; "):
        replay_node(
            graph,
            schedule,
            "image",
            codes[0],
            work,
            work,
            frame=0,
            seed=1,
            replay="x",
        )


def test_a_node_with_loaded_weights_is_replayed_alone(work):
    graph, schedule = small_graph("loaded")
    codes = sample_codes(1, graph.input.shape, 8)
    verdict = replay_node(
        graph, schedule, "second", codes, work / "r", work / "b", frame=0, seed=1, replay="x"
    )
    assert (verdict.ok, verdict.mismatches) == (True, 0)
    assert verdict.counted_interval == verdict.planned_interval > 0

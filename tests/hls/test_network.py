# SPDX-License-Identifier: Apache-2.0
"""Whole networks: every node of every engine equal to the golden model, nothing dropped."""

import re
import shutil
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hls import (
    compile_csim,
    emit_network,
    run_network,
    write_network,
    write_network_vectors,
)
from hls.model import check_written
from quant.errors import PlanError, ToolError
from quant.graph import QGraph
from quant.nodes import Input
from quant.samples import sample_codes
from quant.schedule import Folding, MemoryStyle, Schedule
from sim.golden import GoldenModel
from tests.hls.network_graphs import corners, every_kind
from tests.tcl import tcl

needs_gpp = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH")


def golden_of(graph: QGraph, seed: int = 3) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return three different frames and every golden tensor."""
    codes = sample_codes(seed, (3, *graph.input.shape), 8)
    codes[1] = np.where(codes[1] < 128, 0, 255)
    return codes, dict(GoldenModel(graph).run(codes, keep="all").tensors)


def test_every_node_is_a_layer() -> None:
    graph, schedule = every_kind()
    network = emit_network(graph, schedule)
    placed = [layer.node for layer in network.layers if layer.trace is not None]
    assert placed == [n.name for n in graph.nodes if not isinstance(n, Input)]
    assert list(network.outputs) == ["boxes", "scores"]
    again = emit_network(graph, schedule)
    assert dict(again.files) == dict(network.files)


def test_streams_have_the_depths_of_the_schedule_at_least() -> None:
    graph, schedule = every_kind()
    styles = {"stem->sum": "block", "sum->cat": "distributed"}
    depths = {("stem", "sum"): 1000, ("sum", "cat"): 500}
    network = emit_network(graph, replace(schedule, fifo_depth=depths, memory=styles))
    layers = {layer.name: layer for layer in network.layers}
    # Behind the converter from 2 to 4 lanes; in beats of its own.
    assert layers["stem_to_sum_0_width"].depths == (500,)
    assert layers["stem_to_sum_0_width"].styles == ("block",)
    assert layers["stem_fork"].styles == ("auto", "auto")
    fork = layers["sum_fork"]
    planned = dict(zip(fork.outputs, zip(fork.depths, fork.styles, strict=True), strict=True))
    assert planned["sum_to_cat_2"] == (500, "distributed")
    # What the processes themselves need, without a plan.
    alone = {x.name: x for x in emit_network(graph, replace(schedule, fifo_depth={})).layers}
    assert 2 < alone["sum_fork"].depths[2] < 500
    assert 2 < alone["stem_to_sum_0_width"].depths[0] < 500


def test_depths_can_be_given() -> None:
    network = emit_network(*every_kind())
    changed = network.with_depths({"sum_to_cat_2": 7, "boxes": 9})
    layers = {layer.name: layer for layer in changed.layers}
    assert layers["sum_fork"].depths[2] == 7
    assert changed.outputs["boxes"].depths == (9,)
    assert changed.stream_bits < network.stream_bits
    with pytest.raises(PlanError) as caught:
        network.with_depths({"sum_to_cat_3": 7})
    assert str(caught.value) == "the network 'nibble_sample_1' has no stream 'sum_to_cat_3'"
    with pytest.raises(PlanError) as caught:
        network.with_depths({"sum_to_cat_2": 1})
    assert str(caught.value) == "a stream of layer 'sum_fork' has 1 places; the least is 2"


BAD = [
    (
        lambda s: replace(s, graph_digest="0" * 64),
        "the schedule is of graph 0000000000000000, not of {digest}; plan this graph",
    ),
    (
        lambda s: _folded(s, pool=None),
        "'pool' has no folding in the schedule; plan every node",
    ),
    (
        lambda s: _folded(s, pool=Folding(4, 2)),
        "'pool' is scheduled with PE=4 and SIMD=2; a node of kind maxpool reads and writes the "
        "same lanes; set both to one value",
    ),
    (
        lambda s: _folded(s, slice=Folding(8, 8)),
        "'slice' moves 4 channels, not a multiple of PE=8; divisors near 8: 4",
    ),
    (
        lambda s: _folded(s, sum=Folding(4, 4, pixels_per_beat=2)),
        "'sum' is scheduled with 2 pixels per beat; the HLS cell builds 1; use a folding with "
        "pixels_per_beat=1 for --hls",
    ),
    (
        lambda s: _folded(s, image=Folding(2, 2)),
        "'image' has 3 channels, not a multiple of PE=2",
    ),
]


def _folded(schedule: Schedule, **changes: Folding | None) -> Schedule:
    folding = {**schedule.folding, **changes}
    return replace(schedule, folding={k: v for k, v in folding.items() if v is not None})


@pytest.mark.parametrize(("change", "message"), BAD)
def test_refuses_schedules_that_do_not_fit(change, message: str) -> None:
    graph, schedule = every_kind()
    with pytest.raises(PlanError) as caught:
        emit_network(graph, change(schedule))
    assert str(caught.value) == message.format(digest=graph.digest[:16])


def test_a_dropped_layer_is_an_error() -> None:
    network = emit_network(*every_kind())
    top = "\n".join(
        f"{layer.kernel.function}<config>({', '.join(f'{s}_stream' for s in layer.outputs)});"
        for layer in network.layers
        if layer.name != "pool"
    )
    with pytest.raises(ToolError) as caught:
        check_written(top, network.layers)
    assert str(caught.value) == (
        "hls4ml wrote no call of nf::maxpool for layer 'pool'; this version of hls4ml does not "
        "keep our layers; install the pinned one"
    )


@pytest.mark.hls
@needs_gpp
class TestCompiled:
    @pytest.fixture(autouse=True)
    def _needs_hls4ml(self) -> None:
        pytest.importorskip("hls4ml")

    @pytest.mark.parametrize("plain", [True, False], ids=["plain", "ap_int"])
    @pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
    @pytest.mark.parametrize("make", [every_kind, corners])
    def test_every_node_equals_the_golden_model(
        self, make, backend, plain: bool, tmp_path: Path
    ) -> None:
        graph, schedule = make()
        network = emit_network(graph, schedule)
        write_network(network, tmp_path / "p", backends=(backend,))
        program = compile_csim(tmp_path / "p" / backend.lower(), flags=("-O1",), plain=plain)
        codes, golden = golden_of(graph)
        expected = {n.name: golden[n.name] for n in graph.outputs}
        run = run_network(network, program, codes, expected, tmp_path / "run", trace=True)
        assert run.first_difference is None
        assert set(run.tensors) == {n.name for n in graph.nodes} - {graph.input.name}
        for name, codes_of_node in run.tensors.items():
            assert np.array_equal(codes_of_node, golden[name]), name
            assert len(np.unique(codes_of_node)) > 3, name

    def test_the_bench_names_the_first_difference(self, tmp_path: Path) -> None:
        graph, schedule = corners()
        network = emit_network(graph, schedule)
        write_network(network, tmp_path / "p", backends=("Vitis",))
        program = compile_csim(tmp_path / "p" / "vitis", flags=("-O1",), plain=True)
        codes, golden = golden_of(graph)
        expected = {n.name: golden[n.name].copy() for n in graph.outputs}
        expected["out sum"][1, 2, 3, 4] ^= 1
        run = run_network(network, program, codes, expected, tmp_path / "run")
        want = int(expected["out sum"][1, 2, 3, 4])
        assert run.mismatches == 1
        assert run.first_difference == (
            f"output out sum frame 1 channel 2 row 3 column 4: expected {want}, got {want ^ 1}"
        )

    def test_make_runs_the_simulation(self, tmp_path: Path) -> None:
        graph, schedule = corners()
        network = emit_network(graph, schedule)
        folder = write_network(network, tmp_path / "p")
        codes, golden = golden_of(graph)
        expected = [(golden[n.name], graph.formats[n.name].bits) for n in graph.outputs]
        write_network_vectors(folder / "vitis" / "tb_data", (codes, 8), expected)
        for target in ("csim", "csim-plain", "trace"):
            done = _make(folder, target)
            assert done.returncode == 0, done.stdout + done.stderr
            assert re.search(r"^frames 3 seconds [0-9.]+ differences 0$", done.stdout, re.M)
        assert len(list((folder / "traces").glob("*.bin"))) == len(graph.nodes) - 1
        expected[0][0][0, 0, 0, 0] ^= 1
        write_network_vectors(folder / "vitis" / "tb_data", (codes, 8), expected)
        done = _make(folder, "csim-plain")
        assert done.returncode != 0
        assert "first difference: output out conv frame 0 channel 0 row 0 column 0" in done.stdout

    def test_trees_of_both_tools(self, tmp_path: Path) -> None:
        graph, schedule = every_kind()
        schedule = replace(schedule, fifo_depth={("stem", "sum"): 1000})
        network = emit_network(graph, schedule)
        folder = write_network(network, tmp_path / "p")
        tops = {
            name: (folder / name / "firmware" / f"{network.name}.cpp").read_text()
            for name in ("vitis", "vivado")
        }
        lines = {
            "vitis": (
                "#pragma HLS BIND_STORAGE variable=stem_to_sum_0_width_stream type=fifo impl=bram",
                "#pragma HLS BIND_STORAGE variable=grouped_weights type=rom_1p impl=lutram",
            ),
            "vivado": (
                "#pragma HLS RESOURCE variable=stem_to_sum_0_width_stream core=FIFO_BRAM",
                "#pragma HLS RESOURCE variable=grouped_weights core=ROM_1P_LUTRAM",
            ),
        }
        for name, top in tops.items():
            assert "#pragma HLS DATAFLOW" in top
            assert "#pragma HLS STREAM variable=stem_to_sum_0_width_stream depth=500" in top
            assert all(line in top for line in lines[name])
            settings = (folder / name / "project.tcl").read_text()
            assert f'set backend "{name}"' in settings
            scripts = sorted((folder / name).glob("*.tcl"))
            assert {"build_prj.tcl", "project.tcl"} <= {script.name for script in scripts}
            for script in scripts:
                text = script.read_text()
                assert tcl(f"puts [info complete {{{text}}}]").strip() == "1", script.name
        readme = (folder / "README.md").read_text()
        assert "| stem_fork | fork | 2 | 2 | 320 |" in readme

    def test_ultra_ram_is_for_vitis_only(self, tmp_path: Path) -> None:
        graph, schedule = every_kind()
        network = emit_network(graph, replace(schedule, memory={"long.weights": "ultra"}))
        folder = write_network(network, tmp_path / "p")
        assert not (folder / "vivado").exists()
        top = (folder / "vitis" / "firmware" / f"{network.name}.cpp").read_text()
        assert "variable=long_weights type=rom_1p impl=uram" in top
        with pytest.raises(PlanError) as caught:
            write_network(network, tmp_path / "q", backends=("Vivado",))
        assert str(caught.value) == (
            "'long' has a memory of style ultra; Vivado HLS knows distributed and block; plan "
            "without ultra RAM, or use Vitis HLS"
        )
        done = _make(folder, "vivado")
        assert done.returncode != 0
        assert "error: this project has no tree for Vivado HLS" in done.stdout

    def test_weights_from_outside_stay_on_the_chip(self, tmp_path: Path) -> None:
        graph, schedule = every_kind()
        memory: dict[str, MemoryStyle] = {"long.weights": "external", "stem.weights": "block"}
        network = emit_network(graph, replace(schedule, memory=memory))
        inside = emit_network(graph, replace(schedule, memory={"stem.weights": "block"}))
        assert (network.kept_weights, inside.kept_weights) == (("long",), ())
        folder = write_network(network, tmp_path / "p")
        top = (folder / "vitis" / "firmware" / f"{network.name}.cpp").read_text()
        assert "variable=stem_weights type=rom_1p impl=bram" in top
        assert "variable=long_weights type=rom_1p" not in top
        assert network.files == inside.files
        said = (folder / "README.md").read_text()
        assert "The plan brings the weights of `long` from outside; that is for the RTL" in said
        other = write_network(inside, tmp_path / "q")
        assert "from outside" not in (other / "README.md").read_text()
        edge = f"{graph.node('stem').source}->stem"
        with pytest.raises(PlanError) as caught:
            emit_network(graph, replace(schedule, memory={edge: "external"}))
        assert str(caught.value) == (
            f"the schedule has '{edge}' from outside; only weights of layers can come from "
            "outside; give it another style"
        )

    def test_same_input_same_bytes_and_no_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("hls4ml", reason="hls4ml is not installed")
        trees = []
        # YAML quotes the first of these random stamps.
        for name, stamp in (("one", "12345678"), ("two", "c712abcd")):
            monkeypatch.setattr(uuid, "uuid4", lambda s=stamp: f"00000000-{s}")
            folder = write_network(emit_network(*corners()), tmp_path / name)
            files = sorted(p for p in folder.rglob("*") if p.is_file())
            trees.append({str(p.relative_to(folder)): p.read_bytes() for p in files})
        assert trees[0] == trees[1]
        assert not any(str(tmp_path).encode() in content for content in trees[0].values())


def _make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(folder), target],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

# SPDX-License-Identifier: Apache-2.0
"""Networks with streams of their depths, processes side by side: they pass, or say who waits."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hls import compile_csim, emit_network, run_network, write_network, write_network_vectors
from hls.boundedtop import DEADLOCK, bounded_top
from quant.errors import ToolError
from quant.samples import sample_codes
from sim.golden import GoldenModel
from tests.hls.network_graphs import corners, every_kind

needs_gpp = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH")


def golden(graph, frames: int):
    codes = sample_codes(5, (frames, *graph.input.shape), 8)
    tensors = GoldenModel(graph).run(codes).tensors
    return codes, {n.name: tensors[n.name] for n in graph.outputs}


def simulate(folder: Path, graph, network):
    tree = write_network(network, folder / "p", backends=("Vitis",)) / "vitis"
    program = compile_csim(tree, flags=("-O0",), bounded=True)
    codes, expected = golden(graph, 3)
    return run_network(network, program, codes, expected, folder / "run")


@pytest.mark.hls
@needs_gpp
class TestCompiled:
    @pytest.fixture(autouse=True)
    def _needs_hls4ml(self) -> None:
        pytest.importorskip("hls4ml")

    @pytest.mark.parametrize("make", [every_kind, corners])
    def test_frames_pass_at_the_depths_of_the_project(self, make, tmp_path: Path) -> None:
        graph, schedule = make()
        assert simulate(tmp_path, graph, emit_network(graph, schedule)).mismatches == 0

    @pytest.mark.parametrize("depth", [64, 65])
    def test_at_the_border_of_a_skip_edge(self, depth: int, tmp_path: Path) -> None:
        """One place decides; the engine of the planner, stricter by one, asks for 66."""
        graph, schedule = every_kind()
        network = emit_network(graph, schedule).with_depths({"sum_to_cat_2": depth})
        if depth == 65:
            assert simulate(tmp_path, graph, network).mismatches == 0
            return
        with pytest.raises(ToolError) as caught:
            simulate(tmp_path, graph, network)
        message = str(caught.value)
        assert message.startswith("C simulation 'nibble_sample_1_bounded' stands still: ")
        assert (
            "sum_fork waits to write sum_to_cat_2_stream, whose places are all taken (64)"
            in message
        )
        assert message.endswith("; give these streams more places")

    def test_make_says_who_waits(self, tmp_path: Path) -> None:
        graph, schedule = every_kind()
        network = emit_network(graph, schedule).with_depths({"sum_to_cat_2": 20})
        folder = write_network(network, tmp_path / "p")
        codes, expected = golden(graph, 1)
        ports = [(expected[n.name], graph.formats[n.name].bits) for n in graph.outputs]
        write_network_vectors(folder / "vitis" / "tb_data", (codes, 8), ports)
        done = subprocess.run(
            ["make", "-C", str(folder), "csim-bounded", "CXXFLAGS=-O0"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode != 0
        assert f"Error {DEADLOCK}" in done.stderr
        lines = done.stdout.splitlines()
        begin = lines.index("deadlock: no process can go on")
        full = "  sum_fork waits to write sum_to_cat_2_stream, whose places are all taken (20)"
        assert full in lines[begin:]
        assert "  cat waits to read up_stream, which is empty" in lines[begin:]


TOP = """\
void top(
    hls::stream<input_t> &in,
    hls::stream<result_t> &out_stream
) {
    #pragma HLS DATAFLOW
    hls::stream<a_beat> a_stream("a_stream");
    #pragma HLS STREAM variable=a_stream depth=7

    // a
    nf::lookup<config2>(in, a_stream, a_table);
    NF_TRACE(a_stream, "a");
    nf::fork<config3>(a_stream, out_stream); // out
}
"""


def layers_of(*functions: str):
    class Kernel:
        def __init__(self, function: str) -> None:
            self.function = function

    class Layer:
        def __init__(self, function: str) -> None:
            self.name, self.kernel = function[4:], Kernel(function)

    return [Layer(function) for function in functions]


def test_the_top_function_with_depths_and_processes() -> None:
    text = bounded_top(TOP, layers_of("nf::lookup", "nf::fork"))
    assert text == (
        "// Made from firmware: depths of the pragmas, calls side by side.\n"
        "void top(\n    hls::stream<input_t> &in,\n    hls::stream<result_t> &out_stream\n) {\n"
        '    hls::stream<a_beat> a_stream("a_stream", 7);\n'
        "    nf::region region;\n"
        '    region.start("lookup", [&] { nf::lookup<config2>(in, a_stream, a_table); });\n'
        '    region.start("fork", [&] { nf::fork<config3>(a_stream, out_stream); });\n'
        "    region.run();\n}\n"
    )


@pytest.mark.parametrize(
    ("change", "functions", "message"),
    [
        (("    // a\n", "    odd();\n"), ("nf::lookup", "nf::fork"),
         "hls4ml wrote 'odd();', which is no stream and no call; install the pinned version"),
        (("", ""), ("nf::fork", "nf::lookup"),
         "hls4ml wrote 2 calls for 2 layers, or in another order; install the pinned version"),
        (("#pragma HLS STREAM", "// STREAM"), ("nf::lookup", "nf::fork"),
         "hls4ml wrote no depth of stream 'a_stream'; install the pinned version"),
    ],
)  # fmt: skip
def test_refuses_a_top_function_that_it_does_not_know(change, functions, message) -> None:
    with pytest.raises(ToolError) as caught:
        bounded_top(TOP.replace(*change) if change[0] else TOP, layers_of(*functions))
    assert str(caught.value) == message

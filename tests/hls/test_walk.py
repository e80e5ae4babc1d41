# SPDX-License-Identifier: Apache-2.0
"""Walks against the C++: the same reads and writes in the same order, kernel by kernel."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hls import HlsNetwork, compile_csim, emit_network, kernel_walks, run_network, write_network
from hls.layer import stream_variable
from quant.errors import PlanError
from quant.samples import sample_codes
from sim.golden import GoldenModel
from tests.hls.network_graphs import corners, every_kind

# Streams that hold anything and note who is read and written.
NOTING = """
#pragma once
#include <cstdio>
#include <deque>
#include <string>
namespace hls {
inline void note(char what, const std::string &name) {
    static std::FILE *file = std::fopen("moves.txt", "w");
    std::fprintf(file, "%c %s\\n", what, name.c_str());
}
template <class Beat> struct stream {
    std::string name;
    std::deque<Beat> beats;
    explicit stream(const char *label) : name(label) {}
    Beat read() {
        note('r', name);
        const Beat beat = beats.front();
        beats.pop_front();
        return beat;
    }
    void write(const Beat &beat) { note('w', name); beats.push_back(beat); }
    bool empty() const { return beats.empty(); }
    size_t size() const { return beats.size(); }
};
}
"""


def expected_moves(network: HlsNetwork) -> Iterator[str]:
    for layer in network.layers:
        walks = kernel_walks(layer.kernel)
        sources = ["in" if s == network.input_name else stream_variable(s) for s in layer.inputs]
        for number, walk in enumerate(walks):
            inputs = ["narrowed"] if number else sources
            last = number == len(walks) - 1
            outputs = [stream_variable(s) for s in layer.outputs] if last else ["narrowed"]
            for reads, writes in zip(walk.reads.T, walk.writes, strict=True):
                yield from (f"r {s}" for s, moved in zip(inputs, reads, strict=True) if moved)
                if writes:
                    yield from (f"w {s}" for s in outputs)


@pytest.mark.hls
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH")
@pytest.mark.parametrize("make", [every_kind, corners])
def test_the_order_is_that_of_the_kernels(make, tmp_path: Path) -> None:
    pytest.importorskip("hls4ml")
    graph, schedule = make()
    network = emit_network(graph, schedule)
    tree = write_network(network, tmp_path / "p", backends=("Vitis",)) / "vitis"
    (tree / "noting").mkdir()
    (tree / "noting" / "hls_stream.h").write_text(NOTING)
    program = compile_csim(tree, flags=("-O0", "-I", "noting"))
    codes = sample_codes(1, (1, *graph.input.shape), 8)
    golden = GoldenModel(graph).run(codes).tensors
    run_network(network, program, codes, {n.name: golden[n.name] for n in graph.outputs}, tmp_path)
    moves = (tmp_path / "moves.txt").read_text().splitlines()
    begin, end = moves.index("r in"), len(moves)
    while moves[end - 1].startswith("r "):  # the bench drains the ports
        end -= 1
    assert moves[begin:end] == list(expected_moves(network))


@pytest.mark.parametrize("make", [every_kind, corners])
def test_iterations_are_those_of_the_estimate_and_more(make) -> None:
    for layer in emit_network(*make()).layers:
        for walk in kernel_walks(layer.kernel):
            assert bool(np.all(np.diff(walk.at) >= 1))
            assert walk.at[-1] < walk.iterations
        longest = max(walk.iterations for walk in kernel_walks(layer.kernel))
        # Fill and drain: what the window at hand does not overlap with loading.
        assert layer.kernel.interval_cycles <= longest <= 2 * layer.kernel.interval_cycles


def test_refuses_what_it_does_not_know() -> None:
    kernel = emit_network(*corners()).layers[0].kernel
    with pytest.raises(PlanError) as caught:
        kernel_walks(replace(kernel, function="nf::softmax"))
    assert str(caught.value) == (
        "kernel nf::softmax has no walk; known are nf::conv, nf::avgpool, nf::globalpool, "
        "nf::maxpool, nf::add, nf::retarget, nf::lookup, nf::fork, nf::concat, nf::split, "
        "nf::upsample, nf::width"
    )
    with pytest.raises(PlanError) as caught:
        kernel_walks(replace(kernel, outputs=kernel.inputs))
    assert str(caught.value) == (
        "the walk of kernel nf::conv reads [99] beats and writes 594, which are not those of its "
        "streams"
    )

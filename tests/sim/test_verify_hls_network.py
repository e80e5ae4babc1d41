# SPDX-License-Identifier: Apache-2.0
"""Verification of a whole network in HLS: agreement, a planted fault, an engine that fails."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sim.verify.hls_network as engine
from hls import emit_network
from hls.header import data_header
from hw.plan_network import plan_network
from quant.errors import ToolError
from quant.nodes import Input, Output
from quant.samples import sample_codes, sample_graph
from sim.golden import GoldenModel

GRAPH = sample_graph(2)
SCHEDULE = plan_network(GRAPH, max_macs_per_cycle=64)
CODES = sample_codes(1, (2, *GRAPH.input.shape), 8)
NODES = [n.name for n in GRAPH.nodes if not isinstance(n, Input | Output)]

pytestmark = [
    pytest.mark.hls,
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH"),
]


def verify(folder: Path, **more):
    return engine.verify_hls_network(
        GRAPH, SCHEDULE, CODES, folder, replay=lambda name, node: f"again {name} {node}", **more
    )


def test_every_node_with_both_types(tmp_path: Path) -> None:
    pytest.importorskip("hls4ml")
    verdicts = verify(tmp_path)
    assert [(v.engine, v.name) for v in verdicts] == [
        (e, n) for e in ("hls", "hls-plain") for n in NODES
    ]
    assert all(v.ok and v.first is None for v in verdicts)
    assert all(v.values == 2 * np.prod(GRAPH.shapes[v.name]) for v in verdicts)
    assert not (tmp_path / "hls-network").exists()


def test_a_planted_fault_is_named_at_its_node(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("hls4ml")

    def planted(graph, schedule):
        network = emit_network(graph, schedule)
        layer = next(x for x in network.layers if x.node == "grouped" and x.trace)
        arrays = []
        for array in layer.kernel.arrays:
            values = array.values.copy()
            if array.name == "zeros":
                values[0, 0] += 40  # filter 0
            arrays.append(replace(array, values=values))
        text = data_header(arrays, layer.prefix, layer.notes)
        files = {**network.files, f"firmware/{layer.data_header}": text}
        object.__setattr__(network, "files", files)
        return network

    monkeypatch.setattr(engine, "emit_network", planted)
    verdicts = verify(tmp_path, engines=("hls-plain",))
    wrong = [v for v in verdicts if not v.ok]
    assert wrong[0].name == "grouped"
    first = wrong[0].first
    assert first is not None
    golden = GoldenModel(GRAPH).run(CODES, keep=("grouped",), accumulators=("grouped",))
    at = (first.frame, first.channel, first.row, first.column)
    assert first.channel == 0
    assert first.expected == golden.tensors["grouped"][at]
    assert first.accumulator == golden.accumulators["grouped"][at]
    assert first.replay == "again hls-plain grouped"
    assert (tmp_path / "hls-network" / "project" / "vitis").is_dir()  # kept for a look


def test_a_failure_is_in_every_verdict(tmp_path: Path, monkeypatch) -> None:
    def broken(*_args, **_more):
        raise ToolError("no compiler today")

    monkeypatch.setattr(engine, "compile_csim", broken)
    monkeypatch.setattr(engine, "write_network", lambda *_args, **_more: None)
    verdicts = verify(tmp_path, engines=("hls",))
    assert [v.failure for v in verdicts] == ["no compiler today"] * len(NODES)
    assert all(v.mismatches == v.values for v in verdicts)

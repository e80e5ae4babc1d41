# SPDX-License-Identifier: Apache-2.0
"""Exports through the command line: ``.mem`` files, C headers, ONNX."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nibbleflow.pictures import load_frames
from quant.bundle import load_bundle, mem_texts
from reports.summary import summarise
from sim.golden import GoldenModel
from sim.host import input_codes


def test_export_writes_both_and_says_which(build, cli, tmp_path):
    result = cli("export", build, "--force", "--json", tmp_path / "e.json")
    assert result.code == 0
    files = json.loads((tmp_path / "e.json").read_text())["files"]
    assert "export/c/nibbleflow_graph.h" in files
    graph = load_bundle(build / "bundle").graph
    for name, text in mem_texts(graph):
        assert (build / "export" / "mem" / name).read_text() == text
        assert f"export/mem/{name}" in files


def test_export_of_one_kind_refuses_to_replace(build, cli):
    assert cli("export", build, "--mem", "--force").code == 0
    again = cli("export", build, "--mem")
    assert again.code == 1
    assert "exists" in again.error


def test_onnx_carries_the_figures(build, cli):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    path = build / "export" / "onnx" / "model.onnx"
    assert cli("export", build, "--onnx").code == 0
    before = _told(onnx.load(path))
    graph = load_bundle(build / "bundle").graph
    summary = {x.name: x for x in summarise(load_bundle(build / "bundle")).layers}
    assert set(before) >= {n.name for n in graph.convs}
    for node in graph.convs:
        told = before[node.name]
        assert told["nibbleflow.weight_bits"] == str(node.weights.bits)
        assert told["nibbleflow.output_sqnr_db"] == f"{round(summary[node.name].sqnr_db, 2)}"
        assert "nibbleflow.planned_interval_cycles" not in told
    # Cycles are told once the build has a plan.
    assert cli("report", build).code == 0
    assert cli("export", build, "--onnx").error == (
        f"'{build}/export/onnx' exists; choose another folder or replace it with --force"
    )
    assert cli("export", build, "--onnx", "--force").code == 0
    planned = json.loads((build / "report" / "network.json").read_text())["nodes"]
    after = _told(onnx.load(path))
    for row in planned:
        if row["name"] in after:
            cycles = after[row["name"]]["nibbleflow.planned_interval_cycles"]
            assert cycles == str(row["alone_cycles"])


def _told(model) -> dict[str, dict[str, str]]:
    return {n.name: {p.key: p.value for p in n.metadata_props} for n in model.graph.node}


def test_qonnx_exec_computes_the_same_integers(build, cli, tmp_path):
    program = Path(sys.executable).with_name("qonnx-exec")
    if not program.is_file():
        pytest.skip("qonnx is not installed (no qonnx-exec)")
    assert cli("export", build, "--qonnx").code == 0
    bundle = load_bundle(build / "bundle")
    fmt = bundle.graph.input.output
    frame = load_frames(build / "float" / "frames.npy")[0]
    codes = input_codes(frame, bundle.host, fmt.scale, fmt.zero_point)[None]
    np.save(tmp_path / "in.npy", codes.astype(np.float32))
    done = subprocess.run(
        [program, build / "export" / "qonnx" / "model.onnx", "in.npy",
         "--output-mode", "tensor_index"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = GoldenModel(bundle.graph).run(codes)
    for index, port in enumerate(bundle.graph.outputs):
        found = np.load(tmp_path / f"out_{index}_batch0.npy")
        assert np.array_equal(found, expected.tensors[port.name]), port.name
        assert np.unique(found).size > 100


def test_onnx_without_onnx_says_how_to_get_it(build, cli, monkeypatch):
    for name in [m for m in sys.modules if m.startswith("reports.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = cli("export", build, "--onnx")
    assert done.code == 1
    assert done.error == (
        "export --onnx needs onnx; run pip install -e '.[reports]' in nibbleflow's folder"
    )

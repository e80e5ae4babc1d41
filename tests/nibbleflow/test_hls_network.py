# SPDX-License-Identifier: Apache-2.0
"""generate --hls and verify --hls on the whole built-in network."""

import json
import shutil
import subprocess

import pytest

from quant.bundle import load_bundle
from quant.nodes import Input, Output

pytestmark = [
    pytest.mark.hls,
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH"),
]


def test_generated_project_runs_with_make_alone(cli, build, tmp_path):
    pytest.importorskip("hls4ml")
    done = cli("generate", build, "--hls", "--json", tmp_path / "g.json")
    assert done.code == 0, done.out + done.err
    listed = json.loads((tmp_path / "g.json").read_text())["files"]
    wanted = ["hls/Makefile", "hls/README.md", "hls/vitis/build_prj.tcl", "hls/vivado/project.tcl"]
    assert set(wanted) <= set(listed)
    made = subprocess.run(
        ["make", "-C", str(build / "hls"), "csim-plain", "CXXFLAGS=-O1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert " differences 0\n" in made.stdout


def test_every_node_of_the_network_in_both_types(cli, build, tmp_path):
    pytest.importorskip("hls4ml")
    done = cli("verify", build, "--hls", "--json", tmp_path / "v.json")
    assert done.code == 0, done.out + done.err
    values = json.loads((tmp_path / "v.json").read_text())
    assert values["engines"] == ["golden", "hls", "hls-plain"]
    assert values["mismatches"] == values["failures"] == 0
    graph = load_bundle(build / "bundle").graph
    names = [n.name for n in graph.nodes if not isinstance(n, Input | Output)]
    assert [(r["engine"], r["name"]) for r in values["nodes"]] == [
        (engine, name) for engine in ("hls", "hls-plain") for name in names
    ]

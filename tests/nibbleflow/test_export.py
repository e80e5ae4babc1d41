# SPDX-License-Identifier: Apache-2.0
"""The bundle as ``.mem`` files and C headers, through the command line."""

import json

from quant.bundle import load_bundle, mem_texts


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

# SPDX-License-Identifier: Apache-2.0
"""report: the keys that others script against agree with the bundle."""

import json

from quant.bundle import MemoryKind, graph_tensors, load_bundle


def test_report(cli, build, tmp_path):
    done = cli("report", build, "--json", tmp_path / "r.json")
    assert done.code == 0, done.err
    values = json.loads((tmp_path / "r.json").read_text())
    graph = load_bundle(build / "bundle").graph
    memory = values["memory"]
    assert sum(memory["bits"].values()) == memory["honest_bits"]
    # Every array of the bundle is counted under its kind; lone numbers come on top.
    for kind in MemoryKind:
        stored = sum(t.bit_count for t in graph_tensors(graph) if t.kind is kind)
        counted = memory["bits"].get(str(kind).replace(" ", "_"), 0)
        assert stored <= counted <= stored + 1000
    assert 2.5 < memory["honest_ratio"] < memory["published_ratio"] < 4.0
    assert values["macs"] == 57_177_600
    names = [layer["name"] for layer in values["layers"]]
    assert set(names) >= {n.name for n in graph.convs}
    files = {p.suffix for p in (build / "report").rglob("*")}
    assert {".png", ".json"} <= files
    # Again, from the run's own file: what the report does not write goes.
    stale = build / "report" / "stale.txt"
    stale.write_text("old")
    done = cli("repeat", build / "report.run.toml")
    assert done.code == 0, done.err
    assert not stale.exists()
    assert json.loads((build / "report" / "summary.json").read_text())["memory"] == memory

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


# One line of Vivado's hierarchical report per instance; the layout is that of tests/reports.
VIVADO = """\
| Tool Version : Vivado v.2023.2 (lin64) Build 1
| Command      : report_utilization -hierarchical -file u.rpt
| Design       : demo_top
| Device       : xczu7ev-ffvc1156-2-e

+-----------+---------+------------+-----+--------+--------+------+------------+
| Instance  | Module  | Total LUTs | FFs | RAMB36 | RAMB18 | URAM | DSP Blocks |
+-----------+---------+------------+-----+--------+--------+------+------------+
| demo_top  |   (top) |        900 | 700 |      4 |      1 |    0 |          9 |
|   u_model_0_conv | nf_conv |   500 | 400 |      3 |      0 |    0 |          9 |
+-----------+---------+------------+-----+--------+--------+------+------------+
"""


def test_vendor_reports_beside_the_plan(cli, build, tmp_path):
    reports = tmp_path / "reports"
    reports.mkdir()
    done = cli("report", build, "--vendor", reports)
    assert done.code == 1
    assert done.error == f"{reports} holds neither csynth.xml nor a .rpt; give report files"
    node = load_bundle(build / "bundle").graph.convs[0].name
    stem = "u_" + node.replace(".", "_")
    (reports / "u.rpt").write_text(VIVADO.replace("u_model_0_conv", stem))
    intervals = []
    for macs in (400, 100):
        given = ("--vendor", reports, "--max-macs", macs, "--json", tmp_path / "r.json")
        done = cli("report", build, *given)
        assert done.code == 0, done.err
        (found,) = json.loads((tmp_path / "r.json").read_text())["vendor"]
        assert json.loads((build / "report" / "vendor.json").read_text()) == [found]
        top, conv = found["modules"]
        assert (conv["node"], conv["resources"]["lut"]) == (node, 500)
        assert conv["planned_interval_cycles"] <= top["planned_interval_cycles"]
        intervals.append(top["planned_interval_cycles"])
        shown = [line.split() for line in done.out.splitlines()]
        assert any(row[:3] == [node, "500", "400"] for row in shown)
    # A plan of fewer multipliers is slower: the aims reach the plan.
    assert intervals[0] < intervals[1]

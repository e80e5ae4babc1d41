# SPDX-License-Identifier: Apache-2.0
"""report: the keys that others script against agree with the bundle."""

import json
import sys

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


def test_the_page(cli, build, tmp_path):
    """One file, the same again; it has what the build knows and says what it lacks."""
    graph = load_bundle(build / "bundle").graph
    page = build / "report" / "index.html"
    done = cli("report", build, "--json", tmp_path / "r.json")
    assert done.code == 0, done.err
    assert f"page: {page}" in done.out
    values = json.loads((tmp_path / "r.json").read_text())
    assert values["page"] == str(page)
    assert values["resources"]["basis"] == "estimated from Yosys, not Vivado"
    first = page.read_text()
    assert "Not verified yet; run nibbleflow verify BUILD." in first
    assert "Nothing was synthesised" in first
    assert "nibbleflow repeat BUILD/quantize.run.toml" in first
    assert graph.digest in first
    assert all(f">{node.name}<" in first for node in graph.convs)
    # The report's own run file and plan, which are there by now, change nothing.
    assert cli("report", build).code == 0
    assert page.read_text() == first
    # Another board: its own map.
    assert cli("report", build, "--board", "kv260").code == 0
    assert "The map is of kv260, for which the network is planned." in page.read_text()
    # Records that do not belong, or are damaged.
    record = build / "sim" / "verify.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text('{"digest": "another"}')
    assert cli("report", build).error == (
        "the record of the last verification is damaged (KeyError('engines')); run nibbleflow "
        "verify again"
    )
    record.write_text("{")
    assert cli("report", build).error.startswith(f"{record} is damaged (Expecting")
    record.write_text("[]")
    assert cli("report", build).error == f"{record} is no record; run nibbleflow verify again"
    assert page.is_file()


def test_without_jinja_the_rest_is_written(cli, build, monkeypatch):
    for name in [m for m in sys.modules if m.startswith("reports.page")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = cli("report", build)
    assert done.code == 0, done.err
    assert (
        "no page, as Jinja2 is not installed: run pip install -e '.[reports]' in nibbleflow's "
        "folder"
    ) in " ".join(done.out.split())
    assert not (build / "report" / "index.html").exists()
    assert (build / "report" / "summary.json").is_file()


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

# SPDX-License-Identifier: Apache-2.0
import json
import sys

import pytest

from reports.bench import network
from reports.bench.network import Network, network_row, run
from reports.bench.runner import Runner

# Stands in for the command line: notes every verb, writes what the real ones promise.
FAKE = """
import json, pathlib, sys
verb, *rest = sys.argv[1:]
with open("verbs.txt", "a") as log:
    log.write(" ".join(sys.argv[1:3]) + "\\n")
value = {"nodes": [{"name": "a"}, {"name": "b"}], "values": 700, "mismatches": 0, "cycles": 5000,
         "seconds": 2.04, "runs": [{"frames": 3}, {"frames": 2}], "interval_planned": 1000,
         "interval_counted": 1000, "latency_planned": 1500, "latency_counted": 1500,
         "words_loaded": 96, "macs": 64000, "macs_per_second": 12500000, "build_seconds": 1.5,
         "sim_seconds": 0.5}
pathlib.Path(rest[rest.index("--json") + 1]).write_text(json.dumps(value))
"""
NETWORKS = (Network("one", "demo"), Network("two", "arch:x", ("--seed", "1"), ("--fps", "30")))


@pytest.fixture
def runner(tmp_path):
    (tmp_path / "fake.py").write_text(FAKE)
    return lambda: Runner(tmp_path, network.SCRATCH, program=[sys.executable, "fake.py"])


def verbs(tmp_path):
    return (tmp_path / "verbs.txt").read_text().splitlines()


def test_rows_are_kept_until_the_sources_change(tmp_path, runner, monkeypatch):
    monkeypatch.setattr(network, "sources_digest", lambda *_: "one state")
    first = runner()
    assert [row["model"] for row in run(first, NETWORKS[:1])] == ["one"]
    second = runner()
    rows = run(second, NETWORKS)
    assert [row["model"] for row in rows] == ["one", "two"]
    folders = [f"{network.SCRATCH}/{n.name}" for n in NETWORKS]
    assert verbs(tmp_path) == [
        "quantize demo", f"verify {folders[0]}", "quantize arch:x", f"verify {folders[1]}"
    ]  # fmt: skip
    assert second.commands[:2] == first.commands
    assert second.commands[3].startswith(f"nibbleflow verify {folders[1]} --rtl --fps 30 ")
    monkeypatch.setattr(network, "sources_digest", lambda *_: "another state")
    run(runner(), NETWORKS[:1])
    assert len(verbs(tmp_path)) == 6


def test_figures_of_a_row(tmp_path, runner):
    found = runner().nibbleflow("verify", "x")
    assert network_row("one", found, 200_000_000) == {
        "model": "one", "weight_bits": 4, "act_bits": 8, "nodes": 2, "frames": 5, "values": 700,
        "mismatches": 0, "cycles": 5000, "interval_planned": 1000, "interval_counted": 1000,
        "latency_planned": 1500, "latency_counted": 1500, "frames_per_second_at_200_mhz": 200000.0,
        "macs_per_cycle": 64.0, "words_loaded": 96, "million_macs_per_second_simulated": 12.5,
        "build_seconds": 1.5, "simulation_seconds": 0.5, "wall_seconds": 2.0,
    }  # fmt: skip


def test_unknown_network_is_refused(capsys):
    assert network.main(["two"]) == 2
    assert capsys.readouterr().err == (
        f"error: no network 'two'; choose {', '.join(n.name for n in network.NETWORKS)}\n"
    )


def test_kept_rows_are_json(tmp_path, runner, monkeypatch):
    monkeypatch.setattr(network, "sources_digest", lambda *_: "state")
    rows = run(runner(), NETWORKS[:1])
    kept = json.loads((tmp_path / network.SCRATCH / "row-one.json").read_text())
    assert kept["row"] == rows[0]

# SPDX-License-Identifier: Apache-2.0
"""The benchmark of recipes: its rows, and that an interrupted one goes on."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from quant.errors import ToolError
from reports.bench import recipes
from reports.bench.runner import Runner

# Stands in for the command line; counts its calls, and fails at one of them when told to.
FAKE = """
import json, pathlib, sys
verb, *rest = sys.argv[1:]
calls = pathlib.Path("calls.txt")
calls.write_text((calls.read_text() if calls.exists() else "") + verb + "\\n")
broken = pathlib.Path("break.txt")
recipe = rest[rest.index("--recipe") + 1] if verb == "quantize" else ""
if broken.exists() and recipe == broken.read_text():
    sys.exit(3)
engines = rest[rest.index("--engines") + 1].split(",") if verb == "evaluate" else []
value = {
    "quantize": {"settings": {} if "--weights-only" in rest else {"calibration_images": 256}},
    "report": {"memory": {"honest_ratio": 3.5}},
    "evaluate": {"images": 300, **{e: {"map": 25.0 - 2 * i, "map50": 40.0,
                                        "top1": 60.0, "top5": 80.0}
                                   for i, e in enumerate(engines)}},
}[verb]
pathlib.Path(rest[rest.index("--json") + 1]).write_text(json.dumps(value))
"""


@pytest.fixture
def checkout(tmp_path):
    """A clean git checkout: rows are kept for its commit."""
    git = ("git", "-c", "user.name=n", "-c", "user.email=e@e", "-C", str(tmp_path))
    (tmp_path / "fake.py").write_text(FAKE)
    for command in (("init", "-q"), ("add", "fake.py"), ("commit", "-qm", "x")):
        subprocess.run([*git, *command], check=True)
    return tmp_path


def run(checkout):
    program = [sys.executable, str(checkout / "fake.py")]
    runner = Runner(checkout, Path("scratch"), program=program, say=lambda line: None)
    return recipes.run(runner), runner


def test_rows_name_what_was_measured(checkout, monkeypatch):
    clock = itertools.count(0.0, 2.5)
    monkeypatch.setattr(recipes, "_processor_seconds", lambda: next(clock))
    rows, runner = run(checkout)
    assert [(r["model"], r["bits"], r["recipe"]) for r in rows] == [
        (c.model, c.bits, c.recipe) for c in recipes.CASES
    ]
    assert len({c.label for c in recipes.CASES}) == len(recipes.CASES)
    first, last = rows[0], rows[-1]
    assert (first["float_percent"], first["percent"], first["lost_points"]) == (25, 23, 2)
    assert (last["figure"], last["percent"], last["second_percent"]) == ("top1", 60, 80)
    alone = next(r for r in rows if r["bits"] == "W4 alone")
    assert (first["engine"], alone["engine"]) == ("integer", "fake_quant")
    assert (first["calibration_images"], alone["calibration_images"]) == (256, None)
    assert first["quantize_cpu_seconds"] == 2.5
    assert runner.commands[0].startswith("nibbleflow quantize demo -o scratch/demo-w4a4-rtn ")
    wanted = "--weights-only --scheme e2m1-spare --least-ratio 3.5 --recipe best --force"
    assert sum(wanted in command for command in runner.commands) == 1
    assert "--labels" in runner.commands[-2]
    assert not list((checkout / "scratch").glob("*.row.json"))


def test_an_interrupted_benchmark_goes_on_behind_its_rows(checkout):
    (checkout / "break.txt").write_text("adaround")
    with pytest.raises(ToolError):
        run(checkout)
    (checkout / "break.txt").unlink()
    before = (checkout / "calls.txt").read_text().count("quantize")
    rows, _ = run(checkout)
    after = (checkout / "calls.txt").read_text().count("quantize")
    assert before == 3
    assert after - before == len(recipes.CASES) - 2
    assert len(rows) == len(recipes.CASES)


def test_rows_of_other_sources_are_measured_again(checkout):
    folder = checkout / "scratch"
    folder.mkdir()
    stale = {"state": "0123456789ab", "row": {"model": "stale"}}
    (folder / f"{recipes.CASES[0].label}.row.json").write_text(json.dumps(stale))
    rows, _ = run(checkout)
    assert rows[0]["model"] == "demo"

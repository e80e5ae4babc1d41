# SPDX-License-Identifier: Apache-2.0
"""The benchmark of recipes: its rows, and that an interrupted one goes on."""

import json
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
engine = rest[rest.index("--engines") + 1] if verb == "evaluate" else ""
map_of = {"float": 25.0, "integer": 23.0, "fake_quant": 23.0}
value = {
    "quantize": {"memory": {"honest_ratio": 3.5},
                 **({"settings": {}} if "--weights-only" in rest else
                    {"settings": {"calibration_images": 256}, "decoded_bits": [4, 6]})},
    "evaluate": {"images": 300, engine: {"map": map_of.get(engine), "map50": 40.0,
                                         "top1": 60.0 if engine == "float" else 58.0,
                                         "top5": 80.0}},
}[verb]
pathlib.Path(rest[rest.index("--json") + 1]).write_text(json.dumps(value))
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder with the command."""
    (tmp_path / "fake.py").write_text(FAKE)
    return tmp_path


def run(checkout):
    program = [sys.executable, str(checkout / "fake.py")]
    runner = Runner(checkout, Path("scratch"), program=program, say=lambda line: None)
    return recipes.run(runner), runner


def test_rows_name_what_was_measured(checkout):
    rows, runner = run(checkout)
    assert [(r["model"], r["bits"], r["recipe"]) for r in rows] == [
        (c.subject.name, c.bits, c.recipe) for c in recipes.CASES
    ]
    assert len({c.label for c in recipes.CASES}) == len(recipes.CASES)
    first, last = rows[0], rows[-1]
    assert (first["float_percent"], first["percent"], first["lost_points"]) == (25, 23, 2)
    assert (first["engine"], last["engine"]) == ("fake_quant", "integer")
    assert (first["calibration_images"], last["calibration_images"]) == (None, 256)
    assert (first["mean_decoded_bits"], last["mean_decoded_bits"]) == (None, 5.0)
    assert first["quantize_cpu_seconds"] >= 0.0
    assert first["quantize_peak_mib"] > 1.0
    objects = next(r for r in rows if r["model"] == "MobileOne-S0")
    assert (objects["figure"], objects["percent"], objects["second_percent"]) == ("top1", 58, 80)
    wanted = "--weight-bits 4 --weights-only --scheme e2m1-spare --least-ratio 3.5 --recipe best"
    assert sum(wanted in command for command in runner.commands) == 1
    floats = {command for command in runner.commands if "--engines float " in command}
    subjects = {c.subject.name for c in recipes.CASES}
    calls = (checkout / "calls.txt").read_text().split()
    assert calls.count("evaluate") == len(recipes.CASES) + len(subjects)
    assert sum("--labels" in command for command in floats) == 1


def test_an_interrupted_benchmark_goes_on_behind_its_rows(checkout):
    (checkout / "break.txt").write_text("rtn")
    with pytest.raises(ToolError):
        run(checkout)
    (checkout / "break.txt").unlink()
    before = (checkout / "calls.txt").read_text().count("quantize")
    rows, _ = run(checkout)
    after = (checkout / "calls.txt").read_text().count("quantize")
    assert before == 4
    assert after - before == len(recipes.CASES) - 3
    assert len(rows) == len(recipes.CASES)


def test_rows_of_other_sources_are_measured_again(checkout):
    folder = checkout / "scratch"
    folder.mkdir()
    stale = {"digest": "0123456789ab", "commands": [], "row": {"model": "stale"}}
    (folder / f"row-{recipes.CASES[0].label}.json").write_text(json.dumps(stale))
    rows, _ = run(checkout)
    assert rows[0]["model"] == "YOLOv5n"

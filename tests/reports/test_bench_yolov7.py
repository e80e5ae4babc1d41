# SPDX-License-Identifier: Apache-2.0
"""The study's grid at the size of YOLOv7, and GPTQ's time and memory, on small stand-ins."""

import json
import sys
from types import SimpleNamespace

import pytest

from quant.errors import ToolError
from quant.zoo.yolov7 import yolov7_description
from reports.bench import gptqsize, yolov7
from reports.bench.gptqcost import main as gptqcost
from reports.bench.gptqcost import measure
from reports.bench.runner import Runner
from reports.bench.yolov7grid import main as yolov7grid
from reports.bench.yolov7grid import trained_counts
from tests.quant.skeletons import skeleton


@pytest.fixture(scope="module")
def trained():
    """Counts of YOLOv7 as trained."""
    module = skeleton(yolov7_description("yolov7", "training"))
    return trained_counts(SimpleNamespace(module=module))


def test_counts_are_the_published_ones(trained):
    assert (trained.weights, trained.others) == (37_569_632, 53_050)
    assert trained.groups == {
        "layer": 95,
        "filter": 25_629,
        "channel": 39_907,
        "f-shape": 112_379,
        "c-shape": 101_661,
        "mixture": 122_464,
    }


def test_every_pair_of_a_small_network_has_a_row(tmp_path):
    file = tmp_path / "rows.json"
    assert yolov7grid(["--model", "arch:yolox-nano", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert len(rows) == 18
    for row in rows:
        head = row["honest_ratio_8_bit_head"]
        assert head < row["honest_ratio"]
        assert row["peak_mib"] > 10
        bits = 5 if row["scheme"] == "pwlq" else 4
        assert row["stored_bits"] == bits
        assert row["honest_ratio"] < 16 / bits
    found = {(r["scheme"], r["granularity"]): r for r in rows}
    assert found["affine", "c-shape"]["printed_ratio"] == 3.93
    assert found["affine", "filter"]["printed_ratio"] is None
    # The region bit is not in the published figure.
    layer = found["pwlq", "layer"]
    assert layer["published_ratio"] > layer["honest_ratio"] + 0.3


# Stands in for the command line: leaves its arguments and the recipe.
FAKE = """
import json, pathlib, sys
given = sys.argv[1:]
recipe = pathlib.Path(given[given.index("--recipe") + 1]).read_text()
pathlib.Path(sys.argv[0]).with_name("seen.json").write_text(json.dumps([given, recipe]))
sys.exit("--seed" in given)
"""


def test_time_and_memory_of_a_command(tmp_path):
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    program = [sys.executable, str(script)]
    file = tmp_path / "row.json"
    arguments = ["m", "--calib", "a", "--calib", "b", "--images", "3", "--columns", "70"]
    assert gptqcost([*arguments, "--json", str(file)], program) == 0
    row = json.loads(file.read_text())
    assert (row["images"], row["columns"]) == (3, 70)
    assert row["peak_mib"] > 1
    given, recipe = json.loads((tmp_path / "seen.json").read_text())
    assert given[:8] == ["quantize", "m", "--calib", "a", "--calib", "b", "--limit", "3"]
    assert given[8:10] == ["--weight-bits", "4"]
    assert "--weights-only" not in given
    assert recipe == '[[stage]]\nkind = "gptq"\nimages = 3\ncolumns = 70\n'
    assert gptqcost([*arguments, "--weights-only", "--json", str(file)], program) == 0
    assert "--weights-only" in json.loads((tmp_path / "seen.json").read_text())[0]
    assert gptqcost([*arguments, "--seed", "1", "--json", str(file)], program) == 1
    command = [*program, "--seed"]
    with pytest.raises(ToolError, match=r"^'.*fake\.py --seed' ended with exit code 1$"):
        measure(command, 1, 1)


def test_benches_ask_their_modules(tmp_path, monkeypatch):
    calls = []

    def module(_self, name, *arguments, one_core):
        calls.append((name, arguments[0] if arguments else None, one_core))
        return {"rows": [{"scheme": "affine"}], "peak_mib": 5.0}

    monkeypatch.setattr(Runner, "module", module)
    runner = Runner(tmp_path, tmp_path, say=print)
    assert yolov7.run(runner) == [{"scheme": "affine"}]
    rows = gptqsize.run(runner)
    assert [r["model"] for r in rows] == ["YOLOv5n", "YOLOv7, seeded"]
    assert gptqsize.run(runner) == rows
    assert [(n, a) for n, a, _ in calls] == [
        ("reports.bench.yolov7grid", None),
        ("reports.bench.gptqcost", "../shared/data/weights/yolov5n_coco_fp16.safetensors"),
        ("reports.bench.gptqcost", "arch:yolov7"),
    ]
    assert all(one_core for _, _, one_core in calls)

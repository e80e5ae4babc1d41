# SPDX-License-Identifier: Apache-2.0
"""The worked example for own hardware: its README's commands, on a design that is not ours."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nibbleflow

pytestmark = pytest.mark.rtl

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "foreign_rtl"
DESIGN = EXAMPLE / "plain_conv.sv"
POINTWISE, STRIDED = "model.9.conv", "model.14.conv"


def run(*command, code=0):
    """Run a command of the README with this Python; return its two outputs."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def simulate(*arguments, code=0):
    return run(EXAMPLE / "simulate.py", *arguments, code=code)


def compare(build, dump, record, code):
    out, _ = run("-m", "nibbleflow.cli", "compare", build, dump, "--json", record, code=code)
    return out, json.loads(record.read_text())


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign") / "build"
    nibbleflow.quantize("demo", output=folder, limit=4)
    nibbleflow.vectors(folder, nodes=f"{POINTWISE},{STRIDED}")
    return folder


def broken_text():
    """Return the design as step 5 of the README breaks it, by the README's own command."""
    pattern, replacement = re.search(
        r'sed "s/(.+)/(.*)/" examples', (EXAMPLE / "README.md").read_text()
    ).groups()
    pattern = pattern.replace("(", r"\(").replace("+", r"\+")  # sed's basic expressions
    text, count = re.subn(pattern, replacement, DESIGN.read_text())
    assert count == 1
    return text


def test_equal_then_broken(build, tmp_path):
    dump, record = tmp_path / "dump", tmp_path / "compared.json"
    simulate(build, POINTWISE, dump)
    simulate(build, STRIDED, dump)
    _, values = compare(build, dump, record, 0)
    assert values["mismatches"] == 0
    rows = [(r["node"], r["tensor"], r["values"]) for r in values["nodes"]]
    assert rows == [
        (POINTWISE, "accumulator", 4800),
        (POINTWISE, "output", 4800),
        (STRIDED, "accumulator", 4800),
        (STRIDED, "output", 4800),
    ]

    broken = tmp_path / "broken.sv"
    broken.write_text(broken_text())
    simulate(build, POINTWISE, dump, "--design", broken)
    out, values = compare(build, dump, record, 1)
    wrong, expected = without_rounding(build / "vectors" / "model_9_conv")
    count = int((wrong != expected).sum())
    assert values["mismatches"] == count > 100
    y, x, c = (int(i[0]) for i in np.nonzero((wrong != expected).transpose(1, 2, 0)))
    sums = np.load(build / "vectors" / "model_9_conv" / "accumulator.npy")
    first = (
        f"'{POINTWISE}' output [{c}, {y}, {x}] (channel, row, column): got {wrong[c, y, x]}, "
        f"golden {expected[c, y, x]}, golden accumulator {sums[c, y, x]} ({count:,} of 4,800 "
        "differ)"
    )
    assert [r["first"] for r in values["nodes"]] == [None, first, None, None]
    assert first in out


def without_rounding(vectors):
    """Return what the broken design must answer, and what is right, both [F, H, W]."""

    def words(name):
        text = (vectors / f"{name}.mem").read_text().splitlines()
        return np.array([int(w, 16) for w in text if not w.startswith("//")], np.int64)

    about = json.loads((vectors / "vector.json").read_text())["geometry"]
    sums = np.load(vectors / "accumulator.npy").astype(np.int64)
    per_filter = (
        words(f"requant.{n}")[:, None, None] for n in ("multiplier", "shift", "zero_point")
    )
    multiplier, shift, zero = per_filter
    codes = ((sums * multiplier) >> shift) + zero
    wrong = words("table")[codes.clip(about["low"], about["high"])]
    return wrong, np.load(vectors / "output.npy").astype(np.int64)


def test_refusals(build, tmp_path):
    dump = tmp_path / "dump"
    _, error = simulate(build, "model.99", dump, code=1)
    assert error == (
        f"error: {build} has no vectors of 'model.99', there are: model.14.conv, model.9.conv; "
        f"run 'nibbleflow vectors {build} --nodes model.99'\n"
    )
    bad = tmp_path / "bad.sv"
    bad.write_text("module plain_conv; nonsense endmodule\n")
    _, error = simulate(build, POINTWISE, dump, "--design", bad, code=1)
    assert error.startswith(f"error: {bad} cannot be built: ")
    assert not dump.exists()
    # Words of two codes: not what this design reads.
    manifest = build / "vectors" / "model_9_conv" / "vector.json"
    whole = manifest.read_text()
    manifest.write_text(whole.replace('"channels_per_beat": 1', '"channels_per_beat": 2'))
    _, error = simulate(build, POINTWISE, dump, code=1)
    manifest.write_text(whole)
    assert error == (
        "error: 'model.9.conv' is written 2 codes a word; plain_conv.sv computes convolutions of "
        "one group on plain codes, one a word\n"
    )


def test_readme_names_what_is_there(build):
    text = (EXAMPLE / "README.md").read_text()
    names = set(re.findall(r"`([\w.]+\.(?:mem|json))`", text))
    there = {p.name for p in (build / "vectors" / "model_9_conv").iterdir()}
    assert names <= there
    assert len(names) == 10
    for node in (POINTWISE, STRIDED):
        assert f"simulate.py build/mine {node} build/dump" in text

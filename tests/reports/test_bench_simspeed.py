# SPDX-License-Identifier: Apache-2.0
"""Speed of the RTL simulation: the program that measures one folding, and the rows of all."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from quant.bundle import save_bundle
from quant.graph import QGraph, macs_of
from quant.nodes import Input, Output
from quant.samples import sample_conv, sample_format
from reports.bench import rtlspeed, simspeed
from reports.bench.rtlspeed import main as measure_rtl
from reports.bench.runner import Runner
from reports.bench.simspeed import Folding, Model, run

# Stands in for the command line.
FAKE = """
import json, pathlib, sys
with open("verbs.txt", "a") as log:
    log.write(" ".join(sys.argv[1:3]) + "\\n")
pathlib.Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps({"layers": []}))
"""
SMALL, LARGE = Model("small", "demo", ()), Model("large", "arch:x", ("--seed", "1"))
FOLDINGS = (
    Folding("one", SMALL, 900, ("--quick",)),
    Folding("two", SMALL, 900),
    Folding("three", LARGE, 70),
)


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """Return what makes a runner whose program and modules only note what they are asked for."""
    (tmp_path / "fake.py").write_text(FAKE)

    def module(self, name, *arguments, one_core):
        assert one_core
        self.commands.append(" ".join([name, *map(str, arguments)]))
        return {"cycles": int(arguments[2])}

    monkeypatch.setattr(Runner, "module", module)
    monkeypatch.setattr(simspeed, "sources_digest", lambda *_: "state")
    return lambda: Runner(tmp_path, simspeed.SCRATCH, program=[sys.executable, "fake.py"])


def test_a_network_is_quantized_once_and_rows_are_kept(tmp_path, runner):
    first = runner()
    assert run(first, FOLDINGS) == [
        {"folding": "one", "cycles": 900},
        {"folding": "two", "cycles": 900},
        {"folding": "three", "cycles": 70},
    ]
    folder = f"{simspeed.SCRATCH}/small"
    assert first.commands[1:3] == [
        f"reports.bench.rtlspeed {folder} --interval 900 --quick",
        f"reports.bench.rtlspeed {folder} --interval 900",
    ]
    second = runner()
    assert [row["folding"] for row in run(second, FOLDINGS[1:])] == ["two", "three"]
    assert (tmp_path / "verbs.txt").read_text() == "quantize demo\nquantize arch:x\n"


def test_an_unknown_folding_is_refused(capsys):
    assert simspeed.main(["two"]) == 2
    assert capsys.readouterr().err == (
        f"error: no folding 'two'; choose {', '.join(f.name for f in simspeed.FOLDINGS)}\n"
    )


@pytest.fixture
def build(tmp_path, bundle):
    """Return a build folder of one convolution."""
    plain = sample_format(3, 8, zero=0)
    conv, _ = sample_conv(
        1, 3, 4, 3, 1, 1, source=plain, output=sample_format(4, 8, zero=64), names=("c", "image")
    )
    graph = QGraph("tiny", (Input("image", (3, 6, 8), plain), conv, Output("out", "c")))
    host = replace(bundle.host, height=6, width=8)
    save_bundle(graph, host, replace(bundle.record, layers=()), tmp_path / "bundle")
    (tmp_path / "float").mkdir()
    frames = np.random.default_rng(1).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "float" / "frames.npy", frames)
    return tmp_path, graph


@pytest.mark.rtl
def test_figures_of_a_folding(build):
    folder, graph = build
    file = folder / "speed.json"
    arguments = [str(folder), "--interval", "1296", "--quick", "--json", str(file)]
    assert measure_rtl(arguments) == 0
    found = json.loads(file.read_text())
    # Three channels of nine taps for each of 48 pixels: one product per cycle for each filter.
    assert macs_of(graph, "c") == 4 * 27 * 48
    assert found["multipliers"] == 4
    assert found["interval_cycles"] == 1296
    assert found["macs_per_cycle"] == 4.0
    assert (found["nodes"], found["frames"], found["values"]) == (1, 3, 3 * 4 * 48)
    assert found["mismatches"] == 0
    assert found["cycles"] > 3 * 1296
    assert found["compiler"] == "-O1"


@pytest.mark.rtl
def test_a_wrong_code_leaves_no_figures(build, monkeypatch, capsys):
    folder, _ = build
    real = rtlspeed.GoldenModel.run

    def spoiled(self, codes, **options):
        found = real(self, codes, **options)
        found.tensors["c"].setflags(write=True)
        found.tensors["c"][1, 2, 3, 4] ^= 1
        return found

    monkeypatch.setattr(rtlspeed.GoldenModel, "run", spoiled)
    arguments = [str(folder), "--interval", "1296", "--json", str(folder / "f")]
    assert measure_rtl(arguments) == 1
    assert capsys.readouterr().err == (
        "error: 'c' has 1 wrong codes of 576; run nibbleflow verify --rtl\n"
    )
    assert not (folder / "f").exists()

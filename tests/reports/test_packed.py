# SPDX-License-Identifier: Apache-2.0
"""Benchmark of the packed cores: rows, and the goals of the results."""

import json
from pathlib import Path

import pytest

from reports.bench import packed, packedcores
from reports.bench.__main__ import run_benchmark
from reports.bench.packedcores import CORES, core_row
from reports.bench.packedlayer import part_cells
from reports.bench.record import read_record, write_record
from reports.readme import CHECKOUT

RESULTS = CHECKOUT / "reports" / "results"


def test_row_of_a_core():
    cells = {"LUT2": 10, "LUT5": 5, "INV": 1, "SRL16E": 2, "RAM32M16": 3, "FDRE": 7, "DSP48E2": 4}
    assert core_row("x", 24, cells) == {
        "name": "x", "macs_per_cycle": 24, "lut": 42, "memory_lut": 26, "ff": 7, "dsp": 4,
        "lut_per_mac": 1.75, "mac_per_dsp": 6.0,
    }  # fmt: skip
    assert core_row("x", 24, {"LUT2": 24})["mac_per_dsp"] is None


def test_lists_are_keys_of_the_record(tmp_path, monkeypatch):
    found = {
        "cores": [{"name": "pack6", "lut": 5}, {"name": "plain_lut", "lut": 9}],
        "exact": [{"name": "pack6", "outputs": 100, "mismatches": 0}],
        "fmax": [{"name": "plain", "mhz": 150.0}],
        "layer": [{"part": "whole", "lut": 3}],
        "mix": [{"network": "x", "mac_per_dsp": 4.9}],
    }
    monkeypatch.setattr(packed.Runner, "module", lambda *_: found)
    monkeypatch.setattr(packed.Runner, "nibbleflow", lambda *_: {})
    monkeypatch.setattr(packed, "network_row", lambda name, *_: {"model": name})
    record = run_benchmark(packed.BENCHMARK, tmp_path)
    assert record.figures == (
        {"name": "pack6", "lut": 5, "outputs": 100, "mismatches": 0},
        {"name": "plain_lut", "lut": 9, "outputs": None, "mismatches": None},
    )
    path = write_record(record, tmp_path)
    written = json.loads(path.read_text())
    assert "lists" not in written
    assert {name: written[name] for name in found} == found
    assert written["networks"] == [
        {"model": "demo", "act_bits": 4},
        {"model": "yolov5n-320", "act_bits": 4},
        {"model": "yolov5n-320", "act_bits": 8},
    ]
    assert read_record(path) == record


def test_parts_that_were_measured_are_kept(tmp_path, monkeypatch):
    runs = []

    def module(_, name, *arguments):
        runs.append(name)
        return {key: [] for key in ("cores", "exact", "fmax", "layer", "mix")}

    monkeypatch.setattr(packed.Runner, "module", module)
    monkeypatch.setattr(packed.Runner, "nibbleflow", lambda *_: {})
    monkeypatch.setattr(packed, "network_row", lambda name, *_: {"model": name})
    first = run_benchmark(packed.BENCHMARK, tmp_path)
    assert runs == [f"reports.bench.packed{part}" for part in ("cores", "layer", "mix")]
    assert run_benchmark(packed.BENCHMARK, tmp_path).lists == first.lists
    assert len(runs) == 3
    (tmp_path / "build/bench/packed" / "row-mix.json").unlink()
    run_benchmark(packed.BENCHMARK, tmp_path)
    assert runs[3:] == ["reports.bench.packedmix"]


def test_speed_has_a_median_and_every_seed(tmp_path, monkeypatch):
    rates = iter((170.0, 150.0, 160.0, 190.0, 165.0, 70.0, 72.0, 71.0, 75.0, 60.0))
    monkeypatch.setattr(packedcores, "plain_cells", lambda *_: {"LUT4": 9, "TRELLIS_FF": 5})
    monkeypatch.setattr(packedcores, "place_and_route", lambda *_: next(rates))
    rows = packedcores.speed_rows(tmp_path)
    assert [(row["seed"], row["mhz"]) for row in rows if row["name"] == "plain, pipelined"] == [
        ("median", 165.0), ("1", 170.0), ("2", 150.0), ("3", 160.0), ("4", 190.0), ("5", 165.0),
    ]  # fmt: skip
    assert next(row["mhz"] for row in rows if row["name"] == "plain, one stage") == 71.0


def test_parts_of_a_layer():
    modules = {
        "\\layer": {"num_cells_by_type": {"LUT2": 1}},
        "\\nf_window$layer.u_conv.u_conv.u_window": {"num_cells_by_type": {"LUT3": 2, "FDRE": 5}},
        "\\nf_rom_cycle$layer.u_conv.u_conv.g_packed.u_core.g_memory[0].u_weights": {
            "num_cells_by_type": {"RAMB18E2": 1}
        },
        "\\nf_dsp48e2$layer.u_conv.u_conv.g_packed.u_core.g_pack6.u_core.g_part[0].u_dsp": {
            "num_cells_by_type": {"DSP48E2": 1}
        },
        "\\nf_requant$layer.u_conv.u_conv.u_finish.u_requant": {"num_cells_by_type": {"LUT6": 7}},
        "\\nf_pixel_order$layer.u_conv.u_conv.g_order.u_order": {"num_cells_by_type": {"LUT4": 3}},
    }
    assert part_cells(modules) == {
        "window": {"LUT3": 2, "FDRE": 5},
        "weights": {"RAMB18E2": 1},
        "core": {"DSP48E2": 1},
        "requantizer": {"LUT6": 7},
        "queue and order": {"LUT4": 3},
        "control and streams": {"LUT2": 1},
    }


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
    # One and a half times the plain core without a pipeline that the project began with.
    (rate,) = (
        row["mhz"]
        for row in record.lists["fmax"]
        if (row["name"], row["seed"]) == ("plain, pipelined", "median")
    )
    assert rate >= 154.5
    every = next(row for row in record.lists["mix"] if row["network"] == "every layer W4A4")
    assert every["mac_per_dsp"] >= 4.8
    assert every["lut_per_mac"] <= 3.2
    for row in record.lists["networks"]:
        assert row["mismatches"] == 0
        assert row["interval_planned"] == row["interval_counted"]
        assert row["latency_planned"] == row["latency_counted"]


def test_sources_of_the_harness_are_there():
    names = {path.name for path in (Path(packed.__file__).parent / "rtl").iterdir()}
    assert names == {"nf_mac_onestage.sv", "nf_serial.sv"}

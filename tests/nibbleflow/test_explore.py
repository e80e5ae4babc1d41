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
    kept = {"lut": 1200, "ff": 0, "dsp": 0, "bram18": 42, "uram": 0, "external_kib": 0}
    assert json.loads(told.read_text())["kept_back"] == kept


# A board that holds neither the demo's weights nor enough logic for them.
SMALL_BOARD = """\
name = "small"
part = "xck26"
family = "ultrascale+"
lut = 36_000
ff = 72_000
dsp = 200
bram36 = 24
uram = 0
external_mb_per_s = 19_200
clock_mhz = 200
"""


def test_weights_come_from_outside_where_nothing_else_fits(cli, build, tmp_path):
    board, told = tmp_path / "small.toml", tmp_path / "told.json"
    board.write_text(SMALL_BOARD)
    done = cli("explore", build, "--board", board, "--on-chip")
    assert (done.code, "does not fit on small at any rate" in done.error) == (1, True)
    done = cli("explore", build, "--board", board, "--json", told)
    assert done.code == 0, done.err
    said = "nothing fits with all weights on the chip; some may come from the board's memory"
    assert said in " ".join(done.err.split())
    values = json.loads(told.read_text())
    plan = values["plans"][0]
    assert plan["external_kib"] > 0
    assert plan["bram18"] <= 48
    memory = json.loads((build / "schedule.json").read_text())["memory"]
    names = [name.removesuffix(".weights") for name, s in memory.items() if s == "external"]
    assert names
    assert (
        f"weights of {len(names)} layers come from the memory on the board, whose whole bandwidth "
        f"counts: {', '.join(names)}"
    ) in " ".join(done.out.split())
    # The kept plan is the one that is built.
    done = cli("generate", build, "--rtl", "--json", told)
    assert done.code == 0, done.err
    built = json.loads(told.read_text())["external"]
    assert sorted(row["layer"] for row in built["weights"]) == sorted(names)
    assert built["bytes_per_second"] <= built["board_bytes_per_second"] == 19_200_000_000


def test_a_board_without_memory_brings_no_weights(cli, kept_build, tmp_path):
    board = tmp_path / "bare.toml"
    board.write_text(SMALL_BOARD.replace("19_200", "0"))
    for front in ((), ("--front",)):
        done = cli("explore", kept_build, "--board", board, "--external", *front)
        assert (done.code, done.error) == (
            1,
            "--external takes weights from the memory on the board, and 'small' has none; leave it "
            "out",
        )


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
            ("--fps", 30, "--external"),
            "--external takes weights from the memory on the board, and none is named with "
            "--board; leave it out",
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
    plot = tmp_path / "front" / "front.svg"
    assert values["plot"] == str(plot)
    assert "W3A8 symmetric, SQNR" in plot.read_text()

# SPDX-License-Identifier: Apache-2.0
"""verify and generate: engines that agree, one that does not, and engines that are not here."""

import json
import re

import numpy as np
import pytest

import nibbleflow.verbs.verify as verb
from quant.bundle import load_bundle
from quant.errors import ToolError
from quant.nodes import Input, Output

NODE = "model.9.conv"
ROW_KEYS = {"name", "engine", "values", "mismatches", "distinct", "saturated"}


@pytest.fixture
def no_tools(monkeypatch):
    """A machine without compilers."""

    def refuse(engine):
        raise ToolError(f"verify --{engine} needs g++: install it")

    monkeypatch.setattr(verb, "require_tools", refuse)


@pytest.mark.rtl
@pytest.mark.hls
def test_every_engine(cli, build, tmp_path):
    done = cli("verify", build, "--nodes", NODE, "--full", 0, "--json", tmp_path / "v.json")
    assert done.code == 0, done.out + done.err
    values = json.loads((tmp_path / "v.json").read_text())
    assert values["engines"] == ["golden", "torch", "hls", "rtl"]
    rows = values["nodes"]
    assert [(r["name"], r["engine"]) for r in rows] == [(NODE, e) for e in ("torch", "hls", "rtl")]
    assert values["mismatches"] == values["failures"] == 0
    assert values["values"] == sum(r["values"] for r in rows)
    assert rows[0]["values"] == 2 * 48 * 100  # two whole frames
    assert rows[1]["values"] == 2 * 48 * 30  # two sub-maps of 5x6
    assert rows[2]["values"] == 6 * 48 * 30  # three times, the last ones with stalls
    assert values["cycles"] == rows[2]["cycles"] > 6 * rows[2]["planned_interval"] > 0
    assert rows[2]["counted_interval"] == rows[2]["planned_interval"]
    assert values["seconds"] > 0
    for row in rows:
        assert set(row) >= ROW_KEYS
        assert row["distinct"] > 10
    assert "4/4 engines bit-identical (golden = torch = hls = rtl)" in done.out
    assert json.loads((build / "sim" / "verify.json").read_text()) == values
    assert (build / "verify.run.toml").is_file()
    # What is equal leaves no scratch behind, but the compiled bench for the next run.
    assert sorted(p.name for p in (build / "sim").iterdir()) == ["benches", "verify.json"]


@pytest.mark.usefixtures("no_tools")
def test_absent_engines_are_left_out_unless_named(cli, build, tmp_path):
    done = cli("verify", build, "--json", tmp_path / "v.json")
    assert done.code == 0, done.err
    values = json.loads((tmp_path / "v.json").read_text())
    assert values["engines"] == ["golden", "torch"]
    assert len(values["nodes"]) == 20
    assert "2/2 engines bit-identical (golden = torch)" in done.out
    for engine in ("rtl", "hls"):
        done = cli("verify", build, f"--{engine}")
        assert (done.code, done.error) == (1, f"verify --{engine} needs g++: install it")
    assert cli("verify", build, "--rtl", "--hls").code == 1


@pytest.mark.usefixtures("no_tools")
def test_wrong_engine(cli, build, tmp_path, monkeypatch):
    real = verb.run_lowered

    def faulty(graph, codes):
        tensors = dict(real(graph, codes))
        wrong = tensors[NODE].copy()
        wrong[1, 7, 4, 5] ^= 2
        wrong[1, 3, 4, 6] ^= 1
        return tensors | {NODE: wrong}

    monkeypatch.setattr(verb, "run_lowered", faulty)
    done = cli("verify", build, "--json", tmp_path / "v.json")
    assert done.code == 1
    values = json.loads((tmp_path / "v.json").read_text())
    assert values["mismatches"] == 2
    (bad,) = (r for r in values["nodes"] if r["mismatches"])
    first = bad["first"]
    assert (first["frame"], first["channel"], first["row"], first["column"]) == (1, 7, 4, 5)
    assert first["got"] == first["expected"] ^ 2
    assert f"'{NODE}'[1, 7, 4, 5]: torch {first['got']}, golden {first['expected']}" in done.out
    assert f"replay: nibbleflow verify {build} --nodes {NODE}" in done.out.replace("\n", " ")
    assert "1/2 engines bit-identical (golden)" in done.out


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--full", -1, "--full -1 must not be negative"),
        ("--frames", 1, "--frames 1 must be 2 to 4"),
        ("--frames", 5, "--frames 5 must be 2 to 4"),
    ],
)
def test_bad_options(cli, build, option, value, message):
    done = cli("verify", build, option, value)
    assert (done.code, done.error) == (1, message)


@pytest.mark.usefixtures("no_tools")
def test_frames(cli, build, tmp_path):
    record = tmp_path / "v.json"
    assert cli("verify", build, "--nodes", NODE, "--frames", 3, "--json", record).code == 0
    assert json.loads(record.read_text())["values"] == 3 * 48 * 100
    frames = build / "float" / "frames.npy"
    np.save(frames, np.load(frames)[:1])
    done = cli("verify", build, "--nodes", NODE, "--frames", 3)
    assert (done.code, done.error) == (
        1,
        f"--frames 3: {frames} keeps 1; quantize with more images or ask for fewer",
    )
    assert cli("verify", build, "--nodes", NODE).code == 0


@pytest.mark.hls
def test_generate(cli, build, tmp_path, tree):
    done = cli("generate", build, "--nodes", NODE, "--json", tmp_path / "g.json")
    assert done.code == 0, done.err
    listed = json.loads((tmp_path / "g.json").read_text())["files"]
    found = tree(build)
    assert listed == sorted(n for n in found if n.startswith("rtl/")) + sorted(
        n for n in found if n.startswith("hls/")
    )
    for suffix in (".sv", ".mem", ".cpp", ".h"):
        assert any(name.endswith(suffix) for name in listed), suffix
    done = cli("generate", build, "--nodes", NODE, "--rtl")
    assert done.error == f"{build / 'rtl'} exists already; give --force to replace it"
    assert cli("generate", build, "--nodes", NODE, "--rtl", "--force").code == 0
    again = tree(build)
    for name in ("generate.run.toml",):
        again.pop(name), found.pop(name)
    assert again == found


@pytest.mark.rtl
def test_whole_network_in_rtl(cli, build, tmp_path):
    done = cli("verify", build, "--rtl", "--json", tmp_path / "v.json")
    assert done.code == 0, done.out + done.err
    values = json.loads((tmp_path / "v.json").read_text())
    assert values["engines"] == ["golden", "rtl"]
    assert values["mismatches"] == values["failures"] == 0
    rows = values["nodes"]
    graph = load_bundle(build / "bundle").graph
    assert [r["name"] for r in rows] == [
        n.name for n in graph.nodes if not isinstance(n, Input | Output)
    ]
    # Three frames at full speed and two with pauses.
    assert all(r["values"] == 5 * np.prod(graph.shapes[r["name"]]) for r in rows)
    assert all(set(r) >= ROW_KEYS and r["engine"] == "rtl" for r in rows)
    assert values["values"] == sum(r["values"] for r in rows)
    assert values["interval_counted"] == values["interval_planned"] > 0
    assert values["latency_counted"] == values["latency_planned"] > 0
    assert [run["frames"] for run in values["runs"]] == [3, 2]
    assert values["cycles"] == sum(run["cycles"] for run in values["runs"])
    assert values["macs_per_second"] > 0
    assert min(values["build_seconds"], values["sim_seconds"]) > 0
    assert values["first"] is None
    assert "2/2 engines bit-identical (golden = whole-network rtl)" in done.out
    assert f"planned {values['interval_planned']:,}, counted {values['interval_planned']:,}" in (
        done.out
    )


@pytest.mark.rtl
def test_replay_of_one_frame(cli, build, tmp_path):
    done = cli(
        "verify", build, "--rtl", "--nodes", NODE, "--frame", 1, "--json", tmp_path / "v.json"
    )
    assert done.code == 0, done.out + done.err
    (row,) = json.loads((tmp_path / "v.json").read_text())["nodes"]
    assert (row["name"], row["engine"], row["case"]) == (NODE, "rtl", "cell alone, full size")
    assert row["values"] == 5 * 48 * 100
    assert row["counted_interval"] == row["planned_interval"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--frame", 0),
            "--frame replays nodes in RTL; name them with --nodes, without --hls",
        ),
        (
            ("--frame", 0, "--nodes", NODE, "--hls"),
            "--frame replays nodes in RTL; name them with --nodes, without --hls",
        ),
        (("--frame", 2, "--nodes", NODE), "--frame 2 must be 0 to 1"),
        (
            ("--fps", 30, "--max-macs", 64),
            "--fps and --max-macs are two targets of one plan; give one",
        ),
        (("--clock", -1), "--clock -1 must be positive"),
        (
            ("--nodes", NODE, "--stream-weights", NODE),
            "--stream-weights is for the whole network, or for --frame; leave it or --nodes out",
        ),
    ],
)
def test_bad_plans_and_replays(cli, build, options, message):
    done = cli("verify", build, *options)
    assert (done.code, done.error) == (1, message)


def test_generate_the_whole_network(cli, build, tmp_path, tree):
    record = tmp_path / "g.json"
    done = cli("generate", build, "--rtl", "--max-macs", 64, "--json", record)
    assert done.code == 0, done.err
    found = tree(build)
    assert json.loads(record.read_text())["files"] == sorted(n for n in found if n[:4] == "rtl/")
    listed = found["rtl/files.f"].decode().split()
    assert listed[-1] == "demo_top.sv"
    assert all(f"rtl/{name}" in found for name in listed)
    top = found["rtl/demo_top.sv"].decode()
    assert load_bundle(build / "bundle").graph.digest in top
    assert "module demo_top (" in top
    # Every memory image that the top names is there, and none besides.
    named = set(re.findall(r'"(\w+\.mem)"', top))
    assert named == {n.removeprefix("rtl/") for n in found if re.fullmatch(r"rtl/\w+\.mem", n)}
    assert "| `s_axis_0` |" in found["rtl/README.md"].decode()

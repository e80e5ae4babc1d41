# SPDX-License-Identifier: Apache-2.0
"""check and doctor: facts before any work."""

import json


def test_demo(cli, tmp_path):
    done = cli("check", "demo", "--json", tmp_path / "c.json")
    assert done.code == 0
    values = json.loads((tmp_path / "c.json").read_text())
    assert values["unsupported"] == []
    # The published count is below the 300k that the built-in detector may have.
    assert 200_000 < values["fused_parameters"] < values["parameters"] < 300_000
    assert values["macs"] == 57_177_600  # at 160x160
    assert values["outputs"] == [["model.17.m.0"], ["model.17.m.1"]]
    assert values["operations"]["conv"] == 20
    assert "57,177,600" in done.out
    words = " ".join(done.out.split())
    assert "decoded on the host yolov5, 6 classes, strides 8, 16" in words
    assert "ends at model.17.m.0 33x20x20, because 'model.17.reshape' reshapes" in words
    assert "UNSUPPORTED" not in done.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.json"]


def test_image_size(cli, tmp_path):
    done = cli("check", "demo", "--img", "80x320", "--json", tmp_path / "c.json")
    assert done.code == 0
    values = json.loads((tmp_path / "c.json").read_text())
    assert values["macs"] == 57_177_600  # as many pixels as 160x160
    assert values["shapes"]["images"] == [3, 80, 320]


def test_outputs_that_the_decoder_cannot_use(cli, tmp_path):
    done = cli("check", "demo", "--outputs", "model.9", "--json", tmp_path / "c.json")
    assert done.code == 1
    entry = json.loads((tmp_path / "c.json").read_text())["unsupported"][0]
    assert {"name", "kind", "reason", "way_out", "message"} <= set(entry)
    assert "model.9" in done.out
    assert entry["name"] in done.out


def test_doctor(cli, tmp_path):
    done = cli("doctor", "--json", tmp_path / "d.json")
    assert done.code == 0
    tools = {t["name"]: t for t in json.loads((tmp_path / "d.json").read_text())["tools"]}
    assert {"g++", "make", "verilator", "cocotb", "hls4ml", "torch"} <= set(tools)
    for tool in tools.values():
        assert tool["needed_for"]
        assert tool["found"] or tool["way_out"]
        assert tool["name"] in done.out
    assert tools["torch"]["found"]

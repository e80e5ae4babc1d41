# SPDX-License-Identifier: Apache-2.0
"""generate: what lies beside the RTL, and its host program against ``detect``."""

import importlib.util
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from quant.bundle import load_bundle
from sim.golden import GoldenModel
from sim.stream import pack_beats, unpack_beats


class PlayingBoard:
    """A stand-in for PYNQ whose network is the golden model: it answers the image it was sent."""

    def __init__(self, graph, design) -> None:
        self.model, self.design, self.outputs = GoldenModel(graph), design, {}

    def Overlay(self, bitfile_name):
        engines = {f"dma_{self.design.input.name}": SimpleNamespace(sendchannel=self._sender())}
        for stream in self.design.outputs:
            engines[f"dma_{stream.name}"] = SimpleNamespace(recvchannel=self._receiver(stream))
        return SimpleNamespace(**engines)

    def allocate(self, shape, dtype):
        return np.full(shape, 0xA5, dtype)

    def _sender(self):
        s = self.design.input

        def transfer(buffer):
            codes = unpack_beats(buffer[:, : s.beat_bytes].copy(), s.shape, s.bits, s.lanes)
            names = [stream.tensor for stream in self.design.outputs]
            self.outputs = self.model.run(codes[None].astype(np.uint8), keep=names).tensors

        return SimpleNamespace(transfer=transfer, wait=lambda: None)

    def _receiver(self, s):
        held = []

        def wait():
            beats = pack_beats(self.outputs[s.tensor][0], s.bits, s.lanes)
            held.pop()[:, : s.beat_bytes] = beats

        return SimpleNamespace(transfer=held.append, wait=wait)


@pytest.fixture(scope="module")
def generated(cli, kept_build, tmp_path_factory):
    """A build with the RTL of the demo, planned for a board."""
    build = tmp_path_factory.mktemp("generated") / "demo"
    shutil.copytree(kept_build, build)
    done = cli("generate", build, "--rtl", "--board", "zcu104")
    assert done.code == 0, done.err
    return build


def test_files_for_vivado(generated):
    names = {p.name for p in (generated / "rtl" / "vivado").iterdir()}
    assert names >= {
        "synth_ooc.tcl",
        "package_ip.tcl",
        "block_design.tcl",
        "clock.xdc",
        "Makefile",
        "pynq_driver.py",
        "README.md",
    }
    # What the scripts read is there.
    text = (generated / "rtl" / "vivado" / "design.tcl").read_text()
    lists = [part.split("\n}")[0] for part in text.split("foreach name {\n")[1:]]
    for name in "\n".join(lists).split():
        assert (generated / "rtl" / name).is_file(), name
    assert ".mem" in lists[1]


def test_driver_finds_what_detect_finds(generated, picture, cli, tmp_path, monkeypatch):
    path = generated / "rtl" / "vivado" / "pynq_driver.py"
    spec = importlib.util.spec_from_file_location("pynq_driver", path)
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    graph = load_bundle(generated / "bundle").graph
    monkeypatch.setitem(sys.modules, "pynq", PlayingBoard(graph, driver.DESIGN))
    bitstream = tmp_path / "x.bit"
    bitstream.write_bytes(b"")
    found = driver.main([str(picture), "--bitstream", str(bitstream)])
    assert len(found) > 0
    done = cli("detect", generated, picture, "--json", tmp_path / "d.json")
    assert done.code == 0, done.err
    rows = json.loads((tmp_path / "d.json").read_text())["detections"]["integer"]
    assert [row["box"] for row in rows] == found.boxes.tolist()
    assert [row["score"] for row in rows] == found.scores.tolist()
    names = driver.open_accelerator(
        driver.DESIGN, bitstream, generated / "bundle", load=tmp_path / "none"
    ).host.class_names
    assert [row["class"] for row in rows] == [names[c] for c in found.classes]


def test_weights_from_outside(build, cli, tmp_path):
    """A file per stream, its length and rate; what cannot be built says so."""
    graph = load_bundle(build / "bundle").graph
    first, second = (conv.name for conv in graph.convs[3:5])
    record = tmp_path / "g.json"
    given = ("--stream-weights", f"{first},{second}", "--board", "kv260", "--json", record)
    done = cli("generate", build, *given)
    assert done.code == 0, done.err
    assert f"HLS C++ keeps on the chip: weights of {first}, {second}" in done.out
    found = json.loads(record.read_text())["external"]
    assert [row["layer"] for row in found["weights"]] == [first, second]
    plan = json.loads((build / "schedule.json").read_text())
    assert plan["memory"][f"{second}.weights"] == "external"
    interval = json.loads((build / "fifos.json").read_text())["cycles"]["interval_cycles"]
    total = found["picture_bytes_per_frame"]
    readme = (build / "rtl" / "README.md").read_text()
    for k, row in enumerate(found["weights"]):
        words = (build / "rtl" / f"weights_{k}.bin").read_bytes()
        assert len(words) == row["bytes_in_memory"] > 0
        assert row["bytes_per_frame"] == len(words) * row["repeats"]
        rate = -(-row["bytes_per_frame"] * plan["clock_hz"] // interval)
        assert (row["bytes_per_second"], row["bytes_on_chip"]) == (rate, 0)
        assert f"| {len(words):,} | {row['repeats']:,} | {rate:,} |" in readme
        total += row["bytes_per_frame"]
    assert found["bytes_per_second"] == -(-total * plan["clock_hz"] // interval)
    assert found["board_bytes_per_second"] == 19_200_000_000
    assert not (build / "rtl" / "vivado" / "block_design.tcl").exists()
    said = (build / "hls" / "README.md").read_text().replace("\n", " ")
    assert f"brings the weights of `{first}`, `{second}` from outside" in said
    # The plan is kept, so the report shows it without being asked.
    done = cli("report", build, "--json", record)
    assert done.code == 0, done.err
    assert json.loads(record.read_text())["external"] == found
    page = (build / "report" / "index.html").read_text()
    assert 'id="traffic-table"' in page
    assert "of the 19,200 MB/s of kv260." in page


def test_weights_from_outside_are_for_whole_networks(build, cli):
    name = load_bundle(build / "bundle").graph.convs[0].name
    done = cli("generate", build, "--nodes", name, "--stream-weights", name)
    assert (done.code, done.error) == (
        1,
        "--stream-weights is for the whole network, whose top has the streams; leave it or "
        "--nodes out",
    )

# SPDX-License-Identifier: Apache-2.0
"""Models that are no detector file: a user's own torch code, classifiers, random calibration."""

import importlib
import json
import sys

import cv2
import numpy as np
import pytest

from quant.bundle import load_bundle

# Tells which of red, green and blue an image has most of.
CODE = """
import torch
from torch import nn

class Colour(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.act = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, 3)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.head.weight.zero_()
            self.head.bias.zero_()
            for i in range(3):
                self.conv.weight[i, i] = 1.0 / 9
                self.conv.weight[3 + i, i] = -1.0 / 9
                self.head.weight[i, i], self.head.weight[i, 3 + i] = 1.0, -1.0

    def forward(self, x):
        return self.head(self.pool(self.act(self.conv(x))).flatten(1))

def colour():
    return Colour()

class Gated(Colour):
    def forward(self, x):
        y = self.act(self.conv(x))
        return self.head(self.pool(y * self.pool(y).sigmoid()).flatten(1))

def gated():
    return Gated()

def number():
    return 3

def broken():
    raise RuntimeError("no weights here")
"""
SHADES = ((200, 40, 60), (50, 180, 90), (20, 90, 220))  # red, green, blue


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A folder with the module, images and their labels."""
    folder = tmp_path_factory.mktemp("colours")
    (folder / "nf_colour_net.py").write_text(CODE)
    images, labels = folder / "images", {}
    images.mkdir()
    rng = np.random.default_rng(1)
    for index in range(6):
        shade = np.array(SHADES[index % 3])[::-1]  # files are written blue first
        pixels = np.clip(shade + rng.normal(0, 25, (40, 40, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(images / f"{index}.png"), pixels)
        labels[f"{index}.png"] = index % 3
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


@pytest.fixture
def here(colours, monkeypatch):
    """Work in that folder; what the user's module is stays unknown afterwards."""
    monkeypatch.chdir(colours)
    importlib.invalidate_caches()
    yield colours
    sys.modules.pop("nf_colour_net", None)


QUANTIZE = ("--img", 32, "--decode", "classify", "--calib", "images")


def test_classifier_the_whole_way(cli, here, tmp_path):
    build, record = tmp_path / "b", tmp_path / "r.json"
    done = cli("check", "nf_colour_net:colour", "--img", 32, "--decode", "classify")
    assert done.code == 0, done.out
    done = cli("quantize", "nf_colour_net:colour", *QUANTIZE, "-o", build)
    assert done.code == 0, done.err
    assert load_bundle(build / "bundle").host.decode == "classify"

    labelled = ("--images", "images", "--labels", "labels.json")
    done = cli("evaluate", build, *labelled, "--json", record)
    assert done.code == 0, done.err
    values = json.loads(record.read_text())
    assert values["images"] == 6
    for engine in ("float", "fake_quant", "integer"):
        assert values[engine]["top1"] == 100.0

    done = cli("detect", build, "images/1.png", "--json", record)
    assert done.code == 0
    found = json.loads(record.read_text())
    assert found["picture"] is None
    assert [found["detections"][e][0]["class"] for e in ("float", "integer")] == ["1", "1"]
    done = cli("detect", build, "images/1.png", "-o", tmp_path / "x.png")
    assert done.error == f"{build} is a classifier: nothing is drawn; leave -o out"

    # Pool and linear layer have golden vectors too.
    done = cli("vectors", build, "--nodes", "all", "--json", record)
    assert done.code == 0, done.err
    rows = json.loads(record.read_text())["nodes"]
    assert [r["kind"] for r in rows] == ["conv", "avgpool", "linear"]
    assert all("accumulator" in r for r in rows)
    assert cli("compare", build, build / "vectors").code == 0


GATE = (
    "'mul' multiplies two computed tensors (a gate, as in squeeze-and-excitation); the integer "
    "graph has no such operation; quantize a model without it, or end the graph before it with "
    "--outputs; 'nibbleflow evaluate MODEL' measures it in float"
)


def test_network_that_runs_in_float_only(cli, here, tmp_path):
    name, options = "nf_colour_net:gated", ("--img", 32, "--decode", "classify")
    done = cli("check", name, *options, "--json", tmp_path / "c.json")
    assert done.code == 1
    values = json.loads((tmp_path / "c.json").read_text())
    assert [u["message"] for u in values["unsupported"]] == [GATE]
    assert values["region"] == "float network"
    assert values["operations"] == {
        "avg_pool": 2, "conv": 1, "linear": 1, "multiply": 1, "relu": 1, "sigmoid": 1,
    }  # fmt: skip
    assert values["macs"] == 6 * 27 * 16 * 16 + 18
    assert values["shapes"]["mul"] == [6, 16, 16]
    done = cli("quantize", name, *options, "--calib", "images", "-o", tmp_path / "b")
    assert (done.code, done.error) == (1, GATE)

    labelled = ("--images", "images", "--labels", "labels.json")
    done = cli("evaluate", name, *options, *labelled, "--json", tmp_path / "e.json")
    assert done.code == 0, done.err
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["float"]["top1"] == 100.0
    assert values["integer"] is None
    assert values["absent"]["integer"] == f"cannot be made of {name}: {GATE}"


def test_classifier_refusals(cli, here, tmp_path):
    build = tmp_path / "b"
    assert cli("quantize", "nf_colour_net:colour", *QUANTIZE, "-o", build).code == 0
    message = "evaluating a classifier needs --images and --labels, no --data"
    for options in ((), ("--images", "images"), ("--data", "x.json", "--images", "images")):
        done = cli("evaluate", build, *options)
        assert (done.code, done.error) == (1, message)
    done = cli("evaluate", build, "--images", "images", "--labels", "lost.json")
    assert done.error == "labels lost.json do not exist; give a JSON file"
    done = cli("evaluate", build, "--arch", "yolov5n")
    assert done.error == f"--arch belongs to a model, and {build} is a build; leave it out"


def test_raw_outputs_have_no_accuracy(cli, here, tmp_path):
    build = tmp_path / "b"
    done = cli(*("quantize", "nf_colour_net:colour", "--img", 32, "--calib", "images", "-o", build))
    assert done.code == 0, done.err
    done = cli("evaluate", build)
    assert (done.code, done.error) == (
        1,
        "nf_colour_net:colour decodes 'none': raw outputs have no accuracy; give it a --decode",
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "nf_colour_net:colour",
            (),
            "'nf_colour_net:colour' returned a bare torch module, whose input size is not known; "
            "give --img",
        ),
        (
            "nf_colour_net:colours",
            ("--img", 32),
            "'nf_colour_net:colours': 'nf_colour_net' has no 'colours'; name a callable that it "
            "defines",
        ),
        (
            "nf_colour_net:number",
            ("--img", 32),
            "'nf_colour_net:number' returned int; return a torch.nn.Module, or a "
            "quant.zoo.loaded.LoadedModel with its HostSpec",
        ),
    ],
)
def test_own_code_refused(cli, here, tmp_path, name, options, message):
    done = cli("quantize", name, *options, "--calib", "images", "-o", tmp_path / "b")
    assert (done.code, done.error) == (1, message)
    assert list(tmp_path.iterdir()) == []


def test_own_code_that_fails(cli, here, tmp_path):
    for name, word in (
        ("nf_colour_net:broken", "no weights here"),
        ("nf_lost_net:net", "nf_lost_net"),
    ):
        done = cli("quantize", name, "--img", 32, "--calib", "images", "-o", tmp_path / "b")
        assert done.code == 1
        assert word in done.error
    assert list(tmp_path.iterdir()) == []


def test_float_model_is_evaluated_without_a_build(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli("evaluate", "demo", "--limit", 4, "--json", "e.json")
    assert done.code == 0, done.err
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["images"] == 4
    assert values["float"]["map50"] > 85.0
    assert values["integer"] is values["fake_quant"] is None
    why = "needs a build, and demo is a float model: quantize it first"
    assert values["absent"] == {"fake_quant": why, "integer": why}
    assert f"fake_quant, integer: {why}" in done.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.json"]
    done = cli("evaluate", "demo", "--engines", "integer")
    assert done.error == (
        "engine 'integer' needs a build, and demo is a float model: quantize it first; choose float"
    )


def test_random_calibration(cli, tmp_path, tree):
    for name in ("a", "b"):
        done = cli("quantize", "demo", "--calib", "random:3", "-o", tmp_path / name)
        assert done.code == 0, done.err
        assert "3/3" in done.err
    first, second = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert first.pop("quantize.run.toml") != second.pop("quantize.run.toml")  # the output's name
    assert first == second
    done = cli("repeat", tmp_path / "a" / "quantize.run.toml", "--force")
    assert done.code == 0, done.err
    again = tree(tmp_path / "a")
    again.pop("quantize.run.toml")
    assert again == first


@pytest.mark.parametrize("text", ["random:", "random:0", "random:x", "random:-1"])
def test_random_count(cli, tmp_path, text):
    done = cli("quantize", "demo", "--calib", text, "-o", tmp_path / "b")
    assert (done.code, done.error) == (1, f"--calib {text} is not random:N with N at least 1")


def test_random_stands_alone(cli, images, tmp_path):
    done = cli("quantize", "demo", "--calib", images, "--calib", "random", "-o", tmp_path / "b")
    assert (done.code, done.error) == (
        1,
        "--calib random stands alone, not beside 1 other; choose random images or folders",
    )
    assert [p.name for p in tmp_path.iterdir()] == ["images"]

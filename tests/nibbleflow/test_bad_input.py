# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear line, exit code 1, and nothing left behind."""

import importlib
import json
import shutil
import sys
from importlib.resources import files

import pytest

from quant.bundle.text import CHECKSUM_KEY, checksum_of, render

BITS = [
    ("--weight-bits", 1, "--weight-bits: 1 is out of range; choose 2 to 8"),
    ("--weight-bits", 9, "--weight-bits: 9 is out of range; choose 2 to 8"),
    ("--act-bits", 3, "--act-bits: 3 is out of range; choose 4 to 8"),
    ("--act-bits", 9, "--act-bits: 9 is out of range; choose 4 to 8"),
    ("--edge-bits", 0, "--edge-bits: 0 is out of range; choose 2 to 8"),
    ("--stem-act-bits", 16, "--stem-act-bits: 16 is out of range; choose 4 to 8"),
    ("--output-bits", 17, "--output-bits: 17 is out of range; 8 to 16"),
    ("--percentile", 50, "--percentile: 50.0 must be in (50, 100]"),
    (
        "--scheme",
        "pwl",
        "--scheme 'pwl' is not available; choose affine, symmetric, pwlq, pwlq-code, pwlq-overlap, "
        "pwlq16, e2m1, e2m1-spare, codebook",
    ),
    (
        *("--granularity", "row"),
        "--granularity 'row' is not available; choose layer, filter, channel, f-shape, c-shape, "
        "mixture, mixture-bits, mixture-hardware",
    ),
    (
        "--observer",
        "max",
        "--observer 'max' is not available; choose auto, minmax, percentile, mse",
    ),
    ("--weight-clip", "no", "--weight-clip 'no' is not available; choose auto, minmax, mse"),
    ("--layer", "head", "--layer 'head' is not of the form NAME=8, NAME=w8, NAME=a8 or NAME=w8a8"),
    (
        *("--layer", "head=w9"),
        "weight bits of --layer 'head': 9 is out of range; choose 2 to 8",
    ),
    (
        *("--layer", "neck=8"),
        "--layer 'neck' matches no layer; near: model.0.conv, model.1.conv, model.2.cv1.conv, "
        "model.2.cv2.rbr_dense.0, model.2.add",
    ),
    ("--img", "10x", "--img '10x' is not a size; write 640 or 384x640"),
    ("--img", "0", "--img '0' is not a size; write 640 or 384x640"),
    ("--img", "1x2x3", "--img '1x2x3' is not a size; write 640 or 384x640"),
    (
        *("--img", "100"),
        "image size 100x100 is not a positive multiple of the largest stride 16; 96 would be",
    ),
    ("--limit", 0, "--limit 0 must be at least 1"),
    (
        *("--arch", "yolov5n"),
        "demo is a network of its own and takes no --arch ('yolov5n'); leave it out",
    ),
]


@pytest.fixture
def empty(tmp_path):
    """A folder that must stay empty."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def demo_files(folder, name="model"):
    """Copy the built-in detector; return its weights and its JSON."""
    home = files("quant.zoo")
    for suffix in (".safetensors", ".json"):
        shutil.copyfile(str(home / f"demo{suffix}"), folder / f"{name}{suffix}")
    return folder / f"{name}.safetensors", folder / f"{name}.json"


@pytest.mark.parametrize(("option", "value", "message"), BITS)
def test_options_out_of_range(cli, empty, option, value, message):
    done = cli("quantize", "demo", "-o", empty / "b", "--limit", 2, option, value)
    assert done.code == 1
    assert done.error == message
    assert list(empty.iterdir()) == []


def test_options_that_are_no_numbers(cli, empty):
    done = cli("quantize", "demo", "-o", empty / "b", "--weight-bits", "four")
    assert done.code == 2
    assert "Invalid value for '--weight-bits'" in done.err
    assert list(empty.iterdir()) == []


def test_missing_model(cli, empty, images):
    lost = empty / "no.safetensors"
    done = cli("quantize", lost, "-o", empty / "b", "--calib", images)
    assert done.code == 1
    assert done.error == f"weights file '{lost}' does not exist; give a .safetensors file"
    done = cli("quantize", "yolov9", "-o", empty / "b", "--calib", images)
    assert done.code == 1
    assert done.error.startswith("model 'yolov9' is not known; accepted: demo, a .safetensors file")
    assert list(empty.iterdir()) == []


def test_missing_description(cli, empty, images, tmp_path):
    weights, description = demo_files(tmp_path)
    description.unlink()
    done = cli("quantize", weights, "-o", empty / "b", "--calib", images)
    assert done.code == 1
    assert done.error == (
        f"description '{description}' does not exist; put the model's JSON there or name its "
        "architecture with --arch; known: yolov5n, yolov5s, yolov5m, yolov5l, yolov5x, yolov7, "
        "yolov7-deploy, yolov7-tiny, yolov7-tiny-deploy, mobileone-s0, mobileone-s0-train, "
        "repvgg-a0, repvgg-a0-train, yolox-nano"
    )
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("size", [0, 7, 5000, 500_000])
def test_truncated_weights(cli, empty, images, tmp_path, size):
    weights, _ = demo_files(tmp_path)
    weights.write_bytes(weights.read_bytes()[:size])
    done = cli("quantize", weights, "-o", empty / "b", "--calib", images)
    assert done.code == 1
    begin = f"weights file '{weights}' ({size} bytes) is truncated or no safetensors file: "
    assert done.error.startswith(begin)
    assert done.error.endswith("; copy it again")
    assert list(empty.iterdir()) == []


def test_missing_calibration(cli, empty, tmp_path):
    weights, _ = demo_files(tmp_path)
    hollow = tmp_path / "hollow"
    hollow.mkdir()
    lost = tmp_path / "lost"
    for extra, message in (
        (
            (),
            f"quantizing {weights} needs calibration images; name a folder with --calib, or write "
            "--calib random to do without",
        ),
        (
            ("--calib", lost),
            f"image folder {lost} is not a folder; give an existing one",
        ),
        (
            ("--calib", hollow),
            f"image folder {hollow} holds no image; put .jpg, .jpeg, .png files in it",
        ),
    ):
        done = cli("quantize", weights, "-o", empty / "b", *extra)
        assert (done.code, done.error) == (1, message)
    assert list(empty.iterdir()) == []


def test_broken_jpeg_among_the_images(cli, empty, images):
    broken = images / "1.jpg"
    broken.write_bytes(broken.read_bytes()[:-300])
    size = broken.stat().st_size
    done = cli("quantize", "demo", "-o", empty / "b", "--calib", images)
    assert done.code == 1
    assert done.error == f"image {broken} is truncated or damaged after {size} bytes; replace it"
    assert list(empty.iterdir()) == []


def test_failure_keeps_the_build_that_was_there(cli, build, images, tree):
    (images / "2.jpg").write_bytes(b"GIF89a")
    before = tree(build)
    done = cli("quantize", "demo", "-o", build, "--force", "--calib", images)
    assert done.code == 1
    assert done.error == (
        f"image {images / '2.jpg'} is neither JPEG nor PNG; convert it to one of them"
    )
    assert tree(build) == before
    assert sorted(p.name for p in build.parent.iterdir()) == ["build", "images"]


def test_existing_build(cli, build, tree):
    before = tree(build)
    done = cli("quantize", "demo", "-o", build, "--limit", 2)
    assert done.code == 1
    assert done.error == f"{build} exists already; give --force to replace it"
    assert tree(build) == before


def test_output_that_cannot_be_made(cli, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = cli("quantize", "demo", "-o", tmp_path / "file" / "b", "--limit", 2)
    assert done.error == (
        f"cannot make {tmp_path / 'file' / 'b'} ({tmp_path / 'file'}: File exists)"
    )
    done = cli("quantize", "demo", "-o", tmp_path / "file", "--limit", 2, "--force")
    assert done.error == f"{tmp_path / 'file'} is a file; name a folder"
    assert (tmp_path / "file").read_text() == "mine"


SOFTMAX_CODE = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Softmax(1), nn.Conv2d(8, 4, 1))
"""
SOFTMAX = (
    "'1' is Softmax; nibbleflow builds conv, pool, add, concat, split, upsample, lookup; "
    "end the graph before it with --outputs"
)


@pytest.fixture
def softmax_net(tmp_path, monkeypatch):
    """Name of a user's own network with a Softmax inside."""
    (tmp_path / "nf_softmax_net.py").write_text(SOFTMAX_CODE)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield "nf_softmax_net:net"
    sys.modules.pop("nf_softmax_net", None)


def test_unsupported_operation(cli, empty, images, softmax_net):
    given = ("quantize", softmax_net, "--img", 16, "-o", empty / "b", "--calib", images)
    done = cli(*given)
    assert (done.code, done.error) == (1, SOFTMAX)
    assert list(empty.iterdir()) == []
    # The way out that the message names works.
    done = cli(*given, "--outputs", "0")
    assert done.code == 0, done.err


def test_check_lists_the_unsupported_operation(cli, tmp_path, softmax_net):
    done = cli("check", softmax_net, "--img", 16, "--json", tmp_path / "c.json")
    assert done.code == 1
    found = json.loads((tmp_path / "c.json").read_text())["unsupported"]
    assert [entry["message"] for entry in found] == [SOFTMAX]
    assert "UNSUPPORTED" in done.out
    assert "Softmax" in done.out


def test_unknown_module_in_the_description(cli, empty, images, tmp_path):
    weights, description = demo_files(tmp_path)
    value = json.loads(description.read_text())
    value["yaml"]["backbone"][4] = [-1, 1, "nn.Softmax", [1]]
    description.write_text(json.dumps(value))
    for arguments in (
        ("check", weights),
        ("quantize", weights, "-o", empty / "b", "--calib", images),
    ):
        done = cli(*arguments)
        assert done.code == 1
        assert "'nn.Softmax'" in done.error
        assert "; known: Conv, RepConv, RepBottleneck, C3, SPP, SPPF, " in done.error
    assert list(empty.iterdir()) == []


def test_unknown_output(cli, empty):
    done = cli("quantize", "demo", "-o", empty / "b", "--limit", 2, "--outputs", "model.99")
    assert done.code == 1
    assert "model.99" in done.error
    assert list(empty.iterdir()) == []


AGAIN = "restore the file or quantize the model again"
READERS = ("report", "evaluate", "vectors", "generate", "verify")


def edit(build, change):
    file = build / "bundle" / "graph.json"
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


@pytest.mark.parametrize("verb", READERS)
def test_edited_bundle(cli, build, verb):
    edit(build, lambda v: v["host"].update(pad_value=0))
    done = cli(verb, build)
    assert done.code == 1
    assert done.error == (
        f"'{build / 'bundle' / 'graph.json'}' was edited after it was written (its checksum "
        f"differs); {AGAIN}"
    )
    assert sorted(p.name for p in build.iterdir()) == ["bundle", "float", "quantize.run.toml"]


def test_edited_bundle_with_a_new_checksum(cli, build):
    file = build / "bundle" / "graph.json"
    value = json.loads(file.read_text())
    conv = next(n for n in value["graph"]["nodes"] if n["kind"] == "Conv")
    conv["stride"] = [1, 1]
    value[CHECKSUM_KEY] = checksum_of(value)
    file.write_text(render(value))
    done = cli("report", build)
    assert done.code == 1
    assert done.error.startswith(f"'{file}': ")
    assert done.error.endswith(AGAIN)


def test_flipped_bit_in_the_tensors(cli, build):
    file = build / "bundle" / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    data[-1000] ^= 4
    file.write_bytes(data)
    done = cli("report", build)
    assert done.code == 1
    assert done.error.startswith(f"'{file}': tensor 'model.")
    assert done.error.endswith(f"was changed after it was written (its sha256 differs); {AGAIN}")


def test_truncated_tensors(cli, build):
    file = build / "bundle" / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    done = cli("report", build)
    assert (done.code, done.error) == (
        1,
        f"'{file}' is no complete safetensors file (5,000 bytes); {AGAIN}",
    )


def test_newer_bundle(cli, build):
    edit(build, lambda v: v.update(version=3))
    done = cli("report", build)
    assert (done.code, done.error) == (
        1,
        f"'{build / 'bundle' / 'graph.json'}' has bundle version 3; this program reads 2; "
        "update nibbleflow",
    )


def test_foreign_bundle(cli, build):
    (build / "bundle" / "graph.json").write_text('{"nodes": []}')
    done = cli("report", build)
    assert (done.code, done.error) == (
        1,
        f"'{build / 'bundle' / 'graph.json'}' is JSON but no nibbleflow-bundle; name the bundle "
        "folder of a build",
    )


@pytest.mark.parametrize("verb", READERS)
def test_no_build(cli, tmp_path, verb):
    done = cli(verb, tmp_path / "nothing")
    assert (done.code, done.error) == (
        1,
        f"{tmp_path / 'nothing'} is not a build folder (no bundle/ inside); make one with "
        "'nibbleflow quantize MODEL --calib DIR -o BUILD'",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["vectors", "generate", "verify"])
def test_unknown_node(cli, build, tree, verb):
    before = tree(build)
    done = cli(verb, build, "--nodes", "model.9.conv,model.99")
    assert done.code == 1
    assert done.error == (
        "no node is called 'model.99'; there are: images, model.0.conv, model.1.conv, "
        "model.2.cv1.conv, model.2.cv2.rbr_dense.0, model.2.add"
    )
    done = cli(verb, build, "--nodes", " , ")
    assert done.error == "--nodes is empty; write all-convs, all, or NAME,…"
    assert tree(build) == before


@pytest.mark.parametrize("verb", ["generate", "verify"])
def test_node_without_a_hardware_cell(cli, build, tree, verb):
    before = tree(build)
    done = cli(verb, build, "--nodes", "model.8.m")
    assert (done.code, done.error) == (
        1,
        "'model.8.m' is a node of kind maxpool; hardware cells exist for convolutions so far: "
        "use all-convs",
    )
    assert tree(build) == before


def test_json_that_cannot_be_written(cli, build, tmp_path):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "v.json"
    done = cli("vectors", build, "--nodes", "model.9.conv", "--json", place)
    assert (done.code, done.error) == (
        1,
        f"cannot write {place} ({tmp_path / 'file'}: File exists)",
    )

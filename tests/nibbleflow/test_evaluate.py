# SPDX-License-Identifier: Apache-2.0
"""evaluate and detect: accuracy and boxes of the engines, same preprocessing and decoding."""

import json

import cv2
import numpy as np
import pytest

from quant.zoo.shapes import write_shapes

KEYS = ("map", "map50", "precision", "recall")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A labelled data set in COCO's layout."""
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder, 4, 123, (160, 160))
    return folder


def test_demo_needs_no_data(cli, kept_build, tmp_path, tree):
    done = cli("evaluate", kept_build, "--limit", 6, "--json", tmp_path / "e.json")
    assert done.code == 0
    (kept_build / "evaluate.run.toml").unlink()  # the build stays as it was
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["images"] == 6
    for engine in ("float", "fake_quant", "integer"):
        assert all(0.0 <= values[engine][key] <= 100.0 for key in KEYS)
        # Trained weights: garbage in any step would fall far below.
        assert values[engine]["map50"] > 85.0
    assert abs(values["fake_quant"]["map50"] - values["integer"]["map50"]) < 5.0


def test_own_data_and_chosen_engines(cli, build, shapes, tmp_path):
    done = cli(
        *("evaluate", build, "--data", shapes / "instances.json", "--images", shapes),
        *("--engines", "integer", "--json", tmp_path / "e.json"),
    )
    assert done.code == 0
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["images"] == 4
    assert values["float"] is values["fake_quant"] is None
    assert values["integer"]["map50"] > 80.0
    assert (build / "evaluate.run.toml").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "x.json"), "evaluate needs both --data and --images, or neither for the demo"),
        (("--images", "x"), "evaluate needs both --data and --images, or neither for the demo"),
        (("--limit", 0), "--limit 0 must be at least 1"),
        (
            ("--engines", "float,int"),
            "engine 'int' is unknown; choose float, fake_quant, integer",
        ),
    ],
)
def test_bad_options(cli, build, options, message):
    done = cli("evaluate", build, *options)
    assert (done.code, done.error) == (1, message)


def test_missing_data(cli, build, tmp_path, shapes):
    lost = tmp_path / "lost.json"
    done = cli("evaluate", build, "--data", lost, "--images", shapes)
    assert done.code == 1
    assert str(lost) in done.error
    instances = json.loads((shapes / "instances.json").read_text())
    missing = shapes / instances["images"][2]["file_name"]
    kept = missing.read_bytes()
    missing.unlink()
    done = cli("evaluate", build, "--data", shapes / "instances.json", "--images", shapes)
    missing.write_bytes(kept)
    assert done.code == 1
    assert missing.name in done.error


def test_detect(cli, build, picture, tmp_path):
    done = cli("detect", build, picture, "--json", tmp_path / "d.json")
    assert done.code == 0
    values = json.loads((tmp_path / "d.json").read_text())
    found = values["detections"]
    assert list(found) == ["float", "integer"]
    for boxes in found.values():
        assert boxes
        for entry in boxes:
            assert set(entry) == {"class", "score", "box"}
            assert 0.25 <= entry["score"] <= 1.0
            x1, y1, x2, y2 = entry["box"]
            assert 0 <= x1 < x2 <= 320
            assert 0 <= y1 < y2 <= 240
    drawn = cv2.imread(values["picture"])
    assert values["picture"] == str(build / "report" / "detect.png")
    height, width, _ = drawn.shape
    assert width >= 2 * 320
    assert height >= 240
    # Both halves show the picture with something drawn over it.
    assert len(np.unique(drawn[:, : width // 2])) > 10
    assert len(np.unique(drawn[:, width // 2 :])) > 10


def test_detect_elsewhere_and_with_a_threshold(cli, build, picture, tmp_path):
    target = tmp_path / "pictures" / "mine.png"
    done = cli(
        *("detect", build, picture, "-o", target, "--confidence", 0.999),
        *("--json", tmp_path / "d.json"),
    )
    assert done.code == 0
    assert cv2.imread(str(target)) is not None
    found = json.loads((tmp_path / "d.json").read_text())["detections"]
    assert all(e["score"] >= 0.999 for rows in found.values() for e in rows)
    assert not (build / "report").exists()


def test_detect_refuses(cli, build, picture, tmp_path):
    cut = tmp_path / "cut.png"
    cut.write_bytes(picture.read_bytes()[:500])
    file = tmp_path / "file"
    file.write_text("")
    for arguments, message in (
        ((cut,), f"image {cut} is truncated or damaged after 500 bytes; replace it"),
        ((picture, "--confidence", 1.5), "--confidence 1.5 must be in [0, 1]"),
    ):
        done = cli("detect", build, *arguments)
        assert (done.code, done.error) == (1, message)
    done = cli("detect", build, picture, "-o", file / "x.png")
    assert done.code == 1
    assert str(file) in done.error
    assert not (build / "report").exists()

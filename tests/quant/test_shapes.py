# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest

from quant.errors import InputFileError, QuantizationError
from quant.zoo.shapes import (
    CALIBRATION_SEED,
    CLASS_NAMES,
    HELD_OUT_COUNT,
    HELD_OUT_SEED,
    MAX_OBJECTS,
    TRAIN_SEED,
    shapes_sample,
    write_shapes,
)


def test_same_seed_and_index_give_the_same_sample():
    for index in (0, 7):
        first = shapes_sample(HELD_OUT_SEED, index)
        second = shapes_sample(HELD_OUT_SEED, index)
        for a, b in zip(first, second, strict=True):
            assert np.array_equal(a, b)


def test_streams_and_indices_differ():
    images = [
        shapes_sample(seed, index)[0].tobytes()
        for seed in (TRAIN_SEED, CALIBRATION_SEED, HELD_OUT_SEED)
        for index in range(4)
    ]
    assert len(set(images)) == len(images)
    assert HELD_OUT_COUNT == 500


@pytest.mark.parametrize("size", [(160, 160), (96, 128), (192, 192)])
def test_boxes_lie_inside_the_image(size):
    seen = set()
    for index in range(60):
        image, boxes, classes = shapes_sample(5, index, size)
        assert image.shape == (*size, 3)
        assert image.dtype == np.uint8
        assert boxes.dtype == np.float32
        assert classes.dtype == np.int64
        assert 1 <= len(boxes) == len(classes) <= MAX_OBJECTS
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2] <= size[1]).all()
        assert (boxes[:, 3] <= size[0]).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 4).all()
        seen |= set(classes.tolist())
    assert seen == set(range(len(CLASS_NAMES)))


def test_a_box_holds_pixels_unlike_its_surroundings():
    for index in range(20):
        image, boxes, _ = shapes_sample(6, index)
        x1, y1, x2, y2 = boxes[-1].astype(int)  # drawn last, so nothing covers it
        inside = image[y1:y2, x1:x2].reshape(-1, 3).astype(int)
        assert inside.std(axis=0).max() > 5


def test_an_image_too_small_is_refused():
    with pytest.raises(QuantizationError, match="limit 96x96"):
        shapes_sample(0, 0, (64, 160))


def test_written_files_hold_the_samples(tmp_path):
    path = write_shapes(tmp_path / "shapes", 3, CALIBRATION_SEED)
    value = json.loads(path.read_text())
    assert path == tmp_path / "shapes" / "instances.json"
    assert [c["name"] for c in value["categories"]] == list(CLASS_NAMES)
    assert len({a["id"] for a in value["annotations"]}) == len(value["annotations"])
    for index, entry in enumerate(value["images"]):
        image, boxes, classes = shapes_sample(CALIBRATION_SEED, index)
        stored = cv2.imread(str(path.parent / entry["file_name"]))
        assert np.array_equal(stored[:, :, ::-1], image)
        mine = [a for a in value["annotations"] if a["image_id"] == entry["id"]]
        assert [a["category_id"] - 1 for a in mine] == classes.tolist()
        for annotation, (x1, y1, x2, y2) in zip(mine, boxes.tolist(), strict=True):
            assert annotation["bbox"] == [x1, y1, x2 - x1, y2 - y1]
            assert annotation["area"] == (x2 - x1) * (y2 - y1)
            assert annotation["iscrowd"] == 0
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".json", *[".png"] * 3]


def test_write_refusals(tmp_path):
    with pytest.raises(QuantizationError, match="shapes count 0 must be at least 1"):
        write_shapes(tmp_path, 0, 1)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputFileError, match="choose another folder"):
        write_shapes(blocked / "below", 1, 1)

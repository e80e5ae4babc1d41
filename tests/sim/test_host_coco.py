# SPDX-License-Identifier: Apache-2.0
"""COCO annotations and scores, with numbers worked by hand."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from quant.errors import InputFileError
from sim.host import Detections, evaluate, read_dataset

NAMES = ("dog", "cat")  # the model's order; the file has cat first, with other ids
CONTENT = {
    "images": [
        {"id": 9, "file_name": "b.png", "width": 200, "height": 100},
        {"id": 4, "file_name": "a.png", "width": 200, "height": 100},
    ],
    "annotations": [
        {"id": 1, "image_id": 4, "category_id": 17, "bbox": [10, 10, 40, 40], "area": 1600,
         "iscrowd": 0},
        {"id": 2, "image_id": 4, "category_id": 18, "bbox": [100, 10, 50, 50], "area": 2500,
         "iscrowd": 0},
        {"id": 3, "image_id": 9, "category_id": 17, "bbox": [20, 20, 60, 60], "area": 3600,
         "iscrowd": 0},
    ],
    "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((100, 200, 3), np.uint8))
    return tmp_path


def read(folder, content):
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return read_dataset(path, folder)


def boxes(*rows):
    """Detections from rows (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(
        table[:, :4].astype(np.float32),
        table[:, 4].astype(np.float32),
        table[:, 5].astype(np.int64),
    )


PERFECT_ROWS = ((10, 10, 50, 50, 0.9, 1), (100, 10, 150, 60, 0.8, 0))
PERFECT = {
    4: boxes(*PERFECT_ROWS),
    9: boxes((20, 20, 80, 80, 0.7, 1)),
}


def test_dataset_is_sorted_and_mapped_by_name(folder):
    dataset = read(folder, CONTENT)
    assert [image.image_id for image in dataset.images] == [4, 9]
    assert dataset.images[0].path == folder / "a.png"
    assert dataset.category_ids(NAMES) == (18, 17)
    assert dataset.images[0].read().shape == (100, 200, 3)
    with pytest.raises(InputFileError) as info:
        dataset.category_ids(("dog", "zebra", "yak"))
    assert str(info.value) == (
        f"class 'zebra' of the model is not among the 2 categories of {dataset.path} "
        "(2 of 3 classes are missing); use annotations with the model's class names"
    )


def test_perfect_detections(folder, capfd):
    got = evaluate(read(folder, CONTENT), PERFECT, NAMES)
    assert got.images == 2
    assert (got.map, got.map50, got.precision, got.recall) == pytest.approx((100,) * 4)
    assert len(got.stats) == 12
    assert got.stats[0] == pytest.approx(1)
    assert got.stats[3] == -1  # no small box
    assert got.stats[4] == pytest.approx(1)  # medium
    assert got.stats[5] == -1  # no large one
    assert got.confidence == 0
    assert capfd.readouterr() == ("", "")


def test_annotation_numbers_may_start_at_zero(folder):
    content = copy.deepcopy(CONTENT)
    for i, box in enumerate(content["annotations"]):
        box["id"] = i
    assert evaluate(read(folder, content), PERFECT, NAMES).map == pytest.approx(100)


def test_partial_detections_by_hand(folder):
    # Cat: a hit at 0.9, a miss at 0.8, the second box never found.
    # Dog: found at 0.5 with a box whose IoU is 0.6 (30 of 50 columns).
    found = {
        4: boxes((10, 10, 50, 50, 0.9, 1), (150, 50, 190, 90, 0.8, 1), (100, 10, 130, 60, 0.5, 0)),
        9: boxes(),
    }
    got = evaluate(read(folder, CONTENT), found, NAMES)
    # Average precision with 101 recall points: cat has precision 1 up to recall 0.5 (51 points);
    # the dog's IoU 0.6 counts at 0.50, 0.55 and 0.60, three of ten thresholds.
    assert got.stats[1] == pytest.approx((51 / 101 + 1) / 2, abs=1e-12)
    assert got.stats[0] == pytest.approx((51 / 101 + 0.3) / 2, abs=1e-12)
    assert got.map50 == 100 * got.stats[1]
    # Up to 0.5: cat P 1/2, R 1/2, F1 1/2; dog F1 1; mean 0.75. Above 0.8 only the cat's
    # hit is left: F1 2/3 and 0, mean 1/3. The best is the lowest threshold.
    assert got.confidence == 0
    assert got.precision == pytest.approx(75)
    assert got.recall == pytest.approx(75)


def test_best_confidence_drops_false_alarms(folder):
    found = {
        4: boxes(*PERFECT_ROWS, *[(0, 80, 10, 90, 0.375 - i / 64, i % 2) for i in range(10)]),
        9: PERFECT[9],
    }
    got = evaluate(read(folder, CONTENT), found, NAMES)
    assert got.precision == got.recall == 100
    assert got.confidence == 0.376  # the best false alarm has 0.375


def test_crowd_box_neither_helps_nor_hurts(folder):
    content = copy.deepcopy(CONTENT)
    content["annotations"][2]["iscrowd"] = 1
    content["annotations"].append(
        {"id": 4, "image_id": 9, "category_id": 17, "bbox": [120, 20, 40, 40], "area": 1600,
         "iscrowd": 0}
    )  # fmt: skip
    found = {
        4: PERFECT[4],
        9: boxes((20, 20, 50, 50, 0.95, 1), (120, 20, 160, 60, 0.9, 1)),
    }
    got = evaluate(read(folder, content), found, NAMES)
    assert (got.map, got.precision, got.recall) == pytest.approx((100, 100, 100))


def test_subset_and_order_of_images(folder):
    dataset = read(folder, CONTENT)
    alone = evaluate(dataset, {4: PERFECT[4]}, NAMES)
    assert alone.images == 1
    assert (alone.map, alone.recall) == pytest.approx((100, 100))
    assert evaluate(dataset, {9: PERFECT[9], 4: PERFECT[4]}, NAMES) == evaluate(
        dataset, PERFECT, NAMES
    )


def test_no_detections_score_zero(folder):
    got = evaluate(read(folder, CONTENT), {4: boxes(), 9: boxes()}, NAMES)
    assert (got.map, got.map50, got.recall) == (0, 0, 0)


def test_wrong_class_scores_zero(folder):
    swapped = {k: Detections(v.boxes, v.scores, 1 - v.classes) for k, v in PERFECT.items()}
    assert evaluate(read(folder, CONTENT), swapped, NAMES).map == 0


def test_images_that_cannot_be_scored(folder):
    dataset = read(folder, CONTENT)
    with pytest.raises(InputFileError, match=r"image id 5 is not in .*instances.json; score its"):
        evaluate(dataset, {5: boxes()}, NAMES)
    with pytest.raises(InputFileError, match="the 1 images to score have no labelled box of the"):
        evaluate(dataset, {9: boxes()}, ("dog",))


def damage(content, change):
    change(content)
    return content


def drop(table, index, key):
    return lambda c: c[table][index].pop(key)


def put(table, index, key, value):
    return lambda c: c[table][index].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"),
         "annotations {} have no list 'images'; give a COCO instances file"),
        (drop("images", 1, "width"),
         "annotations {}: images[1] lacks 'width'; needed are id, file_name, width, height"),
        (drop("annotations", 2, "iscrowd"),
         "annotations {}: annotations[2] lacks 'iscrowd'; needed are id, image_id, category_id, "
         "bbox, area, iscrowd"),
        (put("images", 0, "file_name", 7),
         "annotations {}: images[0] has 'file_name' = 7 of the wrong type; correct the file"),
        (put("categories", 1, "id", 17),
         "annotations {}: categories[1] repeats id 17; ids must differ"),
        (put("categories", 1, "name", "cat"),
         "annotations {} name a category twice; names must differ"),
        (put("annotations", 0, "image_id", 5),
         "annotations {}: annotation 1 is for image 5, which is not listed; add it"),
        (put("annotations", 0, "category_id", 5),
         "annotations {}: annotation 1 has category 5, which is not listed; add it"),
        (put("annotations", 1, "bbox", [1, 2, 3]),
         "annotations {}: annotation 2 has bbox [1, 2, 3]; need [x, y, width, height], finite, "
         "sizes at least 0"),
        (put("annotations", 1, "bbox", [1, 2, -3, 4]),
         "annotations {}: annotation 2 has bbox [1, 2, -3, 4]; need [x, y, width, height], finite, "
         "sizes at least 0"),
    ],
)  # fmt: skip
def test_malformed_annotations(folder, change, message):
    with pytest.raises(InputFileError) as info:
        read(folder, damage(copy.deepcopy(CONTENT), change))
    assert str(info.value) == message.format(folder / "instances.json")


def test_unreadable_annotations(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(InputFileError, match=r"x\.json do not exist; give a COCO JSON file"):
        read_dataset(path, tmp_path)
    path.write_text('{"images": [')
    with pytest.raises(InputFileError, match="are not readable JSON"):
        read_dataset(path, tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputFileError, match="are not readable JSON"):
        read_dataset(path, tmp_path)
    path.write_text("[]")
    with pytest.raises(InputFileError, match="are no JSON object"):
        read_dataset(path, tmp_path)


def test_missing_and_resized_images(folder):
    cv2.imwrite(str(folder / "a.png"), np.zeros((50, 100, 3), np.uint8))
    dataset = read(folder, CONTENT)
    with pytest.raises(InputFileError) as info:
        dataset.images[0].read()
    assert str(info.value) == (
        f"image {folder / 'a.png'} is 100x50 pixels, the annotations say 200x100; "
        "use the original image"
    )
    (folder / "b.png").unlink()
    with pytest.raises(InputFileError) as info:
        read(folder, CONTENT)
    assert str(info.value) == (
        f"image {folder / 'b.png'} named in {folder / 'instances.json'} does not exist "
        "(1 of 2 are missing); give the folder that holds them"
    )


@pytest.mark.data
def test_truth_scores_full_marks_on_real_images():
    data = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco"
    if not data.is_dir():
        pytest.skip(f"real images are absent: {data}")
    dataset = read_dataset(data / "instances_public_val.json", data / "public_val")
    names = tuple(sorted(dataset.categories))
    index = {dataset.categories[name]: i for i, name in enumerate(names)}
    found = {}
    for image in dataset.images:
        rows = []
        for box in dataset.annotations:
            if box["image_id"] == image.image_id and not box["iscrowd"]:
                x, y, w, h = box["bbox"]
                rows.append((x, y, x + w, y + h, 0.5, index[box["category_id"]]))
        found[image.image_id] = boxes(*rows)
    assert dataset.images[0].read().shape == (dataset.images[0].height, dataset.images[0].width, 3)
    got = evaluate(dataset, found, names)
    assert got.images == 300
    assert (got.map, got.map50, got.precision, got.recall) == pytest.approx((100,) * 4, abs=1e-9)

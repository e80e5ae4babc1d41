# SPDX-License-Identifier: Apache-2.0
"""Pictures of detections."""

import numpy as np
import pytest

from quant.errors import InputFileError
from sim.host import Detections, draw_detections, enlarge, read_image, save_png, side_by_side


def found(*rows):
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(
        table[:, :4].astype(np.float32),
        table[:, 4].astype(np.float32),
        table[:, 5].astype(np.int64),
    )


def test_box_is_drawn_where_it_is():
    image = np.zeros((120, 160, 3), np.uint8)
    got = draw_detections(image, found((40, 50, 100, 90, 0.9, 1)), ("cat", "dog"))
    assert not image.any()  # a copy is drawn on
    for y, x in [(70, 40), (70, 100), (50, 70), (90, 70)]:
        assert got[y, x].any()
    assert not got[55:86, 45:96].any()  # inside stays as it was
    assert not got[95:].any()
    other = draw_detections(image, found((40, 50, 100, 90, 0.9, 0)), ("cat", "dog"))
    assert (got[70, 40] != other[70, 40]).any()  # classes differ in colour


def test_label_text_changes_the_picture_and_stays_inside():
    image = np.zeros((60, 80, 3), np.uint8)
    rows = found((60, 0, 80, 60, 0.5, 0))  # no room above, little to the right
    first = draw_detections(image, rows, ("cat",))
    second = draw_detections(image, rows, ("dog",))
    assert (first != second).any()
    assert first[:15, :60].any()  # the label was moved left and down


def test_best_box_is_on_top():
    image = np.zeros((120, 160, 3), np.uint8)
    best, other = (40, 50, 100, 90, 0.9, 1), (40, 50, 100, 90, 0.3, 0)
    both = draw_detections(image, found(best, other), ("cat", "dog"))
    alone = draw_detections(image, found(best), ("cat", "dog"))
    assert (both[70, 40] == alone[70, 40]).all()


def test_side_by_side_keeps_every_picture_whole():
    rng = np.random.default_rng(1)
    left, right = (rng.integers(0, 256, (90, 120, 3), dtype=np.uint8) for _ in range(2))
    got = side_by_side([("float", left), ("integer", right)])
    bar = got.shape[0] - 90
    assert bar > 10
    assert np.array_equal(got[bar:, :120], left)
    assert np.array_equal(got[bar:, -120:], right)
    assert (got[:bar, :120] != 255).any()
    assert (got[:bar, :120] != got[:bar, -120:]).any()  # the titles differ


def test_side_by_side_needs_one_size():
    pictures = [("a", np.zeros((4, 4, 3), np.uint8)), ("b", np.zeros((4, 5, 3), np.uint8))]
    with pytest.raises(InputFileError, match="have 2 sizes; need exactly one"):
        side_by_side(pictures)
    with pytest.raises(InputFileError, match="have 0 sizes; need exactly one"):
        side_by_side([])


def test_png_round_trip_leaves_no_other_file(tmp_path):
    picture = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    save_png(picture, path)
    assert np.array_equal(read_image(path), picture)
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_png_cannot_be_written(tmp_path):
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(InputFileError) as info:
        save_png(picture, tmp_path / "out.jpg")
    assert str(info.value) == (
        f"picture {tmp_path / 'out.jpg'} must end in .png; choose such a name"
    )
    with pytest.raises(InputFileError, match="cannot be written: No such file or directory"):
        save_png(picture, tmp_path / "none" / "out.png")
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(InputFileError, match="cannot be written: Is a directory"):
        save_png(picture, tmp_path / "dir.png")
    assert [p.name for p in tmp_path.iterdir()] == ["dir.png"]


def test_a_small_image_is_enlarged_with_its_boxes():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    found = Detections(
        np.array([[0, 1, 2, 2]], np.float32), np.array([0.5], np.float32), np.array([0])
    )
    larger, scaled = enlarge(image, found, 7)
    assert larger.shape == (6, 9, 3)
    assert np.array_equal(larger[::3, ::3], image)
    assert scaled.boxes.tolist() == [[0, 3, 6, 6]]
    same, kept = enlarge(image, found, 3)
    assert np.array_equal(same, image)
    assert np.array_equal(kept.boxes, found.boxes)

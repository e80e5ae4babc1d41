# SPDX-License-Identifier: Apache-2.0
"""Decoding against worked numbers and the formulas written out one cell at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest

from quant.errors import GraphError, UnsupportedLayerError
from quant.hostspec import HostSpec
from sim.host import decode_boxes, sigmoid

YOLOV5 = HostSpec(
    height=32,
    width=64,
    place="center",
    pad_value=114,
    channel_order="rgb",
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    decode="yolov5",
    strides=(8, 16),
    anchors=(((10.0, 13.0), (16.0, 30.0)), ((30.0, 61.0), (62.0, 45.0))),
    outputs=(("p3",), ("p4",)),
    class_names=("cat", "dog", "cow"),
)
YOLOX = replace(YOLOV5, decode="yolox", anchors=())
YOLOV6 = replace(YOLOV5, decode="yolov6", anchors=())


def maps(spec, seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    anchors = [len(a) for a in spec.anchors] or [1] * len(spec.strides)
    return [
        rng.normal(0, spread, (n * 8, spec.height // s, spec.width // s)).astype(np.float32)
        for n, s in zip(anchors, spec.strides, strict=True)
    ]


def logistic(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def literal(values, spec, confidence):
    """Every cell with objectness above the confidence, in the documented order."""
    found = []
    for scale, stride in enumerate(spec.strides):
        rows, high, wide = values[scale].shape
        for anchor in range(rows // 8):
            for y in range(high):
                for x in range(wide):
                    t = [float(v) for v in values[scale][anchor * 8 : anchor * 8 + 8, y, x]]
                    if spec.decode == "yolox":
                        cx, cy = (t[0] + x) * stride, (t[1] + y) * stride
                        w, h = math.exp(t[2]) * stride, math.exp(t[3]) * stride
                    else:
                        aw, ah = spec.anchors[scale][anchor]
                        cx = (2 * logistic(t[0]) - 0.5 + x) * stride
                        cy = (2 * logistic(t[1]) - 0.5 + y) * stride
                        w, h = (2 * logistic(t[2])) ** 2 * aw, (2 * logistic(t[3])) ** 2 * ah
                    scores = [logistic(v) for v in t[4:]]
                    if scores[0] > confidence:
                        box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                        found.append(box + scores)
    return np.array(found)


def test_zero_logits_give_the_anchor_in_the_cell_middle():
    values = [np.full(m.shape, -9, np.float32) for m in maps(YOLOV5)]
    values[1][8:16, 1, 3] = [0, 0, 0, 0, 0, math.log(3), 0, -math.log(3)]
    got = decode_boxes(values, YOLOV5, 0.25)
    # second anchor of stride 16, row 1, column 3: centre (3.5, 1.5) * 16, size 62 x 45
    assert got.boxes.tolist() == [[56 - 31, 24 - 22.5, 56 + 31, 24 + 22.5]]
    assert got.objectness.tolist() == [0.5]
    assert np.abs(got.class_scores - [[0.75, 0.5, 0.25]]).max() < 1e-6


def test_yolox_zero_logits_give_one_stride_at_the_cell_corner():
    values = [np.full(m.shape, -9, np.float32) for m in maps(YOLOX)]
    values[0][:, 2, 5] = [0, 0.5, 0, math.log(2), 0, 0, 0, 0]
    got = decode_boxes(values, YOLOX, 0.25)
    assert np.abs(got.boxes - [[40 - 4, 20 - 8, 40 + 4, 20 + 8]]).max() < 1e-5
    assert got.class_scores.tolist() == [[0.5, 0.5, 0.5]]


@pytest.mark.parametrize("decode", ["yolov5", "yolov7", "yolox"])
@pytest.mark.parametrize("confidence", [0.0, 0.001, 0.4])
def test_against_one_cell_at_a_time(decode, confidence):
    spec = YOLOX if decode == "yolox" else replace(YOLOV5, decode=decode)
    values = maps(spec, seed=5)
    want = literal(values, spec, confidence)
    got = decode_boxes(values, spec, confidence)
    sure = got.objectness > confidence  # the early test lets a hair's breadth more through
    assert sure.sum() == len(want)
    assert np.abs(got.boxes[sure] - want[:, :4]).max() < 1e-2 * max(1, np.abs(want[:, :4]).max())
    assert np.abs(got.boxes[sure] - want[:, :4]).max() <= 1e-5 * np.abs(want[:, :4]).max()
    assert np.abs(got.objectness[sure] - want[:, 4]).max() < 1e-6
    assert np.abs(got.class_scores[sure] - want[:, 5:]).max() < 1e-6


def test_yolov6_measures_from_the_cell_middle():
    values = [np.full((7, 4, 8), -9, np.float32), np.full((7, 2, 4), -9, np.float32)]
    values[1][:, 1, 3] = [-math.log(3), 0, math.log(3), 0.5, 1, 2, 0.25]
    got = decode_boxes(values, YOLOV6, 0.25)
    # stride 16, row 1, column 3: middle (56, 24)
    assert got.boxes.tolist() == [[56 - 8, 24 - 16, 56 + 32, 24 + 4]]
    assert got.objectness.tolist() == [1.0]
    assert np.abs(got.class_scores - [[0.25, 0.5, 0.75]]).max() < 1e-6


def test_yolov6_one_cell_at_a_time():
    rng = np.random.default_rng(4)
    values = [rng.normal(0, 2, (7, 32 // s, 64 // s)).astype(np.float32) for s in YOLOV6.strides]
    found = []
    for stride, scale in zip(YOLOV6.strides, values, strict=True):
        for y in range(scale.shape[1]):
            for x in range(scale.shape[2]):
                t = [float(v) for v in scale[:, y, x]]
                scores = [logistic(v) for v in t[:3]]
                if max(scores) > 0.6:
                    left, top = x + 0.5 - t[3], y + 0.5 - t[4]
                    right, bottom = x + 0.5 + t[5], y + 0.5 + t[6]
                    found.append([v * stride for v in (left, top, right, bottom)] + scores)
    want = np.array(found)
    got = decode_boxes(values, YOLOV6, 0.6)
    assert 5 < len(want) < 40
    assert np.abs(np.concatenate([got.boxes, got.class_scores], 1) - want).max() < 1e-4


def test_nothing_found_keeps_the_shapes():
    got = decode_boxes([np.full(m.shape, -30, np.float32) for m in maps(YOLOV5)], YOLOV5)
    assert got.boxes.shape == (0, 4)
    assert got.class_scores.shape == (0, 3)


def test_sigmoid_is_stable_and_symmetric():
    x = np.array([-1e4, -100, -1, 0, 1, 100, 1e4], np.float32)
    y = sigmoid(x)
    assert y.dtype == np.float32
    assert y[[0, 3, 6]].tolist() == [0, 0.5, 1]
    assert 0 < y[1] < 1e-43
    assert y[2] + y[4] == 1


def test_huge_yolox_size_stays_finite():
    values = maps(YOLOX)
    values[0][2:5] = 1000
    assert np.isfinite(decode_boxes(values, YOLOX).boxes).all()


def test_probabilities_are_taken_as_they_are():
    logits = maps(YOLOX, seed=2)
    ready = [np.concatenate([m[:4], sigmoid(m[4:])]) for m in logits]
    want = decode_boxes(logits, YOLOX, 0.3)
    got = decode_boxes(ready, YOLOX, 0.3, score_form="probabilities")
    sure = want.objectness > 0.3
    same = got.objectness > 0.3
    assert np.array_equal(want.boxes[sure], got.boxes[same])
    assert np.array_equal(want.class_scores[sure], got.class_scores[same])
    with pytest.raises(GraphError, match="score form 'probabilities' is for yolox, not yolov5"):
        decode_boxes(maps(YOLOV5), YOLOV5, 0.3, score_form="probabilities")


@pytest.mark.parametrize("decode", ["none", "classify"])
def test_no_boxes_to_decode(decode):
    spec = replace(YOLOV5, decode=decode)
    with pytest.raises(UnsupportedLayerError) as info:
        decode_boxes(maps(YOLOV5), spec)
    assert str(info.value) == (
        f"decode kind '{decode}' has no boxes; use the raw outputs, or quantize a yolov5, yolov6, "
        "yolov7 or yolox detector"
    )


def test_wrong_maps_are_refused():
    values = maps(YOLOV5)
    with pytest.raises(GraphError) as info:
        decode_boxes([values[0][:-1], values[1]], YOLOV5)
    assert str(info.value) == (
        "output scale 0 is [15, 4, 8]; yolov5 with 2 anchors, 3 classes and stride 8 "
        "needs [16, 4, 8]"
    )
    with pytest.raises(GraphError, match="1 output scales for 2 strides"):
        decode_boxes(values[:1], YOLOV5)
    values[1][0, 0, 0] = np.nan
    with pytest.raises(GraphError, match="output scale 1 holds values that are not finite"):
        decode_boxes(values, YOLOV5)
    with pytest.raises(GraphError, match="confidence 1 is outside"):
        decode_boxes(values, YOLOV5, 1)

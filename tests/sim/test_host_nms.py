# SPDX-License-Identifier: Apache-2.0
"""Suppression against a literal quadratic loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.errors import GraphError
from sim.host import Candidates, NmsSettings, suppress


def candidates(rng, count, classes, levels):
    """Boxes on a coarse grid and scores from few levels: overlaps and ties abound."""
    corner = rng.integers(0, 12, (count, 2))
    size = rng.integers(0, 8, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    return Candidates(
        boxes,
        rng.integers(0, levels + 1, count).astype(np.float32) / np.float32(levels),
        rng.integers(0, levels + 1, (count, classes)).astype(np.float32) / np.float32(levels),
    )


def literal(found, rules):
    """The definition: visit pairs by score, then box, then class; compare with every kept one."""
    pairs = []
    for i, box in enumerate(found.boxes):
        scores = [found.class_scores[i, c] * found.objectness[i] for c in range(_classes(found))]
        best = max(range(len(scores)), key=lambda c: scores[c])
        for c, score in enumerate(scores):
            if score > rules.confidence and (rules.multi_label or c == best):
                pairs.append((score, i, c, [float(v) for v in box]))
    pairs.sort(key=lambda p: (-p[0], p[1], p[2]))
    kept = []
    for score, _, c, box in pairs[: rules.max_candidates]:
        if len(kept) == rules.max_detections:
            break
        if all(k[1] != c or _iou(k[2], box) <= rules.iou for k in kept):
            kept.append((score, c, box))
    return kept


def _classes(found):
    return found.class_scores.shape[1]


def _iou(a, b):
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    inter = wide * high
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0


def same(got, want):
    assert got.scores.tolist() == [float(w[0]) for w in want]
    assert got.classes.tolist() == [w[1] for w in want]
    assert got.boxes.tolist() == [w[2] for w in want]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    classes=st.integers(1, 4),
    iou=st.sampled_from([0.3, 0.45, 0.65, 1.0]),
    limits=st.sampled_from([(300, 30_000), (5, 30_000), (300, 20), (1, 1)]),
    multi_label=st.booleans(),
)
def test_equals_the_quadratic_loop(seed, count, classes, iou, limits, multi_label):
    found = candidates(np.random.default_rng(seed), count, classes, levels=6)
    rules = NmsSettings(0.1, iou, limits[0], limits[1], multi_label)
    same(suppress(found, rules), literal(found, rules))


def test_default_settings_on_many_boxes():
    rng = np.random.default_rng(11)
    found = candidates(rng, 700, 3, levels=1000)
    got = suppress(found)
    assert len(got.scores) == 300
    same(got, literal(found, NmsSettings()))


def test_worked_example():
    # Overlaps with the first: the second 5x10/(100+50-50) = 0.5, the third 80/(100+80-80) = 0.8.
    boxes = np.array([[0, 0, 10, 10], [0, 0, 5, 10], [0, 0, 8, 10]], np.float32)
    found = Candidates(
        boxes, np.ones(3, np.float32), np.array([[0.9, 0], [0.8, 0.5], [0.7, 0.6]], np.float32)
    )
    got = suppress(found, NmsSettings(iou=0.65))
    assert got.classes.tolist() == [0, 0, 1, 1]
    assert got.scores.tolist() == np.array([0.9, 0.8, 0.6, 0.5], np.float32).tolist()
    # class 1: 50/80 = 0.625 between boxes 2 and 1, not above 0.65
    assert got.boxes.tolist() == boxes[[0, 1, 2, 1]].tolist()
    single = suppress(found, NmsSettings(iou=0.65, multi_label=False))
    assert single.boxes.tolist() == boxes[[0, 1]].tolist()


def test_ties_go_to_the_earlier_candidate():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10]], np.float32)
    scores = np.full((2, 1), 0.5, np.float32)
    for order in ([0, 1], [1, 0]):
        got = suppress(Candidates(boxes[order], np.ones(2, np.float32), scores))
        assert got.boxes.tolist() == boxes[order[:1]].tolist()


def test_no_candidates():
    empty = Candidates(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 80), np.float32)
    )
    for multi_label in (True, False):
        got = suppress(empty, NmsSettings(multi_label=multi_label))
        assert got.boxes.shape == (0, 4)
        assert len(got.scores) == len(got.classes) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"confidence": 1.0}, "confidence 1.0 is outside 0 <= confidence < 1"),
        ({"iou": 0.0}, "NMS IoU 0.0 is outside 0 < iou <= 1"),
        (
            {"max_detections": 0},
            "NMS limits of 0 detections and 30000 candidates must be at least 1",
        ),
    ],
)
def test_settings_out_of_range(values, message):
    with pytest.raises(GraphError) as info:
        NmsSettings(**values)
    assert str(info.value) == message

# SPDX-License-Identifier: Apache-2.0
"""Boxes with gradients mean what the host's decoding means; complete IoU is the paper's formula."""

import math

import numpy as np
import pytest
import torch

from quant.hostspec import HostSpec
from quant.ptq.recipes.detection import (
    complete_iou,
    detection_loss,
    detections_of,
    head_maps,
    suppressed,
)
from sim.host.decode import Candidates, decode_boxes
from sim.host.nms import NmsSettings, suppress

CLASSES = ("cat", "dog", "cow")
DECODES = ("yolov5", "yolov7", "yolox", "yolov6")
ANCHORS = (((8.0, 9.0), (16.0, 12.0)), ((30.0, 40.0), (50.0, 44.0)))


def host(decode):
    anchored = decode in ("yolov5", "yolov7")
    outputs = (("a0", "b0"), ("a1", "b1")) if decode in ("yolox", "yolov6") else (("a0",), ("a1",))
    return HostSpec(
        64, 64, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, decode, (8, 16),
        ANCHORS if anchored else (), outputs, CLASSES,
    )  # fmt: skip


def heads(spec, seed, images=2):
    """Raw outputs whose scores lie on both sides of the threshold."""
    rng = np.random.default_rng(seed)
    found = {}
    for scale, names in enumerate(spec.outputs):
        side = 64 // spec.strides[scale]
        rows = spec.fields * spec.anchors_of(scale)
        values = rng.normal(0, 1.5, (images, rows, side, side)).astype(np.float32)
        if spec.decode == "yolov6":  # its sides are distances
            values[:, len(CLASSES) :] = np.abs(values[:, len(CLASSES) :]) + 0.1
        cuts = [0, 4, rows] if len(names) == 2 else [0, rows]
        if spec.decode == "yolov6":
            cuts = [0, len(CLASSES), rows]
        for name, begin, end in zip(names, cuts[:-1], cuts[1:], strict=True):
            found[name] = torch.from_numpy(values[:, begin:end].copy())
    return found


@pytest.mark.parametrize("decode", DECODES)
@pytest.mark.parametrize("confidence", [0.3, 0.6])
def test_detections_are_the_hosts(decode, confidence):
    """Decoding and suppression of ``sim.host``, best class only, as one set per image."""
    spec = host(decode)
    outputs = heads(spec, 5)
    found = detections_of(spec, head_maps(spec, outputs), confidence)
    for image in range(2):
        maps = [
            np.concatenate([outputs[n][image].numpy() for n in names]) for names in spec.outputs
        ]
        candidates = decode_boxes(maps, spec, confidence)
        settings = NmsSettings(
            confidence=confidence, max_detections=100_000, max_candidates=100_000, multi_label=False
        )
        kept = suppress(candidates, settings)
        wanted = sorted(zip(kept.scores.tolist(), kept.classes.tolist(), strict=True))
        own = [d.places[0] == image for d in found]
        scores = torch.cat([d.scores[o] for d, o in zip(found, own, strict=True)])
        labels = torch.cat([d.labels[o] for d, o in zip(found, own, strict=True)])
        boxes = torch.cat([d.boxes[o] for d, o in zip(found, own, strict=True)])
        made = sorted(zip(scores.tolist(), labels.tolist(), strict=True))
        assert [label for _, label in made] == [label for _, label in wanted]
        assert len(made) > 5
        order, other = np.argsort(scores.numpy()), np.argsort(kept.scores)
        # Two writings in float32: a few units of the last place of numbers up to 100.
        assert np.abs(scores.numpy()[order] - kept.scores[other]).max() < 1e-6
        assert np.abs(boxes.numpy()[order] - kept.boxes[other]).max() < 1e-4


def test_suppression_is_the_hosts_on_ties_and_empty_boxes():
    boxes = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [5, 5, 5, 9], [5, 5, 5, 9], [0, 3, 10, 13]],
        np.float32,
    )
    scores = np.array([0.5, 0.9, 0.5, 0.4, 0.4, 0.45], np.float32)
    kept = suppressed(
        torch.from_numpy(boxes), torch.from_numpy(scores), torch.zeros(6, dtype=torch.int64)
    )
    wanted = suppress(
        Candidates(boxes, scores, np.ones((6, 1), np.float32)), NmsSettings(confidence=0.1)
    )
    assert sorted(scores[kept.numpy()].tolist()) == sorted(wanted.scores.tolist())
    assert kept.tolist() == [1, 3, 4, 5]


def literal(a, b):
    """Equations 10 and 11 of the paper, one pair."""
    inter = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(
        0.0, min(a[3], b[3]) - max(a[1], b[1])
    )
    wa, ha, wb, hb = a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1]
    iou = inter / (wa * ha + wb * hb - inter)
    rho = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    across = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    v = 4 / math.pi**2 * (math.atan(wb / hb) - math.atan(wa / ha)) ** 2
    alpha = v / (1 - iou + v) if v else 0.0
    return iou - rho / across - alpha * v


def test_complete_iou_is_the_papers():
    rng = np.random.default_rng(2)
    low = rng.uniform(0, 20, (40, 2, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 20, (40, 2, 2))], axis=2)
    made = complete_iou(torch.from_numpy(boxes[:, 0]), torch.from_numpy(boxes[:, 1])).numpy()
    wanted = [literal(a, b) for a, b in boxes]
    assert np.abs(made - wanted).max() < 1e-9
    equal = torch.from_numpy(boxes[:, 0])
    assert np.abs(complete_iou(equal, equal).numpy() - 1.0).max() < 1e-9


@pytest.mark.parametrize("decode", DECODES)
def test_nearer_outputs_cost_less_and_gradients_reach_every_task(decode):
    spec = host(decode)
    teacher, other = heads(spec, 1), heads(spec, 2)
    costs = []
    for share in (0.0, 0.1, 1.0):
        made = {n: t + share * (other[n] - t) for n, t in teacher.items()}
        costs.append(
            float(detection_loss(spec, head_maps(spec, made), head_maps(spec, teacher), 0.3))
        )
    assert abs(costs[0]) < 1e-5
    assert costs[0] < costs[1] < costs[2]
    made = {n: (t + 0.1 * (other[n] - t)).requires_grad_() for n, t in teacher.items()}
    detection_loss(spec, head_maps(spec, made), head_maps(spec, teacher), 0.3).backward()
    scale = head_maps(spec, {n: t.grad for n, t in made.items()})[0]
    by_row = scale.rows.abs().sum(dim=(0, 1, 3, 4))
    assert (by_row > 0.0).all()


def test_nothing_confident_leaves_objectness():
    spec = host("yolov5")
    teacher = {n: t - 20.0 for n, t in heads(spec, 1).items()}
    made = {n: t.clone() for n, t in teacher.items()}
    made["a0"][:, :4] += 1.0
    wanted = head_maps(spec, teacher)
    assert float(detection_loss(spec, head_maps(spec, made), wanted, 0.3)) == 0.0
    made["a0"][:, 4] += 15.0
    assert float(detection_loss(spec, head_maps(spec, made), wanted, 0.3)) > 0.5


def test_a_scale_counts_once_all_its_outputs_are_there():
    spec = host("yolox")
    outputs = heads(spec, 3)
    del outputs["b0"]
    assert [maps.scale for maps in head_maps(spec, outputs)] == [1]

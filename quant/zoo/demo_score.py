# SPDX-License-Identifier: Apache-2.0
"""AP50 of a detector on generated shapes, for the training of the built-in detector only."""

import contextlib
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from quant.zoo.shapes import CLASS_NAMES, shapes_sample

MIN_CONFIDENCE = 0.01
SUPPRESSION_IOU = 0.6
MAX_DETECTIONS = 100


def shapes_ap50(model: nn.Module, seed: int, count: int, size: tuple[int, int]) -> float:
    """Return the AP50 of a model on the first images of a stream of shapes.

    Args:
        model: Network in eval mode: float32 [N, 3, H, W] in 0..1 to rows of centre x, centre y,
            width, height in pixels, objectness, class scores.
        seed: Stream of ``shapes_sample``.
        count: Number of images, >= 1.
        size: (height, width) in pixels.

    Returns:
        Mean average precision at IoU 0.5, 0..1.
    """
    images: list[dict[str, Any]] = []
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for index in range(count):
        image, boxes, classes = shapes_sample(seed, index, size)
        images.append({"id": index + 1})
        for (x1, y1, x2, y2), kind in zip(boxes.tolist(), classes.tolist(), strict=True):
            truths.append(_annotation(len(truths) + 1, index, kind, (x1, y1, x2 - x1, y2 - y1)))
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            rows = model(x)[0].numpy()
        for box, score, kind in _suppress(rows):
            found.append(_annotation(len(found) + 1, index, kind, box) | {"score": score})
    if not found:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": images,
            "annotations": truths,
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASS_NAMES)],
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.params.iouThrs = np.array([0.5])
        judge.evaluate()
        judge.accumulate()
    # precision: [IoU, recall, class, area, detections]; all areas, most detections
    precision = judge.eval["precision"][0, :, :, 0, -1]
    return float(precision[precision > -1].mean())


def _annotation(
    number: int, index: int, kind: int, box: tuple[float, float, float, float]
) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": index + 1,
        "category_id": kind + 1,
        "bbox": list(box),
        "area": box[2] * box[3],
        "iscrowd": 0,
    }


def _suppress(
    rows: npt.NDArray[np.float32],
) -> list[tuple[tuple[float, float, float, float], float, int]]:
    """Return (x, y, width, height), score and class of what class-wise suppression keeps."""
    kept: list[tuple[tuple[float, float, float, float], float, int]] = []
    scores = rows[:, 4:5] * rows[:, 5:]
    for kind in range(scores.shape[1]):
        order = np.argsort(-scores[:, kind], kind="stable")
        order = order[scores[order, kind] > MIN_CONFIDENCE]
        low = rows[order, :2] - rows[order, 2:4] / 2
        high = low + rows[order, 2:4]
        alive = np.ones(len(order), bool)
        for i in range(len(order)):
            if not alive[i]:
                continue
            x, y = (float(v) for v in low[i])
            width, height = (float(v) for v in high[i] - low[i])
            kept.append(((x, y, width, height), float(scores[order[i], kind]), kind))
            inner = np.clip(np.minimum(high, high[i]) - np.maximum(low, low[i]), 0, None).prod(1)
            union = (high - low).prod(1) + (high[i] - low[i]).prod() - inner
            alive[i + 1 :] &= (inner / np.maximum(union, 1e-9))[i + 1 :] < SUPPRESSION_IOU
    kept.sort(key=lambda item: -item[1])
    return kept[:MAX_DETECTIONS]

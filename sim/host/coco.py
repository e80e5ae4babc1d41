# SPDX-License-Identifier: Apache-2.0
"""Score detections against a COCO data set with pycocotools."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from quant.errors import InputFileError
from sim.host.dataset import Dataset
from sim.host.detector import Detections

_CONFIDENCE_GRID = np.arange(1001) / 1000


@dataclass(frozen=True)
class Accuracy:
    """Detection accuracy over a data set, in percent.

    Attributes:
        images: Number of images scored.
        map: Mean average precision over IoU 0.50 to 0.95.
        map50: Mean average precision at IoU 0.50.
        precision: At IoU 0.50 and ``confidence``, mean over the classes that have boxes.
        recall: At IoU 0.50 and ``confidence``, mean over the classes that have boxes.
        confidence: The score threshold, in steps of 0.001, whose mean F1 is largest (the smallest
            such threshold).
        stats: The twelve numbers of pycocotools, 0..1, or -1 where the set has no such box.
    """

    images: int
    map: float
    map50: float
    precision: float
    recall: float
    confidence: float
    stats: tuple[float, ...]


def evaluate(
    dataset: Dataset, detections: Mapping[int, Detections], class_names: Sequence[str]
) -> Accuracy:
    """Score detections with pycocotools, silently.

    Only the images in ``detections`` count, so a subset can be scored; an image where nothing was
    found still belongs in it. Precision and recall follow the YOLO convention: one confidence for
    all classes, where the F1 averaged over the classes is largest. They use pycocotools' matches
    (crowd boxes neither help nor hurt, first 100 detections per image and class); a class without
    any detection above the confidence has precision 1 and recall 0.

    Args:
        dataset: The labelled images.
        detections: By image id, boxes in original pixels.
        class_names: Name of each class index in the detections.

    Returns:
        The accuracy record.

    Raises:
        InputFileError: A class or image is not in the data set, or the images have no boxes.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        scorer = matched(dataset, detections, class_names)
        scorer.accumulate()
        scorer.summarize()
    stats = tuple(float(value) for value in scorer.stats)
    precision, recall, confidence = _best_f1(
        scorer.evalImgs, len(scorer.params.catIds), len(detections)
    )
    return Accuracy(
        images=len(detections),
        map=100 * stats[0],
        map50=100 * stats[1],
        precision=100 * precision,
        recall=100 * recall,
        confidence=confidence,
        stats=stats,
    )


def matched(
    dataset: Dataset, detections: Mapping[int, Detections], class_names: Sequence[str]
) -> COCOeval:
    """Return pycocotools' scorer with every detection matched, silently; nothing is summed up.

    Its ``evalImgs`` are ordered class, area range (the first is "all"), image by rising number.

    Args:
        dataset: The labelled images.
        detections: By image id, boxes in original pixels.
        class_names: Name of each class index in the detections.

    Raises:
        InputFileError: A class or image is not in the data set, or the images have no boxes.
    """
    ids = dataset.category_ids(class_names)
    image_ids = sorted(detections)
    unknown = set(image_ids) - {image.image_id for image in dataset.images}
    if unknown:
        raise InputFileError(f"image id {min(unknown)} is not in {dataset.path}; score its images")
    chosen = set(image_ids)
    if not any(
        b["image_id"] in chosen and b["category_id"] in ids and not b["iscrowd"]
        for b in dataset.annotations
    ):
        raise InputFileError(
            f"the {len(image_ids)} images to score have no labelled box of the model's classes in "
            f"{dataset.path}; add labelled images"
        )
    with contextlib.redirect_stdout(io.StringIO()):
        # pycocotools takes a match with box number 0 for no match: number the boxes from 1.
        truth = _index(
            dataset, [{**box, "id": i} for i, box in enumerate(dataset.annotations, start=1)]
        )
        found = _index(dataset, _results(detections, ids))
        scorer = COCOeval(truth, found, "bbox")
        scorer.params.imgIds = image_ids
        scorer.params.catIds = sorted(ids)
        scorer.evaluate()
    return scorer


def _index(dataset: Dataset, boxes: list[dict[str, Any]]) -> COCO:
    """Build pycocotools' table; it must be made by hand, for its own loader fails on no boxes."""
    table = COCO()
    table.dataset = {
        "images": [{"id": image.image_id} for image in dataset.images],
        "categories": [{"id": i, "name": name} for name, i in dataset.categories.items()],
        "annotations": boxes,
    }
    table.createIndex()
    return table


def _results(detections: Mapping[int, Detections], ids: Sequence[int]) -> list[dict[str, Any]]:
    """Write the detections as COCO result records, numbered from 1."""
    results: list[dict[str, Any]] = []
    for image_id in sorted(detections):
        found = detections[image_id]
        corners = found.boxes.astype(np.float64)
        sizes = corners[:, 2:] - corners[:, :2]
        rows = np.concatenate([corners[:, :2], sizes], axis=1).tolist()
        labels, scores = found.classes.tolist(), found.scores.tolist()
        for row, score, label in zip(rows, scores, labels, strict=True):
            results.append(
                {
                    "id": len(results) + 1,
                    "image_id": image_id,
                    "category_id": ids[label],
                    "bbox": row,
                    "area": row[2] * row[3],
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return results


def _best_f1(matches: list[Any], classes: int, images: int) -> tuple[float, float, float]:
    """Return mean precision, mean recall and confidence at the largest mean F1, IoU 0.50.

    ``matches`` is pycocotools' list, ordered class, area range (the first is "all"), image.
    """
    precisions, recalls = [], []
    areas = len(matches) // (classes * images)
    for first in range(0, len(matches), areas * images):
        entries = [e for e in matches[first : first + images] if e is not None]
        labelled = sum(int(np.sum(np.asarray(e["gtIgnore"]) == 0)) for e in entries)
        if labelled == 0:
            continue
        scores = np.concatenate([np.asarray(e["dtScores"], dtype=np.float64) for e in entries])
        hit = np.concatenate([np.asarray(e["dtMatches"])[0] > 0 for e in entries])
        counts = np.concatenate([np.asarray(e["dtIgnore"])[0] == 0 for e in entries])
        right = _at_least(scores[counts & hit])
        every = _at_least(scores[counts])
        precisions.append(np.where(every > 0, right / np.maximum(every, 1), 1.0))
        recalls.append(right / labelled)
    precision, recall = np.array(precisions), np.array(recalls)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-16)
    best = int(f1.mean(axis=0).argmax())
    return (
        float(precision[:, best].mean()),
        float(recall[:, best].mean()),
        float(_CONFIDENCE_GRID[best]),
    )


def _at_least(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many scores reach each confidence of the grid."""
    below = np.searchsorted(np.sort(scores), _CONFIDENCE_GRID, side="left")
    return np.asarray(len(scores) - below, dtype=np.float64)

# SPDX-License-Identifier: Apache-2.0
"""Non-maximum suppression: per class, multi-label, with a fixed order of ties.

Source: the validation settings of YOLOv5 (confidence 0.001, IoU 0.65, 300 detections).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.errors import GraphError
from sim.host.decode import Candidates


@dataclass(frozen=True)
class NmsSettings:
    """Thresholds and limits; the defaults are those that accuracy is measured with.

    Attributes:
        confidence: Only scores above it count, 0 <= confidence < 1.
        iou: A box that overlaps a better one of its class by more is dropped, 0 < iou <= 1.
        max_detections: Most boxes kept per image, at least 1.
        max_candidates: Most (box, class) pairs considered per image, best first, at least 1.
        multi_label: A box may carry several classes; otherwise only its best one.
    """

    confidence: float = 0.001
    iou: float = 0.65
    max_detections: int = 300
    max_candidates: int = 30_000
    multi_label: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            GraphError: A value is outside its range.
        """
        if not 0 <= self.confidence < 1:
            raise GraphError(f"confidence {self.confidence} is outside 0 <= confidence < 1")
        if not 0 < self.iou <= 1:
            raise GraphError(f"NMS IoU {self.iou} is outside 0 < iou <= 1")
        if self.max_detections < 1 or self.max_candidates < 1:
            raise GraphError(
                f"NMS limits of {self.max_detections} detections and {self.max_candidates} "
                "candidates must be at least 1"
            )


@dataclass(frozen=True)
class Kept:
    """Boxes after suppression, best score first.

    Attributes:
        boxes: float32 [n, 4], (x1, y1, x2, y2), in the units of the candidates.
        scores: float32 [n], objectness times class score, 0..1.
        classes: int64 [n], contiguous class index.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


def suppress(candidates: Candidates, settings: NmsSettings | None = None) -> Kept:
    """Keep the best boxes of every class and drop those that overlap a kept one.

    Pairs (box, class) are visited by falling score; equal scores by candidate position, then by
    class index, so the result never depends on the sort or the machine. A box of no area overlaps
    nothing.

    Args:
        candidates: Decoded boxes of one image.
        settings: Thresholds and limits; None means ``NmsSettings()``.

    Returns:
        At most ``settings.max_detections`` boxes.
    """
    settings = settings or NmsSettings()
    box, label, scores = _pairs(candidates, settings)
    order = np.argsort(-scores, kind="stable")[: settings.max_candidates]
    box, label, scores = box[order], label[order], scores[order]
    boxes = candidates.boxes[box]
    keep = _greedy(boxes, label, settings.iou, settings.max_detections)
    return Kept(boxes[keep], scores[keep], label[keep])


def _pairs(
    candidates: Candidates, settings: NmsSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return box index, class index and score of every pair above the confidence."""
    scores = candidates.class_scores * candidates.objectness[:, None]
    if settings.multi_label:
        box, label = np.nonzero(scores > settings.confidence)
    else:
        best = scores.argmax(axis=1)
        box = np.nonzero(scores[np.arange(len(best)), best] > settings.confidence)[0]
        label = best[box]
    return box, label, scores[box, label]


def _greedy(
    boxes: NDArray[np.float32], label: NDArray[np.int64], iou: float, limit: int
) -> NDArray[np.int64]:
    """Return the positions of the kept boxes; ``boxes`` come best first.

    The boxes are laid out class by class, so that each kept one is compared with a contiguous
    slice: the later boxes of its own class. Visiting in global order lets the loop stop at the
    limit. ``inter > iou * union`` needs no division and is false for boxes of no area.
    """
    by_class = np.argsort(label, kind="stable")
    place = np.empty(len(label), dtype=np.int64)
    place[by_class] = np.arange(len(label))
    ends = np.searchsorted(label[by_class], label, side="right").tolist()
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[by_class].T.astype(np.float64))
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    alive = np.ones(len(label), dtype=np.bool_)
    keep: list[int] = []
    for position, at in enumerate(place.tolist()):
        if not alive[at]:
            continue
        keep.append(position)
        if len(keep) == limit:
            break
        rest = slice(at + 1, ends[position])
        wide = np.minimum(x2[at], x2[rest]) - np.maximum(x1[at], x1[rest])
        high = np.minimum(y2[at], y2[rest]) - np.maximum(y1[at], y1[rest])
        inter = np.maximum(wide, 0) * np.maximum(high, 0)
        alive[rest] &= inter <= iou * (areas[at] + areas[rest] - inter)
    return np.array(keep, dtype=np.int64)

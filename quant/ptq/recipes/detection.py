# SPDX-License-Identifier: Apache-2.0
"""What a detector makes of its outputs, with gradients: boxes, complete IoU, confident detections.

The float network's own confident boxes are the aim (``DTR``): no labels are needed, and its false
positives of low score do not count.

Source: TASKQ, ICRA 2026 (abstract; the terms are this project's reconstruction). Complete IoU:
Zheng et al., Distance-IoU Loss, AAAI 2020, equations 10 and 11. Decoding: the heads of YOLOv5,
YOLOv6, YOLOv7 and YOLOX.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from quant.hostspec import HostSpec
from quant.ptq.recipes.losses import divergence

# Boxes of one class that overlap a better one by more are the same object.
SUPPRESSION_IOU = 0.65
# exp of more is no box on any canvas.
MOST_LOG_SIZE = 20.0
LEAST = 1e-7


@dataclass(frozen=True, eq=False)
class HeadMaps:
    """Raw rows of one scale.

    Attributes:
        scale: Number of the scale.
        rows: float32 [N, anchors, fields, H, W].
    """

    scale: int
    rows: torch.Tensor


@dataclass(frozen=True, eq=False)
class Detections:
    """Confident boxes of one scale.

    Attributes:
        places: Image, anchor, row, column of each, four int64 [n].
        boxes: float32 [n, 4], x1, y1, x2, y2 in pixels.
        scores: float32 [n], 0..1.
        labels: int64 [n], best class.
    """

    places: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
    boxes: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor

    def chosen(self, kept: torch.Tensor) -> "Detections":
        """Return those that ``kept`` (bool or int64 [m]) names."""
        image, anchor, row, column = (place[kept] for place in self.places)
        return Detections(
            (image, anchor, row, column), self.boxes[kept], self.scores[kept], self.labels[kept]
        )


def head_maps(host: HostSpec, tensors: Mapping[str, torch.Tensor]) -> tuple[HeadMaps, ...]:
    """Return the scales all of whose outputs are there.

    Args:
        host: Says what the outputs mean.
        tensors: float32 [N, C, H, W] by output name.
    """
    found = []
    for scale, names in enumerate(host.outputs):
        if all(name in tensors for name in names):
            joined = torch.cat([tensors[name] for name in names], 1)
            n, rows, height, width = joined.shape
            anchors = host.anchors_of(scale)
            split = joined.reshape(n, anchors, rows // anchors, height, width)
            found.append(HeadMaps(scale, split))
    return tuple(found)


def detections_of(
    host: HostSpec, maps: tuple[HeadMaps, ...], confidence: float
) -> tuple[Detections, ...]:
    """Return, per scale, the boxes that score at least ``confidence`` and survive suppression.

    Args:
        host: Says what the rows mean.
        maps: Of the float network.
        confidence: Least score, 0..1.
    """
    found = [_confident(host, each, confidence) for each in maps]
    scales = torch.cat([torch.full_like(d.labels, number) for number, d in enumerate(found)])
    kept = suppressed(
        torch.cat([d.boxes for d in found]),
        torch.cat([d.scores for d in found]),
        torch.cat([d.places[0] * len(host.class_names) + d.labels for d in found]),
    )
    first = 0
    results = []
    for number, each in enumerate(found):
        own = kept[scales[kept] == number] - first
        results.append(each.chosen(own))
        first += len(each.labels)
    return tuple(results)


def picked(maps: HeadMaps, found: Detections) -> torch.Tensor:
    """Return the rows at the places of some detections, [n, fields]."""
    image, anchor, row, column = found.places
    return maps.rows[image, anchor, :, row, column]


def boxes_at(
    host: HostSpec,
    maps: HeadMaps,
    rows: torch.Tensor,
    places: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Return decoded boxes, x1, y1, x2, y2 in pixels.

    Args:
        host: Decode kind, strides and anchors.
        maps: Gives the scale.
        rows: float32 [n, fields] at the places.
        places: Image, anchor, row, column.
    """
    _, anchor, row, column = places
    grid = torch.stack([column, row], 1).to(rows.dtype)
    stride = float(host.strides[maps.scale])
    match host.decode:
        case "yolov6":
            sides = rows[:, len(host.class_names) :]
            middle = grid + 0.5
            return torch.cat([middle - sides[:, :2], middle + sides[:, 2:]], 1) * stride
        case "yolox":
            center = (rows[:, :2] + grid) * stride
            size = rows[:, 2:4].clamp(max=MOST_LOG_SIZE).exp() * stride
        case "yolov5" | "yolov7":
            sizes = torch.tensor(host.anchors[maps.scale], dtype=rows.dtype, device=rows.device)
            center = (2.0 * rows[:, :2].sigmoid() - 0.5 + grid) * stride
            size = (2.0 * rows[:, 2:4].sigmoid()).square() * sizes[anchor]
        case "classify" | "none":
            raise TypeError(f"decode kind '{host.decode}' has no boxes")
    return torch.cat([center - size / 2.0, center + size / 2.0], 1)


def complete_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return overlap less distance of the centres less difference of the aspects, at most 1.

    Args:
        a: float [n, 4], x1, y1, x2, y2.
        b: The same; gradients flow to both.

    Returns:
        float [n].
    """
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    inter = (high - low).clamp(min=0.0).prod(1)
    size_a, size_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    union = size_a.prod(1) + size_b.prod(1) - inter
    iou = inter / union.clamp(min=LEAST)
    around = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    apart = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]).square().sum(1) / 4.0
    distance = apart / around.square().sum(1).clamp(min=LEAST)
    angles = [torch.atan2(size[:, 0], size[:, 1]) for size in (size_a, size_b)]
    aspect = (4.0 / math.pi**2) * (angles[0] - angles[1]).square()
    with torch.no_grad():
        weight = aspect / (1.0 - iou + aspect).clamp(min=LEAST)
    return iou - distance - weight * aspect


def box_term(host: HostSpec, made: HeadMaps, found: Detections) -> torch.Tensor:
    """Return the sum of ``score * (1 - complete IoU)`` with the float network's boxes."""
    if not len(found.labels):
        return made.rows.new_zeros(())
    boxes = boxes_at(host, made, picked(made, found), found.places)
    return ((1.0 - complete_iou(boxes, found.boxes)) * found.scores).sum()


def class_term(host: HostSpec, made: HeadMaps, wanted: HeadMaps, found: Detections) -> torch.Tensor:
    """Return the divergence of the classes' probabilities at the detections, weighed by score."""
    if not len(found.labels):
        return made.rows.new_zeros(())
    begin, end = class_rows(host)
    own, aim = (picked(maps, found)[:, begin:end] for maps in (made, wanted))
    return (divergence(own, aim).sum(1) * found.scores).sum()


def certainty_term(host: HostSpec, made: HeadMaps, wanted: HeadMaps) -> torch.Tensor:
    """Return the divergence of the probabilities that something is there, over all places.

    Without an objectness row it is the class scores that say so.
    """
    begin, end = (4, 5) if host.decode != "yolov6" else class_rows(host)
    return divergence(made.rows[:, :, begin:end], wanted.rows[:, :, begin:end]).sum()


def class_rows(host: HostSpec) -> tuple[int, int]:
    """Return first and behind the last class row of an anchor."""
    begin = 0 if host.decode == "yolov6" else 5
    return begin, begin + len(host.class_names)


def detection_loss(
    host: HostSpec, made: tuple[HeadMaps, ...], wanted: tuple[HeadMaps, ...], confidence: float
) -> torch.Tensor:
    """Return boxes, classes and objectness, relative to the confident scores of all scales.

    Args:
        host: Says what the rows mean.
        made: Of the rounded network.
        wanted: Of the float network, the same scales.
        confidence: Score from which a box counts.
    """
    found = detections_of(host, wanted, confidence)
    total = sum((d.scores.sum() for d in found), torch.ones((), device=wanted[0].rows.device))
    terms = [
        box_term(host, m, d) + class_term(host, m, w, d) + certainty_term(host, m, w)
        for m, w, d in zip(made, wanted, found, strict=True)
    ]
    return torch.stack(terms).sum() / total


@torch.no_grad()
def suppressed(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return the numbers of the boxes that no better one of their group overlaps too much.

    Args:
        boxes: float32 [n, 4].
        scores: float32 [n].
        groups: int64 [n]: image and class.

    Returns:
        int64 [m], ascending.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    boxes, groups = boxes[order], groups[order]
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inter = (high - low).clamp(min=0.0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0.0).prod(1)
    union = area[:, None] + area[None, :] - inter
    rivals = (inter > SUPPRESSION_IOU * union) & (groups[:, None] == groups[None, :])
    alive = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    for place in range(len(order)):
        if bool(alive[place]):
            alive[place + 1 :] &= ~rivals[place, place + 1 :]
    return order[alive].sort().values


@torch.no_grad()
def _confident(host: HostSpec, maps: HeadMaps, confidence: float) -> Detections:
    begin, end = class_rows(host)
    best, label = maps.rows[:, :, begin:end].max(dim=2)
    score = best.sigmoid()
    if host.decode != "yolov6":
        score = score * maps.rows[:, :, 4].sigmoid()
    image, anchor, row, column = torch.nonzero(score >= confidence, as_tuple=True)
    places = (image, anchor, row, column)
    found = Detections(places, score.new_zeros((len(image), 4)), score[places], label[places])
    boxes = boxes_at(host, maps, picked(maps, found), places)
    return Detections(places, boxes, found.scores, found.labels)

# SPDX-License-Identifier: Apache-2.0
"""How far the rounded network is from the float one: heads as their decode means them, and inside.

The float network's own scores say where it matters: boxes and classes count by its confidence, so
that no labels are needed.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F

from quant.floatgraph import FloatAdd, FloatConcat, FloatConv, FloatLinear
from quant.hostspec import HostSpec
from quant.ptq.steps import Step

Tensors = Mapping[str, torch.Tensor]

# Box terms are in strides (or shares of an anchor); scores are in nats.
BOX_WEIGHT = 4.0
LEAST = 1e-6
# Places where the float network's score is lower are no detections to any threshold in use: only
# their objectness counts.
LEAST_CONFIDENCE = 1e-3
# Heads whose boxes pass a sigmoid; those of the others are read as they are.
SQUASHED_BOXES = ("yolov5", "yolov7")


def feature_names(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return the steps whose outputs are compared inside the network.

    Blocks of these networks end in a layer that reads a concatenation, or in a sum; a network with
    neither is compared before every change of size.
    """
    kinds = {s.result: type(s.op) for s in steps}
    inner = [s for s in steps if not s.is_output]
    layers = [s for s in inner if isinstance(s.op, FloatConv | FloatLinear)]
    blocks = [s.name for s in layers if kinds[_source(s)] is FloatConcat]
    if len(blocks) >= 2:
        return tuple(blocks)
    sums = [s.name for s in inner if isinstance(s.op, FloatAdd)]
    if len(sums) >= 2:
        return tuple(sums)
    shrinking = {_source(s) for s in layers if isinstance(s.op, FloatConv) and max(s.op.stride) > 1}
    return tuple(s.name for s in layers if s.result in shrinking)


def feature_loss(student: Tensors, teacher: Tensors) -> torch.Tensor:
    """Return the mean absolute error of inner tensors, each relative to the teacher's own size.

    Args:
        student: float32 tensors by name; at least one.
        teacher: The same of the float network.
    """
    terms = [
        F.l1_loss(value, teacher[name]) / teacher[name].abs().mean().clamp(min=LEAST)
        for name, value in student.items()
    ]
    return torch.stack(terms).mean()


def output_loss(host: HostSpec, student: Tensors, teacher: Tensors) -> torch.Tensor:
    """Return the error of all outputs.

    Args:
        host: Says what the outputs mean.
        student: float32 [N, C, H, W] by output name.
        teacher: The same of the float network.

    Returns:
        Scalar, the mean over the scales.
    """
    terms = []
    for scale, names in enumerate(host.outputs):
        made = torch.cat([student[n] for n in names], 1)
        wanted = torch.cat([teacher[n] for n in names], 1)
        match host.decode:
            case "yolov5" | "yolov7" | "yolox" | "yolov6":
                anchors = host.anchors_of(scale)
                terms.append(_head_loss(host, _fields(made, anchors), _fields(wanted, anchors)))
            case "classify":
                terms.append(_class_loss(made.flatten(1), wanted.flatten(1)))
            case "none":
                size = wanted.abs().mean().clamp(min=LEAST)
                terms.append(F.l1_loss(made, wanted) / size)
    return torch.stack(terms).mean()


def output_curvature(host: HostSpec, teacher: Tensors) -> dict[str, torch.Tensor]:
    """Return what a small squared error of each output value adds to ``output_loss``, about.

    Half the diagonal of the second derivative where student and teacher agree; the absolute errors
    of boxes, which have none there, count by their squares.

    Args:
        host: Says what the outputs mean.
        teacher: float32 [N, C, H, W] by output name.

    Returns:
        The same shapes, >= 0.
    """
    found: dict[str, torch.Tensor] = {}
    for scale, names in enumerate(host.outputs):
        wanted = torch.cat([teacher[n] for n in names], 1)
        match host.decode:
            case "yolov5" | "yolov7" | "yolox" | "yolov6":
                fields = _fields(wanted, host.anchors_of(scale))
                felt = _head_curvature(host, fields).reshape(wanted.shape)
            case "classify":
                share = wanted.softmax(dim=1)
                felt = 0.5 * share * (1.0 - share) / len(wanted)
            case "none":
                felt = torch.ones_like(wanted) / wanted.square().sum().clamp(min=LEAST)
        parts = torch.split(felt, [teacher[n].shape[1] for n in names], 1)
        found.update({n: part / len(host.outputs) for n, part in zip(names, parts, strict=True)})
    return found


def _fields(tensor: torch.Tensor, anchors: int) -> torch.Tensor:
    """Return a view [N, anchors, fields, H, W]."""
    n, rows, height, width = tensor.shape
    return tensor.reshape(n, anchors, rows // anchors, height, width)


def _rows(host: HostSpec) -> tuple[slice, slice]:
    """Return which fields of a place are its box and which its classes' scores."""
    classes = len(host.class_names)
    if host.decode == "yolov6":
        return slice(classes, None), slice(0, classes)
    return slice(0, 4), slice(5, None)


def _confidence(host: HostSpec, fields: torch.Tensor) -> torch.Tensor:
    """Return how sure the places of a head are, [N, A, H, W] of [N, A, fields, H, W]."""
    best = fields[:, :, _rows(host)[1]].amax(dim=2).sigmoid()
    return best if host.decode == "yolov6" else fields[:, :, 4].sigmoid() * best


def _head_loss(host: HostSpec, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    confidence = _confidence(host, wanted)
    if host.decode == "yolov6":
        certain = made.new_zeros(())
    else:
        certain = divergence(made[:, :, 4], wanted[:, :, 4]).sum()
    total = confidence.sum() + 1.0
    # Most places see nothing: the classes of the others alone are gathered and compared.
    counted = confidence > LEAST_CONFIDENCE
    confidence = confidence[counted]
    made, wanted = (t.permute(0, 1, 3, 4, 2)[counted] for t in (made, wanted))
    box, score = _rows(host)
    boxes, wanted_boxes = made[:, box], wanted[:, box]
    if host.decode in SQUASHED_BOXES:
        boxes, wanted_boxes = 2 * boxes.sigmoid(), 2 * wanted_boxes.sigmoid()
    away = F.l1_loss(boxes, wanted_boxes, reduction="none").mean(dim=1)
    wrong = divergence(made[:, score], wanted[:, score]).sum(dim=1)
    return (BOX_WEIGHT * (away * confidence).sum() + certain + (wrong * confidence).sum()) / total


def _head_curvature(host: HostSpec, wanted: torch.Tensor) -> torch.Tensor:
    """Return ``output_curvature`` of one scale [N, anchors, fields, H, W]."""
    confidence = _confidence(host, wanted)
    total = confidence.sum() + 1.0
    counted = torch.where(confidence > LEAST_CONFIDENCE, confidence, 0.0).unsqueeze(2)
    share = wanted.sigmoid()
    spread = share * (1.0 - share)
    felt = 0.5 * spread
    box, score = _rows(host)
    boxes = felt[:, :, box]
    slopes = 2.0 * spread[:, :, box] if host.decode in SQUASHED_BOXES else torch.ones_like(boxes)
    boxes[:] = (BOX_WEIGHT / boxes.shape[2]) * counted * slopes * slopes
    felt[:, :, score] *= counted
    return felt / total


def divergence(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the divergence of the probabilities of logits, >= 0, 0 where they are equal."""
    aim = wanted.sigmoid()
    own = F.binary_cross_entropy_with_logits(wanted, aim, reduction="none")
    return F.binary_cross_entropy_with_logits(made, aim, reduction="none") - own


def _class_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    aim = wanted.log_softmax(dim=1)
    return F.kl_div(made.log_softmax(dim=1), aim, log_target=True, reduction="batchmean")


def _source(step: Step) -> str:
    if not isinstance(step.op, FloatConv | FloatLinear):
        raise TypeError(f"'{step.name}' is no layer")
    return step.op.source

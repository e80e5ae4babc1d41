# SPDX-License-Identifier: Apache-2.0
"""From raw head outputs (real values) to candidate boxes on the canvas.

Source: the detection heads of YOLOv5, YOLOv7 (same formula as YOLOv5), YOLOv6 and YOLOX.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quant.errors import GraphError, UnsupportedLayerError
from quant.hostspec import HostSpec

ScoreForm = Literal["logits", "probabilities"]
"""Whether objectness and class rows still need their sigmoid.

The official YOLOX ONNX export applies it inside the network: such outputs are ``probabilities``.
"""

# Early rejection is a little looser than the true threshold, so that rounding in the logarithm
# below cannot lose a candidate; the exact comparison is made on the final scores.
_SLACK = 1e-3
# exp(50) pixels cover any canvas, and the float32 that follows stays finite.
_MAX_LOG_SIZE = 50.0


@dataclass(frozen=True)
class Candidates:
    """Boxes before non-maximum suppression, in the order scale, anchor, row, column.

    Attributes:
        boxes: float32 [n, 4], (x1, y1, x2, y2) in canvas pixels, not clipped.
        objectness: float32 [n], 0..1.
        class_scores: float32 [n, classes], 0..1, not yet multiplied by the objectness.
    """

    boxes: NDArray[np.float32]
    objectness: NDArray[np.float32]
    class_scores: NDArray[np.float32]


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``1 / (1 + exp(-v))`` without overflow: only ``exp`` of values <= 0 is taken."""
    small = np.exp(-np.abs(values))
    numerator = np.where(values >= 0, np.float32(1), small)
    return np.asarray(numerator / (np.float32(1) + small), dtype=np.float32)


def decode_boxes(
    maps: Sequence[NDArray[np.floating]],
    spec: HostSpec,
    confidence: float = 0.001,
    score_form: ScoreForm = "logits",
) -> Candidates:
    """Turn one image's raw head outputs into candidate boxes.

    With ``s`` the sigmoid, ``grid`` the cell's column and row:

    - ``yolov5`` and ``yolov7``, per anchor rows x, y, w, h, objectness, classes:
      ``xy = (2 s(t) - 0.5 + grid) * stride``, ``wh = (2 s(t))**2 * anchor``;
    - ``yolox``, rows x, y, w, h, objectness, classes:
      ``xy = (t + grid) * stride``, ``wh = exp(t) * stride``;
    - ``yolov6``, rows classes, left, top, right, bottom: the sides of the box lie that many
      strides away from the cell's centre ``(grid + 0.5) * stride``; the objectness is 1.

    Candidates whose objectness (for ``yolov6``: best class score) is clearly below the confidence
    are dropped here, since a score (objectness times class score) never exceeds it.

    Args:
        maps: Per scale, real values [rows, grid height, grid width]; rows are
            ``spec.anchors_of(scale) * spec.fields``.
        spec: Decode kind, strides, anchors and class names.
        confidence: Score below which nothing is wanted, 0 <= confidence < 1.
        score_form: Form of the objectness and class rows; ``probabilities`` is for ``yolox`` only.

    Returns:
        The candidates of all scales.

    Raises:
        UnsupportedLayerError: ``spec.decode`` has no boxes.
        GraphError: The maps do not fit the spec or hold values that are not finite, or a
            threshold or score form is out of range.
    """
    if spec.decode in ("classify", "none"):
        raise UnsupportedLayerError(
            f"decode kind '{spec.decode}' has no boxes; use the raw outputs, or quantize a "
            "yolov5, yolov6, yolov7 or yolox detector"
        )
    if not 0 <= confidence < 1:
        raise GraphError(f"confidence {confidence} is outside 0 <= confidence < 1")
    if score_form == "probabilities" and spec.decode != "yolox":
        raise GraphError(f"score form 'probabilities' is for yolox, not {spec.decode}; use logits")
    if len(maps) != len(spec.strides):
        raise GraphError(f"{len(maps)} output scales for {len(spec.strides)} strides")
    parts = [
        _decode_scale(_checked(maps[i], i, spec), i, spec, confidence, score_form)
        for i in range(len(maps))
    ]
    return Candidates(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.objectness for p in parts]),
        np.concatenate([p.class_scores for p in parts]),
    )


def _checked(values: NDArray[np.floating], index: int, spec: HostSpec) -> NDArray[np.float32]:
    """Return one scale as float32 [anchors, fields, grid height, grid width]."""
    fields = spec.fields
    anchors = spec.anchors_of(index)
    stride = spec.strides[index]
    want = (anchors * fields, spec.height // stride, spec.width // stride)
    if values.shape != want:
        raise GraphError(
            f"output scale {index} is {list(values.shape)}; {spec.decode} with {anchors} anchors, "
            f"{len(spec.class_names)} classes and stride {stride} needs {list(want)}"
        )
    real = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(real).all():
        raise GraphError(f"output scale {index} holds values that are not finite; check the model")
    return real.reshape(anchors, fields, *want[1:])


def _decode_scale(
    maps: NDArray[np.float32],
    index: int,
    spec: HostSpec,
    confidence: float,
    score_form: ScoreForm,
) -> Candidates:
    """Decode the cells of one scale whose scores can reach the confidence."""
    logits = score_form == "logits"
    threshold = confidence
    if logits:
        threshold = math.log(confidence / (1 - confidence)) if confidence > 0 else -math.inf
    classes = len(spec.class_names)
    best = maps[:, :classes].max(axis=1) if spec.decode == "yolov6" else maps[:, 4]
    anchor, row, column = np.nonzero(best > threshold - _SLACK)
    picked = maps[anchor, :, row, column]  # [n, fields]
    grid = np.stack([column, row], axis=1).astype(np.float32)
    stride = np.float32(spec.strides[index])
    if spec.decode == "yolov6":
        middle, sides = grid + np.float32(0.5), picked[:, classes:]
        boxes = np.concatenate([middle - sides[:, :2], middle + sides[:, 2:]], axis=1) * stride
        certain = np.ones(len(picked), dtype=np.float32)
        return Candidates(boxes, certain, sigmoid(picked[:, :classes]))
    if spec.decode == "yolox":
        center = (picked[:, :2] + grid) * stride
        size = np.exp(np.minimum(picked[:, 2:4], np.float32(_MAX_LOG_SIZE))) * stride
    else:
        sizes = np.array(spec.anchors[index], dtype=np.float32).reshape(-1, 2)
        center = (2 * sigmoid(picked[:, :2]) - np.float32(0.5) + grid) * stride
        size = (2 * sigmoid(picked[:, 2:4])) ** 2 * sizes[anchor]
    scores = sigmoid(picked[:, 4:]) if logits else picked[:, 4:]
    half = size / 2
    boxes = np.concatenate([center - half, center + half], axis=1)
    return Candidates(boxes, scores[:, 0], scores[:, 1:])

# SPDX-License-Identifier: Apache-2.0
"""The way from a network's output tensors to detections on the original image."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant.errors import GraphError
from quant.hostspec import HostSpec
from sim.host.decode import ScoreForm, decode_boxes
from sim.host.nms import NmsSettings, suppress
from sim.host.preprocess import Placement


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best score first; the arrays are read-only.

    Attributes:
        boxes: float32 [n, 4], (x1, y1, x2, y2) in original pixels, clipped to the image.
        scores: float32 [n], 0..1.
        classes: int64 [n], index into the host spec's class names.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        for array in (self.boxes, self.scores, self.classes):
            array.flags.writeable = False

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.scores)

    def above(self, score: float) -> "Detections":
        """Return only the detections whose score is at least ``score``."""
        keep = self.scores >= score
        return Detections(self.boxes[keep], self.scores[keep], self.classes[keep])


def dequantize(
    values: NDArray[np.integer], scale: ArrayLike, zero_point: ArrayLike
) -> NDArray[np.float32]:
    """Return the real values ``scale * (a - zero_point)`` of an output tensor.

    Args:
        values: Decoded activation integers ``a`` [rows, ...]; for a plain tensor the codes.
        scale: Real value of one step: one number, or one per row [rows], all above 0.
        zero_point: Integer of real zero: one number, or one per row [rows].

    Returns:
        float32 of the same shape; computed in float64, rounded once.

    Raises:
        GraphError: The values are not integers, or scale or zero point do not fit the rows.
    """
    if not np.issubdtype(values.dtype, np.integer):
        raise GraphError(f"output values are {values.dtype}; dequantization needs integers")
    steps = _per_row(np.asarray(scale, dtype=np.float64), values, "scale")
    zeros = _per_row(np.asarray(zero_point, dtype=np.float64), values, "zero point")
    if not (np.isfinite(steps).all() and (steps > 0).all()):
        raise GraphError("output scale must be finite and above 0 in every row; quantize again")
    return np.asarray(steps * (values.astype(np.float64) - zeros), dtype=np.float32)


def gather_scales(
    outputs: Mapping[str, NDArray[np.floating]], spec: HostSpec
) -> tuple[NDArray[np.float32], ...]:
    """Concatenate the named output tensors into one raw map per scale, as ``spec.outputs`` says.

    Args:
        outputs: Real values by output name, each [rows, grid height, grid width].
        spec: Names of the output tensors of each scale.

    Returns:
        Per scale, float32 [rows, grid height, grid width].

    Raises:
        GraphError: A named output is missing, or its grid differs from its neighbours'.
    """
    maps = []
    for names in spec.outputs:
        missing = [name for name in names if name not in outputs]
        if missing or not names:
            raise GraphError(
                f"host spec reads outputs {list(names)}; the network gave {sorted(outputs)}"
            )
        parts = [outputs[name] for name in names]
        grids = {part.shape[1:] for part in parts}
        if len(grids) > 1 or parts[0].ndim != 3:
            shapes = ", ".join(f"'{n}' {list(outputs[n].shape)}" for n in names)
            raise GraphError(f"outputs of one scale must be [rows, h, w] on one grid, not {shapes}")
        maps.append(np.concatenate(parts).astype(np.float32, copy=False))
    return tuple(maps)


def detect(
    outputs: Mapping[str, NDArray[np.floating]],
    spec: HostSpec,
    placement: Placement,
    settings: NmsSettings | None = None,
    score_form: ScoreForm = "logits",
) -> Detections:
    """Turn one image's real-valued outputs into detections on the original image.

    The same function serves float, fake-quantized and integer networks. Boxes are clipped to the
    image; one that lies wholly in the border has no area left and is dropped.

    Args:
        outputs: Real values by output name, each [rows, grid height, grid width].
        spec: Decode kind, strides, anchors, class names and the outputs of each scale.
        placement: Where ``letterbox`` put the image.
        settings: Suppression thresholds; None means those that accuracy is measured with.
        score_form: Form of the objectness and class rows, see ``ScoreForm``.

    Returns:
        The detections, best first.

    Raises:
        UnsupportedLayerError: ``spec.decode`` has no boxes.
        GraphError: The outputs do not fit the spec.
    """
    settings = settings or NmsSettings()
    maps = gather_scales(outputs, spec)
    kept = suppress(decode_boxes(maps, spec, settings.confidence, score_form), settings)
    limits = np.array([placement.width, placement.height] * 2, dtype=np.float32)
    boxes = np.clip(placement.to_original(kept.boxes), np.float32(0), limits)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes[inside], kept.scores[inside], kept.classes[inside])


def _per_row(
    parameter: NDArray[np.float64], values: NDArray[np.integer], what: str
) -> NDArray[np.float64]:
    """Shape a number or a [rows] array so that it broadcasts along the values' first axis."""
    if parameter.ndim == 0:
        return parameter
    if parameter.shape != values.shape[:1]:
        raise GraphError(
            f"output {what} has shape {list(parameter.shape)} for {list(values.shape)} values; "
            "need one number or one per row"
        )
    return parameter.reshape(-1, *[1] * (values.ndim - 1))

# SPDX-License-Identifier: Apache-2.0
"""Generated detection data: drawn images of simple shapes with exact boxes (numpy and cv2 only).

Sample ``index`` of stream ``seed`` is a pure function of both and of the size. The three streams
below never share a sample.
"""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from quant.errors import InputFileError, QuantizationError

Image = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

CLASS_NAMES = ("circle", "square", "triangle", "star", "ring", "cross")
TRAIN_SEED = 1
CALIBRATION_SEED = 2
HELD_OUT_SEED = 3
CALIBRATION_COUNT = 64
HELD_OUT_COUNT = 500
DEFAULT_SIZE = (160, 160)

MAX_OBJECTS = 6
SMALLEST_PX = 10.0
LARGEST_PX = 80.0
MIN_VISIBLE = 0.6  # share of an object that later ones must leave visible
MIN_CONTRAST = 70.0  # Euclidean RGB distance between an object and what it covers
_SUBPIXEL_BITS = 4


def shapes_sample(
    seed: int, index: int, size: tuple[int, int] = DEFAULT_SIZE
) -> tuple[Image, Boxes, npt.NDArray[np.int64]]:
    """Draw one labelled image.

    Args:
        seed: Stream: ``TRAIN_SEED``, ``CALIBRATION_SEED``, ``HELD_OUT_SEED`` or any other >= 0.
        index: Number of the sample in the stream, >= 0.
        size: (height, width) in pixels, each at least 96.

    Returns:
        The image, uint8 [H, W, 3] RGB; the boxes, float32 [n, 4] as x1, y1, x2, y2 in pixels
        around the visible part of each object, 1 <= n <= 6; the classes, int64 [n], indices into
        ``CLASS_NAMES``.

    Raises:
        QuantizationError: The size is below 96 pixels.
    """
    if min(size) < LARGEST_PX * 1.2:
        raise QuantizationError(
            f"shapes of size {size[0]}x{size[1]} would not hold an object of {LARGEST_PX:.0f} "
            "pixels; limit 96x96"
        )
    rng = np.random.default_rng((seed, index))
    canvas = _background(rng, size)
    masks: list[Image] = []
    classes: list[int] = []
    wanted = int(rng.integers(1, MAX_OBJECTS + 1))
    attempts = 0
    while len(masks) < wanted and (attempts < 4 * wanted or not masks):
        attempts += 1
        kind = int(rng.integers(len(CLASS_NAMES)))
        mask = _object_mask(rng, kind, size)
        if all(_share_left(old, mask) >= MIN_VISIBLE for old in masks):
            masks = [cv2.bitwise_and(old, cv2.bitwise_not(mask)) for old in masks]
            masks.append(mask)
            classes.append(kind)
            _paint(rng, canvas, mask)
    noise = rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.uniform(0.0, 8.0))
    image = np.clip(canvas + noise, 0, 255).astype(np.uint8)
    boxes = np.array([_box(mask) for mask in masks], np.float32)
    return image, boxes, np.array(classes, np.int64)


def write_shapes(
    directory: Path, count: int, seed: int, size: tuple[int, int] = DEFAULT_SIZE
) -> Path:
    """Write samples 0 to ``count - 1`` as PNG files with COCO annotations.

    Args:
        directory: Folder to fill; made where absent.
        count: Number of images, >= 1.
        seed: Stream of ``shapes_sample``.
        size: (height, width) in pixels.

    Returns:
        Path of ``instances.json`` in the folder; category ids are class index + 1.

    Raises:
        QuantizationError: The count is below 1.
        InputFileError: A file cannot be written.
    """
    if count < 1:
        raise QuantizationError(f"shapes count {count} must be at least 1")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image, boxes, classes = shapes_sample(seed, index, size)
            name = f"{index:06d}.png"
            _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            (directory / name).write_bytes(data.tobytes())
            images.append({"id": index + 1, "file_name": name, "height": size[0], "width": size[1]})
            for (x1, y1, x2, y2), kind in zip(boxes.tolist(), classes.tolist(), strict=True):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": index + 1,
                        "category_id": kind + 1,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASS_NAMES)]
        value = {"images": images, "annotations": annotations, "categories": categories}
        target = directory / "instances.json"
        beside = directory / "instances.json.part"
        beside.write_text(json.dumps(value))
        beside.replace(target)
    except OSError as error:
        raise InputFileError(
            f"cannot write shapes to {directory}: {error.strerror}; choose another folder"
        ) from None
    return target


def _background(rng: np.random.Generator, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return a float32 [H, W, 3] canvas: plain, gradient or blotches, with clutter lines."""
    height, width = size
    first, second = rng.uniform(20, 235, (2, 3)).astype(np.float32)
    match int(rng.integers(3)):
        case 0:
            canvas = np.broadcast_to(first, (height, width, 3)).copy()
        case 1:
            angle = rng.uniform(0, 2 * math.pi)
            yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
            t = (xx / width - 0.5) * math.cos(angle) + (yy / height - 0.5) * math.sin(angle)
            canvas = first + (second - first) * np.clip(t + 0.5, 0, 1)[:, :, None]
        case _:
            cells = int(rng.integers(3, 12))
            coarse = first + rng.normal(0, 30, (cells, cells, 3)).astype(np.float32)
            canvas = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = np.ascontiguousarray(np.clip(canvas, 0, 255), np.float32)
    for _ in range(int(rng.integers(0, 8))):
        a, b = rng.integers(0, (width, height), (2, 2))
        colour = tuple(float(v) for v in rng.uniform(0, 255, 3))
        thickness = int(rng.integers(1, 3))
        cv2.line(canvas, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), colour, thickness)
    return canvas


def _object_mask(rng: np.random.Generator, kind: int, size: tuple[int, int]) -> Image:
    """Return the uint8 [H, W] mask (0 or 255) of one object that lies inside the image."""
    extent = math.exp(rng.uniform(math.log(SMALLEST_PX), math.log(LARGEST_PX)))
    turn = rng.uniform(0, 2 * math.pi)
    stretch = math.exp(rng.uniform(-0.2, 0.2))
    outline = _outline(kind)
    hole = outline * rng.uniform(0.45, 0.65)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    points = outline @ rotation.T * (stretch, 1 / stretch)
    scale = extent / (points.max(axis=0) - points.min(axis=0)).max()
    low, high = points.min(axis=0) * scale, points.max(axis=0) * scale
    limit = np.array((size[1], size[0]), np.float64)
    centre = rng.uniform(1 - low, limit - 2 - high)
    mask = np.zeros(size, np.uint8)
    _fill(mask, points * scale + centre, 255)
    if CLASS_NAMES[kind] == "ring":
        _fill(mask, hole @ rotation.T * (stretch, 1 / stretch) * scale + centre, 0)
    return mask


def _outline(kind: int) -> Points:
    """Return the outline of a class around the origin, float64 [n, 2]."""
    match CLASS_NAMES[kind]:
        case "circle" | "ring":
            return _regular(32, (1.0,))
        case "square":
            return _regular(4, (1.0,))
        case "triangle":
            return _regular(3, (1.0,))
        case "star":
            return _regular(10, (1.0, 0.42))
        case _:
            a, b = 1.0, 0.33
            quarter = [(b, b), (b, a), (-b, a)]
            return np.array(
                [_quarter_turns(point, turns) for turns in range(4) for point in quarter]
            )


def _regular(corners: int, radii: tuple[float, ...]) -> Points:
    angles = 2 * math.pi * np.arange(corners) / corners
    radius = np.resize(np.array(radii), corners)
    return np.stack((radius * np.cos(angles), radius * np.sin(angles)), axis=1)


def _quarter_turns(point: tuple[float, float], turns: int) -> tuple[float, float]:
    x, y = point
    for _ in range(turns):
        x, y = -y, x
    return x, y


def _fill(mask: Image, points: Points, value: int) -> None:
    fixed = np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], value, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)


def _share_left(old: Image, new: Image) -> float:
    """Return which share of the visible part of ``old`` stays visible under ``new``."""
    return 1.0 - cv2.countNonZero(cv2.bitwise_and(old, new)) / max(1, cv2.countNonZero(old))


def _paint(rng: np.random.Generator, canvas: npt.NDArray[np.float32], mask: Image) -> None:
    """Paint the mask in a colour that differs from what it covers, with soft edges."""
    inside = np.array(cv2.mean(canvas, mask)[:3])
    colour = rng.uniform(0, 255, 3)
    while float(np.linalg.norm(colour - inside)) < MIN_CONTRAST:
        colour = rng.uniform(0, 255, 3)
    alpha = cv2.GaussianBlur(mask, (3, 3), 0.6).astype(np.float32)[:, :, None] / 255.0
    canvas += alpha * (colour.astype(np.float32) - canvas)


def _box(mask: Image) -> tuple[float, float, float, float]:
    x, y, width, height = cv2.boundingRect(mask)
    return float(x), float(y), float(x + width), float(y + height)

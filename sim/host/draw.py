# SPDX-License-Identifier: Apache-2.0
"""Pictures of detections: boxes with class names, several results side by side."""

import colorsys
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quant.errors import InputFileError
from sim.host.detector import Detections

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
# Successive hues a golden ratio apart: neighbouring class indices never look alike.
_HUE_STEP = 0.618033988749895


LEAST_SIDE_PX = 480


def enlarge(
    image: NDArray[np.uint8], detections: Detections, least_px: int = LEAST_SIDE_PX
) -> tuple[NDArray[np.uint8], Detections]:
    """Repeat the pixels of a small image so that labels have room, and scale its boxes along.

    Args:
        image: uint8 [height, width, 3].
        detections: Boxes in the image's pixels.
        least_px: The longer side comes to at least this many pixels.

    Returns:
        Image and detections, both larger by the same whole factor (1 leaves them as they are).
    """
    factor = max(1, -(-least_px // max(image.shape[:2])))
    larger = image.repeat(factor, axis=0).repeat(factor, axis=1)
    boxes = detections.boxes * np.float32(factor)
    return larger, Detections(boxes, detections.scores, detections.classes)


def draw_detections(
    image: NDArray[np.uint8], detections: Detections, class_names: Sequence[str]
) -> NDArray[np.uint8]:
    """Draw boxes with class name and score in percent onto a copy of an image.

    Args:
        image: uint8 [height, width, 3], order blue, green, red.
        detections: Boxes in the image's pixels; the best is drawn last, on top.
        class_names: Name of each class index.

    Returns:
        The picture, same shape and type.
    """
    picture = np.ascontiguousarray(image).copy()
    thick = max(1, round(max(picture.shape[:2]) / 400))
    scale = max(0.4, max(picture.shape[:2]) / 1300)
    for i in reversed(range(len(detections))):
        label = int(detections.classes[i])
        color = _color(label)
        x1, y1, x2, y2 = (round(float(v)) for v in detections.boxes[i])
        cv2.rectangle(picture, (x1, y1), (x2, y2), color, thick)
        text = f"{class_names[label]} {100 * float(detections.scores[i]):.0f}%"
        _tag(picture, text, (x1, y1), color, scale)
    return picture


def side_by_side(
    pictures: Sequence[tuple[str, NDArray[np.uint8]]],
) -> NDArray[np.uint8]:
    """Put titled pictures of one size next to each other, as float and integer results.

    Args:
        pictures: Title and uint8 [height, width, 3] picture, at least one, all of one shape.

    Returns:
        uint8 [height + title bar, sum of widths + gaps, 3].

    Raises:
        InputFileError: There is no picture or the shapes differ.
    """
    shapes = {picture.shape for _, picture in pictures}
    if len(shapes) != 1:
        raise InputFileError(f"pictures side by side have {len(shapes)} sizes; need exactly one")
    height, width, _ = next(iter(shapes))
    scale = max(0.4, width / 900)
    bar = round(36 * scale)
    gap = np.full((height + bar, max(2, width // 160), 3), 255, dtype=np.uint8)
    columns: list[NDArray[np.uint8]] = []
    for title, picture in pictures:
        titled = np.full((height + bar, width, 3), 255, dtype=np.uint8)
        titled[bar:] = picture
        at = (round(8 * scale), round(25 * scale))
        cv2.putText(titled, title, at, _FONT, scale, _BLACK, max(1, round(scale)), cv2.LINE_AA)
        columns += [titled, gap]
    return np.concatenate(columns[:-1], axis=1)


def save_png(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture as PNG; the file appears complete or not at all.

    Args:
        picture: uint8 [height, width, 3], order blue, green, red.
        path: Where to write; an existing file is replaced.

    Raises:
        InputFileError: The name does not end in ``.png``, or the folder cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise InputFileError(f"picture {path} must end in .png; choose such a name")
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(encoded)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputFileError(
            f"picture {path} cannot be written: {error.strerror}; choose a writable folder"
        ) from None


def _color(label: int) -> tuple[int, int, int]:
    """Return a class's fixed colour (blue, green, red)."""
    red, green, blue = colorsys.hsv_to_rgb(label * _HUE_STEP % 1, 0.85, 0.9)
    return round(255 * blue), round(255 * green), round(255 * red)


def _tag(
    picture: NDArray[np.uint8],
    text: str,
    corner: tuple[int, int],
    color: tuple[int, int, int],
    scale: float,
) -> None:
    """Write a label in a filled bar above a corner, or below it where the image ends."""
    (wide, high), base = cv2.getTextSize(text, _FONT, scale, 1)
    x = max(0, min(corner[0], picture.shape[1] - wide))
    y = corner[1] if corner[1] >= high + base else corner[1] + high + base
    cv2.rectangle(picture, (x, y - high - base), (x + wide, y), color, cv2.FILLED)
    bright = 0.114 * color[0] + 0.587 * color[1] + 0.299 * color[2] > 140
    ink = _BLACK if bright else _WHITE
    cv2.putText(picture, text, (x, y - base // 2 - 1), _FONT, scale, ink, 1, cv2.LINE_AA)

# SPDX-License-Identifier: Apache-2.0
"""From an image of any size to the network's input: letterbox, normalise, quantize.

Source: the validation loader of YOLOv5, YOLOv6 and YOLOv7 (centred, grey border; area
interpolation when it shrinks) and of YOLOX (top left, always bilinear).
"""

import math
from dataclasses import dataclass
from typing import TypeVar, assert_never

import cv2
import numpy as np
from numpy.typing import NDArray

from quant.errors import GraphError, InputFileError
from quant.hostspec import HostSpec

_T = TypeVar("_T", np.uint8, np.float32)


@dataclass(frozen=True)
class Placement:
    """Where an image went on the canvas, so that boxes can be mapped back.

    ``canvas = original * scale + pad``, per axis, in continuous pixel coordinates (pixel ``i``
    covers ``[i, i + 1)``).

    Attributes:
        scale_x: Width on the canvas divided by the original width.
        scale_y: Height on the canvas divided by the original height; differs from ``scale_x`` by
            the rounding to whole pixels, or freely with ``squash``.
        pad_x: Canvas columns left of the image.
        pad_y: Canvas rows above the image.
        width: Original width in pixels.
        height: Original height in pixels.
    """

    scale_x: float
    scale_y: float
    pad_x: int
    pad_y: int
    width: int
    height: int

    def to_canvas(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map boxes [n, 4] (x1, y1, x2, y2) from original pixels to canvas pixels, float32."""
        return (boxes.astype(np.float64) * self._scales() + self._pads()).astype(np.float32)

    def to_original(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map boxes [n, 4] (x1, y1, x2, y2) from canvas pixels to original pixels, float32.

        The result is not clipped to the image.
        """
        return ((boxes.astype(np.float64) - self._pads()) / self._scales()).astype(np.float32)

    def _scales(self) -> NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y] * 2, dtype=np.float64)

    def _pads(self) -> NDArray[np.float64]:
        return np.array([self.pad_x, self.pad_y] * 2, dtype=np.float64)


def letterbox(image: NDArray[np.uint8], spec: HostSpec) -> tuple[NDArray[np.uint8], Placement]:
    """Resize an image onto the network's canvas.

    ``center`` and ``top_left`` keep the aspect ratio: both axes use the smaller of the two size
    ratios, and ``spec.pad_value`` fills the rest. With ``center``, sizes round half up to whole
    pixels, and an odd rest has its extra line at the bottom or right; with ``top_left``, sizes are
    cut to whole pixels, as YOLOX was trained and measured. ``squash`` fills the canvas.
    Interpolation is bilinear, but averages areas where ``center`` shrinks, and is skipped when the
    size already fits: each as the networks of that placement were measured.

    Args:
        image: uint8 [height, width, 3], channel order blue, green, red (as ``read_image`` gives).
        spec: Canvas size, place, border value and channel order.

    Returns:
        The canvas, uint8 [spec.height, spec.width, 3] in ``spec.channel_order``, and the placement.

    Raises:
        InputFileError: The array is not a three-channel byte image.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputFileError(
            f"image array is {image.dtype} {list(image.shape)}; need uint8 [height, width, 3]"
        )
    height, width = image.shape[:2]
    new_w, new_h, pad_x, pad_y = _place(width, height, spec)
    if (new_w, new_h) != (width, height):
        shrinks = new_w < width or new_h < height
        averaged = spec.place == "center" and shrinks
        interpolation = cv2.INTER_AREA if averaged else cv2.INTER_LINEAR
        image = cv2.resize(image, (new_w, new_h), interpolation=interpolation)
    canvas = np.full((spec.height, spec.width, 3), spec.pad_value, dtype=np.uint8)
    inside = canvas[pad_y : pad_y + new_h, pad_x : pad_x + new_w]
    inside[...] = image[:, :, ::-1] if spec.channel_order == "rgb" else image
    return canvas, Placement(new_w / width, new_h / height, pad_x, pad_y, width, height)


def normalise(canvas: NDArray[np.uint8], spec: HostSpec) -> NDArray[np.float32]:
    """Return what the float network sees: ``(byte - mean) / std`` per channel.

    Args:
        canvas: uint8 [spec.height, spec.width, 3] in ``spec.channel_order``.
        spec: Size, mean and deviation (byte units).

    Returns:
        float32 [3, spec.height, spec.width]; each value computed in float64, then rounded.

    Raises:
        GraphError: The canvas has another shape or type than the spec says.
    """
    _check_canvas(canvas, spec)
    return _look_up(canvas, _normalised_bytes(spec).astype(np.float32))


def input_codes(
    canvas: NDArray[np.uint8], spec: HostSpec, scale: float, zero_point: int, bits: int = 8
) -> NDArray[np.uint8]:
    """Return the integer graph's input: ``clip(round(norm(x) / scale) + zero_point)``.

    Rounding is half up, ``floor(v + 0.5)`` in float64, and the clip is to ``0 .. 2**bits - 1``.
    With mean 0, std 255, scale 1/255 and zero point 0 the code is the byte itself.

    Args:
        canvas: uint8 [spec.height, spec.width, 3] in ``spec.channel_order``.
        spec: Size, mean and deviation (byte units).
        scale: Real value of one code step of the input tensor, above 0.
        zero_point: Code of real zero, ``0 .. 2**bits - 1``.
        bits: Bits of an input code, 1 to 8.

    Returns:
        Codes, uint8 [3, spec.height, spec.width].

    Raises:
        GraphError: The canvas, scale, zero point or width is outside the ranges above.
    """
    _check_canvas(canvas, spec)
    if not 1 <= bits <= 8:
        raise GraphError(f"input width {bits} bits is outside 1..8; the input tensor has 8")
    top = (1 << bits) - 1
    if not (math.isfinite(scale) and scale > 0):
        raise GraphError(f"input scale {scale} must be finite and above 0; quantize again")
    if not 0 <= zero_point <= top:
        raise GraphError(f"input zero point {zero_point} is outside 0..{top}; quantize again")
    codes = np.floor(_normalised_bytes(spec) / scale + 0.5) + zero_point
    return _look_up(canvas, np.clip(codes, 0, top).astype(np.uint8))


def _place(width: int, height: int, spec: HostSpec) -> tuple[int, int, int, int]:
    """Return the resized width and height and the columns and rows before the image."""
    if spec.place == "squash":
        return spec.width, spec.height, 0, 0
    ratio = min(spec.width / width, spec.height / height)
    rounding = 0.0 if spec.place == "top_left" else 0.5
    new_w = min(max(math.floor(width * ratio + rounding), 1), spec.width)
    new_h = min(max(math.floor(height * ratio + rounding), 1), spec.height)
    match spec.place:
        case "center":
            return new_w, new_h, (spec.width - new_w) // 2, (spec.height - new_h) // 2
        case "top_left":
            return new_w, new_h, 0, 0
        case _:
            assert_never(spec.place)


def _check_canvas(canvas: NDArray[np.uint8], spec: HostSpec) -> None:
    want = (spec.height, spec.width, 3)
    if canvas.shape != want or canvas.dtype != np.uint8:
        raise GraphError(
            f"canvas is {canvas.dtype} {list(canvas.shape)}, the host spec needs uint8 "
            f"{list(want)}; letterbox the image first"
        )


def _normalised_bytes(spec: HostSpec) -> NDArray[np.float64]:
    """Return the normalised value of every byte, float64 [3, 256]: 768 results say it all."""
    levels = np.arange(256, dtype=np.float64)
    mean = np.array(spec.mean, dtype=np.float64)[:, None]
    std = np.array(spec.std, dtype=np.float64)[:, None]
    return np.asarray((levels - mean) / std, dtype=np.float64)


def _look_up(canvas: NDArray[np.uint8], table: NDArray[_T]) -> NDArray[_T]:
    """Replace every byte of channel ``c`` by ``table[c, byte]``; HWC in, CHW out."""
    planes = np.empty((3, *canvas.shape[:2]), dtype=table.dtype)
    for channel in range(3):
        np.take(table[channel], canvas[:, :, channel], out=planes[channel], mode="clip")
    return planes

# SPDX-License-Identifier: Apache-2.0
"""Seeded random images: a calibration that needs no files, and promises no accuracy."""

import numpy as np
import numpy.typing as npt

RANDOM_SEED = 1405
# Small inputs need more images for the same statistics; large ones would take long.
_PIXELS = 2 * 640 * 640
_FEWEST, _MOST = 2, 16
# White noise alone averages out behind the first large kernels: coarser squares keep deep layers
# as lively as an image does.
_SQUARES = (1, 4, 16, 64)


def random_count(size: tuple[int, int]) -> int:
    """Return how many random images calibrate a network of that input (height, width)."""
    return min(max(_PIXELS // (size[0] * size[1]), _FEWEST), _MOST)


def random_image(
    index: int, size: tuple[int, int], seed: int = RANDOM_SEED
) -> npt.NDArray[np.uint8]:
    """Return a sum of random squares of several sizes, stretched to the full byte range.

    Args:
        index: Number of the image; every image has its own stream.
        size: (height, width) in pixels.
        seed: Of all images.

    Returns:
        uint8 [height, width, 3], 0..255.
    """
    rng = np.random.default_rng((seed, index))
    height, width = size
    total = np.zeros((height, width, 3))
    for square in _SQUARES:
        rows, columns = -(-height // square), -(-width // square)
        coarse = rng.random((rows, columns, 3))
        total += coarse.repeat(square, 0).repeat(square, 1)[:height, :width]
    low, high = total.min(), total.max()
    stretched = (total - low) / max(high - low, 1e-9) * 255.0
    return np.asarray(np.floor(stretched + 0.5), np.uint8)

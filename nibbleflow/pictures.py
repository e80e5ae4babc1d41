# SPDX-License-Identifier: Apache-2.0
"""Where the images of a verb come from: folders, random numbers, or the built-in shapes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from nibbleflow.folders import RANDOM, is_random
from quant.errors import InputFileError
from quant.hostspec import HostSpec
from quant.zoo.random_images import RANDOM_SEED, random_count, random_image
from quant.zoo.shapes import CALIBRATION_COUNT, CALIBRATION_SEED, shapes_sample
from sim.host import letterbox, list_images, read_image

Pixels = npt.NDArray[np.uint8]


class Pictures:
    """Images that are read one by one, in a fixed order.

    Args:
        folders: Folders or single files; ``random`` or ``random:N`` alone means seeded random
            images; empty means the built-in calibration shapes.
        limit: Largest number of images, or ``None`` for all.
        size: (height, width) of generated images.

    Raises:
        InputFileError: A folder has no image, or a number is out of range.
    """

    def __init__(
        self, folders: Sequence[str | Path], limit: int | None, size: tuple[int, int]
    ) -> None:
        if limit is not None and limit < 1:
            raise InputFileError(f"--limit {limit} must be at least 1")
        self._paths: list[Path] = []
        self._make: Callable[[int], Pixels] = lambda index: _shapes(index, size)
        self._generated = 0 if folders else CALIBRATION_COUNT
        self._random = any(is_random(folder) for folder in folders)
        if self._random:
            self._generated = _asked_count(folders) or random_count(size)
            self._make = lambda index: random_image(index, size)
        else:
            for folder in folders:
                path = Path(folder)
                self._paths.extend([path] if path.is_file() else list_images(path))
        self._limit = limit

    def __len__(self) -> int:
        """Return the number of images."""
        count = len(self._paths) or self._generated
        return count if self._limit is None else min(count, self._limit)

    def __iter__(self) -> Iterator[Pixels]:
        """Yield uint8 [height, width, 3] images, channel order blue, green, red."""
        for index in range(len(self)):
            yield read_image(self._paths[index]) if self._paths else self._make(index)

    @property
    def random_seed(self) -> int | None:
        """Seed of the random images; ``None`` when they are not random."""
        return RANDOM_SEED if self._random else None

    def canvases(self, host: HostSpec) -> Iterator[Pixels]:
        """Yield the letterboxed images, uint8 [H, W, 3] in the host's channel order."""
        for image in self:
            yield letterbox(image, host)[0]


def load_frames(path: Path) -> Pixels:
    """Read the frames kept by ``quantize``, uint8 [n, H, W, 3].

    Raises:
        InputFileError: The file is missing or damaged.
    """
    try:
        frames = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputFileError(f"{path} cannot be read ({error}); quantize again") from None
    if frames.dtype != np.uint8 or frames.ndim != 4 or not frames.size:
        raise InputFileError(f"{path} holds {frames.dtype} {frames.shape}; quantize again")
    return np.asarray(frames)


def _shapes(index: int, size: tuple[int, int]) -> Pixels:
    image, _, _ = shapes_sample(CALIBRATION_SEED, index, size)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)


def _asked_count(folders: Sequence[str | Path]) -> int | None:
    """Return the number of random images that the one ``--calib`` value asks for."""
    if len(folders) > 1:
        raise InputFileError(
            f"--calib {RANDOM} stands alone, not beside {len(folders) - 1} other; choose random "
            "images or folders"
        )
    _, colon, count = str(folders[0]).partition(":")
    if not colon:
        return None
    if not count.isdecimal() or int(count) < 1:
        raise InputFileError(f"--calib {folders[0]} is not {RANDOM}:N with N at least 1")
    return int(count)

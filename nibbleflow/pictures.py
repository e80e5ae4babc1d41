# SPDX-License-Identifier: Apache-2.0
"""Where the images of a verb come from: folders, or the built-in shapes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from quant.errors import InputFileError
from quant.hostspec import HostSpec
from quant.zoo.shapes import CALIBRATION_COUNT, CALIBRATION_SEED, shapes_sample
from sim.host import letterbox, list_images, read_image

Pixels = npt.NDArray[np.uint8]


class Pictures:
    """Images that are read one by one, in a fixed order.

    Args:
        folders: Folders or single files; empty means the built-in calibration shapes.
        limit: Largest number of images, or ``None`` for all.
        size: (height, width) of generated shapes.
    """

    def __init__(
        self, folders: Sequence[str | Path], limit: int | None, size: tuple[int, int]
    ) -> None:
        if limit is not None and limit < 1:
            raise InputFileError(f"--limit {limit} must be at least 1")
        self._paths: list[Path] = []
        for folder in folders:
            path = Path(folder)
            self._paths.extend([path] if path.is_file() else list_images(path))
        self._generated = 0 if folders else CALIBRATION_COUNT
        self._limit = limit
        self._size = size

    def __len__(self) -> int:
        """Return the number of images."""
        count = len(self._paths) or self._generated
        return count if self._limit is None else min(count, self._limit)

    def __iter__(self) -> Iterator[Pixels]:
        """Yield uint8 [height, width, 3] images, channel order blue, green, red."""
        for index in range(len(self)):
            if self._paths:
                yield read_image(self._paths[index])
            else:
                image, _, _ = shapes_sample(CALIBRATION_SEED, index, self._size)
                yield np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)

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
    if frames.dtype != np.uint8 or frames.ndim != 4:
        raise InputFileError(f"{path} holds {frames.dtype} {frames.shape}; quantize again")
    return np.asarray(frames)

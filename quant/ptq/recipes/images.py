# SPDX-License-Identifier: Apache-2.0
"""Calibration images kept as input codes, so that stages can read them again and again."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant.errors import QuantizationError
from quant.formats import TensorFormat

Codes = npt.NDArray[np.uint8]


class ImageCodes:
    """Images as 8-bit input codes; on disk where a folder is given, else in memory."""

    def __init__(self, fmt: TensorFormat, folder: Path | None) -> None:
        """Prepare an empty store.

        Args:
            fmt: Format of the network's input, 8 bits.
            folder: Where to keep the codes, or ``None``.
        """
        self._format = fmt
        self._file = None if folder is None else folder / "images.bin"
        self._kept: list[Codes] = []
        self._shape: tuple[int, ...] = ()
        self._count = 0
        self._codes: Codes | None = None
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.unlink(missing_ok=True)

    def add(self, images: npt.NDArray[np.float32]) -> None:
        """Keep a batch, float32 [N, C, H, W], normalised."""
        codes = input_codes(images, self._format)
        self._shape = codes.shape[1:]
        self._count += len(codes)
        if self._file is None:
            self._kept.append(codes)
            return
        with self._file.open("ab") as file:
            file.write(codes.tobytes())

    def __len__(self) -> int:
        """Return the number of images."""
        return self._count

    @property
    def codes(self) -> Codes:
        """All images, uint8 [N, C, H, W]; a view of the file where there is one.

        Raises:
            QuantizationError: No image was kept.
        """
        if not self._count:
            raise QuantizationError("a recipe has seen no image; give at least one")
        if self._codes is None:
            shape = (self._count, *self._shape)
            if self._file is None:
                self._codes = np.concatenate(self._kept)
            else:
                self._codes = np.memmap(self._file, np.uint8, "r", shape=shape)
        return self._codes

    def real(self, codes: Codes) -> npt.NDArray[np.float32]:
        """Return the real values of codes, float32 of the same shape."""
        steps = codes.astype(np.float32) - np.float32(self._format.zero_point)
        return np.asarray(steps * np.float32(self._format.scale), np.float32)


def input_codes(images: npt.NDArray[np.float32], fmt: TensorFormat) -> Codes:
    """Return the input codes of normalised images: nearest code, half up, clipped."""
    codes = np.floor(images.astype(np.float64) / fmt.scale + fmt.zero_point + 0.5)
    return np.clip(codes, 0, 255).astype(np.uint8)

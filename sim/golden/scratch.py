# SPDX-License-Identifier: Apache-2.0
"""Reused work memory: fresh pages for every block would cost more time than the arithmetic."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt


class Scratch:
    """Named buffers that grow and are handed out again; contents are undefined.

    One evaluation at a time may use it.
    """

    def __init__(self) -> None:
        """Start without memory."""
        self._buffers: dict[str, npt.NDArray[np.uint8]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an uninitialised C-contiguous array; it is valid until ``name`` is taken again."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size, np.uint8)
        return buffer[:size].view(dtype).reshape(shape)

# SPDX-License-Identifier: Apache-2.0
"""Streams of beats between HLS kernels."""

from dataclasses import dataclass

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Stream:
    """Codes of one tensor in stream order: row, pixel, channel group (fastest).

    Attributes:
        shape: (C, H, W) of a frame.
        lanes: Channels of a beat; divides C.
        bits: Bits of a code.
    """

    shape: Shape
    lanes: int
    bits: int

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.shape[1] * self.shape[2]

    @property
    def folds(self) -> int:
        """Beats of a pixel."""
        return self.shape[0] // self.lanes

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return self.pixels * self.folds

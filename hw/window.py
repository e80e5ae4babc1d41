# SPDX-License-Identifier: Apache-2.0
"""Windows that slide over a plane: sizes of ``nf_window``, and what it needs and frees when."""

from dataclasses import dataclass

import numpy as np

from hw.process import Counts, Port
from quant.graph import conv_output_size


@dataclass(frozen=True)
class Window:
    """Geometry of one window generator; pixels are counted in stream order.

    Attributes:
        height: Input rows H.
        width: Input columns W.
        kernel: (KH, KW).
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right), each below the kernel; right may be anything that
            gives whole windows of several pixels side by side.
        beat_cycles: Cycles from one input beat to the next that the source never undercuts.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    beat_cycles: int = 1

    @property
    def out_height(self) -> int:
        """Rows of windows."""
        top, _, bottom, _ = self.padding
        return conv_output_size(self.height, top + bottom, self.kernel[0], self.stride[0])

    @property
    def out_width(self) -> int:
        """Windows of a row."""
        _, left, _, right = self.padding
        return conv_output_size(self.width, left + right, self.kernel[1], self.stride[1])

    @property
    def taps(self) -> int:
        """Positions of a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def buffer_pixels(self) -> int:
        """Pixels that the buffer holds: with fewer, windows wait; with more, none starts earlier.

        The span of one window (the whole plane when the kernel has more rows), and then

        - the columns that the next window needs while this one is read;
        - with one kernel row, where a line does not lean on the one before: all that the first
          window of a line needs beside what the last one of the line before still holds;
        - unless a window takes no longer than a beat takes to come: the rows that a vertical stride
          frees only at the end of a line.
        """
        (kh, kw), (sh, sw) = self.kernel, self.stride
        if kh > self.height:
            span = self.height * self.width
        else:
            span = (kh - 1) * self.width + min(kw, self.width)
        if kh == 1:
            left = self.padding[1]
            last_column = (self.out_width - 1) * sw - left
            turn = self.width - max(last_column, 0) + min(kw - left, self.width)
            return max(span + sw, turn)
        if self.taps <= self.beat_cycles:
            return span + sw
        return span + (min(kh, sh) - 1) * self.width + sw

    def counts(self) -> tuple[Counts, Counts]:
        """Return per window the pixels of the frame that it needs, and those free after it.

        Returns:
            Two int64 [out_height * out_width], neither falling.
        """
        (kh, kw), (sh, sw), (top, left, _, _) = self.kernel, self.stride, self.padding
        row = (np.arange(self.out_height, dtype=np.int64) * sh - top)[:, None]
        column = (np.arange(self.out_width, dtype=np.int64) * sw - left)[None, :]
        last_row = np.minimum(row + kh, self.height) - 1
        needed = last_row * self.width + np.minimum(column + kw, self.width)
        # A window of pad columns alone begins behind the last column.
        freed = np.maximum(row, 0) * self.width + np.clip(column + sw, 0, self.width)
        # While the next line of windows begins at the top row too, nothing is free.
        freed[:-1] *= row[:-1] + sh > 0
        freed[:-1, -1] = np.maximum(row[:-1, 0] + sh, 0) * self.width
        freed[-1, -1] = self.height * self.width
        # At the lower border a window may need less than an earlier one, which is there already.
        return np.maximum.accumulate(needed.reshape(-1)), np.maximum.accumulate(freed.reshape(-1))

    def port(self, folds: int, steps: int, pixels: int | None = None) -> Port:
        """Return the buffered input of a process that reads every window in ``steps`` steps.

        Every step waits for the last pixel of the window; the last one gives places back.

        Args:
            folds: Input beats of one pixel.
            steps: Steps (output beats) of one window.
            pixels: Depth of the buffer; ``buffer_pixels`` when left out.
        """
        needed, freed = self.counts()
        held = np.repeat(np.concatenate(([0], freed[:-1]))[:, None], steps, axis=1)
        held[:, -1] = freed
        return Port(
            beats=self.height * self.width * folds,
            capacity=(self.buffer_pixels if pixels is None else pixels) * folds,
            needed=np.repeat(needed, steps) * folds,
            freed=held.reshape(-1) * folds,
        )

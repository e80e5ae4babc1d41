# SPDX-License-Identifier: Apache-2.0
"""Walk: in which order a kernel reads and writes its streams, step by step.

Every function here is the loop of a kernel in ``hls/include`` with the arithmetic left out, on the
same configuration. An iteration that neither reads nor writes is no step. No data changes the
order, and no kernel asks whether a stream is empty: a network of kernels is a Kahn network, and
whether it stands still depends on the depths of its streams alone, not on time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hls.kernel import Kernel
from quant.errors import PlanError
from quant.formats import frozen_array

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Constants = Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Walk:
    """Reads and writes of one process in a frame.

    Attributes:
        reads: bool [ports, steps]: whether a step reads a beat of a port.
        writes: bool [steps]: whether it then writes a beat, to every output.
        at: int64 [steps]: iteration of each step; each at least one behind the step before.
        iterations: Iterations of a frame.
    """

    reads: Bools
    writes: Bools
    at: Counts
    iterations: int

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        object.__setattr__(self, "reads", frozen_array(self.reads, np.bool_))
        object.__setattr__(self, "writes", frozen_array(self.writes, np.bool_))
        object.__setattr__(self, "at", frozen_array(self.at, np.int64))


def kernel_walks(kernel: Kernel) -> tuple[Walk, ...]:
    """Return the walks of a kernel's processes, each reading what the one before writes.

    All have one process but ``nf::maxpool``, which has two.

    Raises:
        PlanError: The kernel is none of ``hls/include``, or its walk does not fit its streams.
    """
    if kernel.function not in _WALKS:
        raise PlanError(f"kernel {kernel.function} has no walk; known are {', '.join(_WALKS)}")
    walks = _WALKS[kernel.function](kernel)
    reads = [int(count) for count in walks[0].reads.sum(axis=1)]
    if reads != [s.beats for s in kernel.inputs] or any(
        int(walks[-1].writes.sum()) != s.beats for s in kernel.outputs
    ):
        raise PlanError(
            f"the walk of kernel {kernel.function} reads {reads} beats and writes "
            f"{int(walks[-1].writes.sum())}, which are not those of its streams"
        )
    return walks


def _plain(reads: Bools, writes: Bools) -> tuple[Walk, ...]:
    """Return the walk of a loop whose every iteration reads or writes."""
    return (Walk(reads, writes, np.arange(writes.size), writes.size),)


def _beatwise(kernel: Kernel) -> tuple[Walk, ...]:
    """Every step reads a beat of every port and writes one."""
    beats = kernel.constants["beats"]
    return _plain(np.ones((len(kernel.inputs), beats), bool), np.ones(beats, bool))


def _conv(kernel: Kernel) -> tuple[Walk, ...]:
    c = kernel.constants
    channels, filters = c["in_channels"] // c["groups"], c["filters"] // c["groups"]
    depthwise = c["groups"] > 1 and channels == filters == 1
    lanes = c["pe"] if depthwise else c["simd"]
    words = 1 if depthwise else channels // c["simd"]
    return (_window_walk(c, c["in_channels"] // lanes, c["filters"] // c["pe"], words),)


def _avgpool(kernel: Kernel) -> tuple[Walk, ...]:
    folds = kernel.constants["channels"] // kernel.constants["pe"]
    return (_window_walk(kernel.constants, folds, folds, 1),)


def _maxpool(kernel: Kernel) -> tuple[Walk, ...]:
    """A pass along the rows, then one along the columns of the narrowed plane."""
    c = kernel.constants
    folds = c["channels"] // c["pe"]
    rows = {**c, "out_height": c["in_height"], "kernel_h": 1, "stride_h": 1, "pad_top": 0}
    columns = {**c, "in_width": c["out_width"], "kernel_w": 1, "stride_w": 1, "pad_left": 0}
    return _window_walk(rows, folds, folds, 1), _window_walk(columns, folds, folds, 1)


def _window_walk(c: Constants, pixel_words: int, folds: int, group_words: int) -> Walk:
    """Return the walk over the windows of ``nf_window.h``.

    Args:
        c: Configuration: sizes of planes, kernel, stride and padding.
        pixel_words: Beats of an input pixel.
        folds: Beats of an output pixel.
        group_words: Beats of an input pixel that one fold reads.
    """
    width, in_pixels = c["in_width"], c["in_height"] * c["in_width"]
    wanted = (c["kernel_h"] + c["stride_h"] - 2) * width + 2 * c["kernel_w"] + c["stride_w"]
    ring = min(wanted, in_pixels)
    words = c["kernel_h"] * c["kernel_w"] * group_words
    needed, limit = (pixels * pixel_words for pixels in _needed_and_limit(c, ring))
    # Words loaded before a window's first step, and of the window while it is computed.
    loaded, awaited, beside = 0, [], []
    for need, most in zip(needed.tolist(), limit.tolist(), strict=True):
        start = max(loaded, need)
        awaited.append(start - loaded)
        loaded = max(start, min(start + folds * words, most))
        beside.append(loaded - start)
    # A fold is some iterations that only read, then, at its end, one that writes, and reads too
    # while words still come in.
    reading = np.clip(np.array(beside)[:, None] - np.arange(folds) * words, 0, words)
    both = reading == words
    alone = reading - both
    alone[:, 0] += awaited
    spans = np.full(alone.shape, words)
    spans[:, 0] += awaited
    ends = np.cumsum(spans.reshape(-1))
    left = in_pixels * pixel_words - loaded
    steps = alone.reshape(-1) + 1
    last = np.cumsum(steps) - 1
    reads, writes = (
        np.ones(int(last[-1]) + 1 + left, bool),
        np.zeros(int(last[-1]) + 1 + left, bool),
    )
    reads[last] = both.reshape(-1)
    writes[last] = True
    at = np.arange(reads.size)
    at[: reads.size - left] += np.repeat(ends - spans.reshape(-1) - last + alone.reshape(-1), steps)
    at[last] = ends - 1
    at[reads.size - left :] += int(ends[-1]) - (reads.size - left)
    return Walk(reads[None], writes, at, int(ends[-1]) + left)


def _needed_and_limit(c: Constants, ring: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Return, per window, the pixels that it waits for and the most that fit beside it."""
    width, height = c["in_width"], c["in_height"]
    y = (np.arange(c["out_height"]) * c["stride_h"] - c["pad_top"])[:, None]
    x = (np.arange(c["out_width"]) * c["stride_w"] - c["pad_left"])[None, :]
    last_row = y + c["kernel_h"] - 1
    newest = np.minimum(last_row, height - 1) * width + np.clip(x + c["kernel_w"] - 1, 0, width - 1)
    oldest = y * width + np.clip(x, 0, width)
    needed = np.where(last_row < 0, 0, newest + 1)
    limit = np.full(oldest.shape, height * width)
    if ring < height * width:
        limit = np.clip(oldest + ring, 0, height * width)
    return needed.reshape(-1), limit.reshape(-1)


def _globalpool(kernel: Kernel) -> tuple[Walk, ...]:
    (source,), (output,) = kernel.inputs, kernel.outputs
    writes = np.zeros(source.beats, bool)
    writes[-output.beats :] = True
    return _plain(np.ones((1, source.beats), bool), writes)


def _concat(kernel: Kernel) -> tuple[Walk, ...]:
    folds = [source.folds for source in kernel.inputs]
    port = np.repeat(np.arange(len(folds)), folds)
    reads = np.tile(port == np.arange(len(folds))[:, None], kernel.constants["pixels"])
    return _plain(reads, np.ones(reads.shape[1], bool))


def _split(kernel: Kernel) -> tuple[Walk, ...]:
    c = kernel.constants
    word = np.arange(c["channels"] // c["pe"])
    kept = (word >= c["begin"] // c["pe"]) & (word < c["end"] // c["pe"])
    writes = np.tile(kept, c["pixels"])
    return _plain(np.ones((1, writes.size), bool), writes)


def _upsample(kernel: Kernel) -> tuple[Walk, ...]:
    c = kernel.constants
    reads = np.zeros(
        (c["in_height"], c["factor"], c["in_width"], c["factor"], c["channels"] // c["pe"]), bool
    )
    reads[:, 0, :, 0] = True
    return _plain(reads.reshape(1, -1), np.ones(reads.size, bool))


def _width(kernel: Kernel) -> tuple[Walk, ...]:
    """Nothing is held between pixels: both widths divide the channels."""
    c = kernel.constants
    reads, writes, fill, left = [], [], 0, c["channels"]
    while left:
        reads.append(fill < c["out_lanes"])
        fill += c["in_lanes"] * reads[-1]
        writes.append(fill >= c["out_lanes"])
        fill -= c["out_lanes"] * writes[-1]
        left -= c["out_lanes"] * writes[-1]
    return _plain(np.tile(reads, c["pixels"])[None], np.tile(writes, c["pixels"]))


_WALKS: Mapping[str, Callable[[Kernel], tuple[Walk, ...]]] = {
    "nf::conv": _conv,
    "nf::avgpool": _avgpool,
    "nf::globalpool": _globalpool,
    "nf::maxpool": _maxpool,
    "nf::add": _beatwise,
    "nf::retarget": _beatwise,
    "nf::lookup": _beatwise,
    "nf::fork": _beatwise,
    "nf::concat": _concat,
    "nf::split": _split,
    "nf::upsample": _upsample,
    "nf::width": _width,
}

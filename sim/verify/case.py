# SPDX-License-Identifier: Apache-2.0
"""What one convolution is verified on: real weights, real activations, two different frames."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv
from sim.golden import GoldenModel, run_conv

Codes = npt.NDArray[np.unsignedinteger]

FULL_SIZE = "full size"
LEAST_SIDE = 5
CANDIDATES = 8
FULL_SIZE_NODES = 3


@dataclass(frozen=True, eq=False)
class Case:
    """One convolution with its stimulus and the golden answer.

    Attributes:
        node: The convolution.
        source: Format of its input codes.
        label: ``full size`` or the size of the sub-map.
        frames: Input codes [N, C, h, w], N >= 2, all different.
        expected: Golden output codes [N, F, oh, ow].
        accumulators: Golden accumulators, int32 [N, F, oh, ow].
    """

    node: Conv
    source: TensorFormat
    label: str
    frames: Codes
    expected: Codes
    accumulators: npt.NDArray[np.int32]

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one frame."""
        _, c, h, w = self.frames.shape
        return c, h, w

    @property
    def saturated(self) -> int:
        """Number of expected values at the ends of the output codes."""
        requant = self.node.requant
        low, high = (
            (requant.low, requant.high)
            if self.node.table is None
            else (int(self.node.table.min()), int(self.node.table.max()))
        )
        return int(np.sum((self.expected == low) | (self.expected == high)))


def make_cases(
    graph: QGraph, nodes: Sequence[Conv], codes: Codes, *, full: Sequence[str], seed: int
) -> tuple[Case, ...]:
    """Cut a case for every convolution out of a golden run.

    Args:
        graph: The integer graph.
        nodes: Convolutions to verify.
        codes: Input codes of real images, uint8 [N, C, H, W]; one image is joined by its mirror
            image, and an image equal to the one before it is mirrored.
        full: Names of nodes verified at full size besides their sub-map.
        seed: Of the choice of the sub-maps.

    Returns:
        One case per node, and one more for each name in ``full``.
    """
    codes = different_frames(codes)
    sources = {n.source for n in nodes}
    tensors = GoldenModel(graph).run(codes, keep=sorted(sources)).tensors
    cases = []
    positions = {n.name: i for i, n in enumerate(graph.nodes)}
    for node in nodes:
        maps = tensors[node.source]
        # By place in the graph: a node verified alone (a replay) sees the same sub-map.
        rng = np.random.default_rng([seed, positions[node.name]])
        cases.append(_case(graph, node, _sub_maps(node, maps, rng), None))
        if node.name in full:
            cases.append(_case(graph, node, maps, FULL_SIZE))
    return tuple(cases)


def different_frames(codes: Codes) -> Codes:
    """Return at least two frames, each different from the one before: mirrored where it is equal.

    Args:
        codes: Input codes [N, C, H, W], N >= 1.
    """
    frames = np.concatenate([codes, codes]) if len(codes) == 1 else codes.copy()
    _make_different(frames)
    return frames


def full_size_nodes(graph: QGraph, nodes: Sequence[Conv]) -> tuple[str, ...]:
    """Return three convolutions for full size: the first, a 3x3 and a 1x1, the smaller maps first.

    Args:
        graph: The integer graph.
        nodes: Candidates.
    """
    chosen = [nodes[0].name] if nodes else []
    for kernel in ((3, 3), (1, 1), None):
        rest = [
            n
            for n in nodes
            if n.name not in chosen and (kernel is None or n.weights.shape[2:] == kernel)
        ]
        if rest and len(chosen) < FULL_SIZE_NODES:
            chosen.append(min(rest, key=lambda n: (_map_size(graph.shapes, n), n.name)).name)
    return tuple(chosen)


def _map_size(shapes: Mapping[str, tuple[int, int, int]], node: Conv) -> int:
    c, h, w = shapes[node.source]
    return -(h * w * 10_000) + c  # the largest map first, then few channels


def _sub_maps(node: Conv, maps: Codes, rng: np.random.Generator) -> Codes:
    """Cut the same window out of every frame; of a few random places, the liveliest."""
    _, _, kh, kw = node.weights.shape
    _, _, height, width = maps.shape
    h = min(height, max(2 * kh + 1, LEAST_SIDE))
    w = min(width, max(2 * kw + 2, LEAST_SIDE + 1))
    best, most = (0, 0), -1.0
    for _ in range(CANDIDATES):
        top = int(rng.integers(height - h + 1))
        left = int(rng.integers(width - w + 1))
        spread = float(maps[:, :, top : top + h, left : left + w].std())
        if spread > most:
            best, most = (top, left), spread
    top, left = best
    window = maps[:, :, top : top + h, left : left + w].copy()
    _make_different(window)
    return window


def _make_different(frames: Codes) -> None:
    """Mirror every frame [C, h, w] that is equal to the one before it."""
    for before, frame in itertools.pairwise(frames):
        if np.array_equal(before, frame):
            frame[:] = frame[..., ::-1].copy()
            if np.array_equal(before, frame):
                frame[:] = frame[:, ::-1].copy()


def _case(graph: QGraph, node: Conv, frames: Codes, label: str | None) -> Case:
    source = graph.formats[node.source]
    expected, accumulators = run_conv(node, source, frames)
    _, _, h, w = frames.shape
    return Case(node, source, label or f"{h}x{w} sub-map", frames, expected, accumulators)

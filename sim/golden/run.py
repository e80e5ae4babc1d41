# SPDX-License-Identifier: Apache-2.0
"""Evaluates whole graphs and single nodes, frame by frame."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

from quant.errors import GraphError
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Node,
    Output,
    Requantize,
    Split,
    Upsample,
    sources_of,
)
from sim.golden import pointwise
from sim.golden.conv import evaluate_layer, output_size
from sim.golden.decode import Codes, code_dtype
from sim.golden.layer import Layer, prepare_layer
from sim.golden.pool import average_pool, average_sums, max_pool
from sim.golden.scratch import Scratch


@dataclass(frozen=True, eq=False)
class GoldenRun:
    """What a run was asked to keep.

    Attributes:
        tensors: Codes [N, C, H, W] by tensor name, uint8 (uint16 above 8 bits).
        accumulators: Sums before requantization, bias inside, int32 [N, F, H, W] by node name.
    """

    tensors: Mapping[str, Codes]
    accumulators: Mapping[str, npt.NDArray[np.int32]]


class GoldenModel:
    """A graph with its weights decoded once, ready to evaluate many frames.

    It owns work memory: use one object per thread.
    """

    def __init__(self, graph: QGraph) -> None:
        """Remember ``graph``; layers are prepared when they are first evaluated."""
        self.graph = graph
        self._layers: dict[str, Layer] = {}
        self._scratch = Scratch()
        self._readers = Counter(s for n in graph.nodes for s in sources_of(n))

    def run(
        self,
        codes: npt.NDArray[np.integer],
        *,
        keep: Collection[str] | Literal["all"] | None = None,
        accumulators: Collection[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> GoldenRun:
        """Evaluate the graph.

        Args:
            codes: Input codes, integers 0..255, [N, C, H, W] of the graph's input shape.
            keep: Tensors to return; the outputs when ``None``. Others are freed after their last
                reader.
            accumulators: Convolutions, linear layers and average pools whose sums to return.
            progress: Called with the node's name after every node of every frame
                (``N * len(graph.nodes)`` calls).

        Raises:
            GraphError: ``codes`` do not fit the input, or a name is not in the graph.
        """
        graph = self.graph
        frames = _check_codes(graph.input.name, codes, graph.input.output, graph.input.shape)
        names = _kept_names(graph, keep)
        tensors: dict[str, Codes] = {
            name: np.empty((len(frames), *graph.shapes[name]), code_dtype(graph.formats[name].bits))
            for name in names
        }
        sums = {name: self._sums_of(name, len(frames)) for name in accumulators}
        for index, frame in enumerate(frames):
            left = Counter(self._readers)
            live: dict[str, Codes] = {}
            for node in graph.nodes:
                sources = sources_of(node)
                inputs = [live[s] for s in sources] or [frame]
                wanted = sums[node.name][index] if node.name in sums else None
                live[node.name] = self._evaluate(node, inputs, wanted)
                if node.name in tensors:
                    tensors[node.name][index] = live[node.name]
                left.subtract(sources)
                for name in {*sources, node.name}:
                    if left[name] <= 0:
                        live.pop(name, None)
                if progress is not None:
                    progress(node.name)
        return GoldenRun(MappingProxyType(tensors), MappingProxyType(sums))

    def _evaluate(
        self, node: Node, inputs: list[Codes], sums: npt.NDArray[np.int32] | None
    ) -> Codes:
        layer = None
        if isinstance(node, Conv | Linear):
            layer = self._layers.get(node.name)
            if layer is None:
                source = self.graph.formats[node.source]
                layer = self._layers[node.name] = prepare_layer(node, source)
        formats = tuple(self.graph.formats[s] for s in sources_of(node))
        return _evaluate(node, formats, inputs, layer, self._scratch, sums)

    def _sums_of(self, name: str, frames: int) -> npt.NDArray[np.int32]:
        node = self.graph.node(name)
        if not isinstance(node, Conv | Linear | AvgPool):
            raise GraphError(
                f"'{name}' is {type(node).__name__}, which has no accumulator; "
                "ask for a convolution, a linear layer or an average pool"
            )
        return np.empty((frames, *self.graph.shapes[name]), np.int32)


def run_golden(
    graph: QGraph,
    codes: npt.NDArray[np.integer],
    *,
    keep: Collection[str] | Literal["all"] | None = None,
    accumulators: Collection[str] = (),
    progress: Callable[[str], None] | None = None,
) -> GoldenRun:
    """Evaluate a graph once; see :meth:`GoldenModel.run`, which saves the preparation next time."""
    return GoldenModel(graph).run(codes, keep=keep, accumulators=accumulators, progress=progress)


def golden_node(
    node: Node, formats: Sequence[TensorFormat], inputs: Sequence[npt.NDArray[np.integer]]
) -> Codes:
    """Evaluate one node on frames of any height and width.

    Args:
        node: The node; an ``Input`` takes the frames themselves and no format.
        formats: Format of each source, in port order.
        inputs: Codes [N, C, H, W] of each source, in port order.

    Returns:
        Codes [N, F, OH, OW], uint8 (uint16 above 8 bits).

    Raises:
        GraphError: Codes do not fit their format, or the number of sources is wrong.
    """
    if isinstance(node, Input):
        formats = (node.output,)
    expected = max(1, len(sources_of(node)))
    if len(inputs) != expected or len(formats) != expected:
        raise GraphError(
            f"'{node.name}' reads {expected} tensors; got {len(inputs)} and {len(formats)} formats"
        )
    checked = [
        _check_codes(node.name, codes, fmt, None)
        for codes, fmt in zip(inputs, formats, strict=True)
    ]
    layer = prepare_layer(node, formats[0]) if isinstance(node, Conv | Linear) else None
    scratch = Scratch()
    return np.stack(
        [
            _evaluate(node, tuple(formats), list(frame), layer, scratch, None)
            for frame in zip(*checked, strict=True)
        ]
    )


def run_conv(
    node: Conv | Linear, source: TensorFormat, codes: npt.NDArray[np.integer]
) -> tuple[Codes, npt.NDArray[np.int32]]:
    """Evaluate one layer on frames of any height and width, with its accumulators.

    Args:
        node: The layer.
        source: Format of ``codes``.
        codes: Source codes [N, C, H, W].

    Returns:
        Output codes and accumulators (bias inside, int32), both [N, F, OH, OW].

    Raises:
        GraphError: Codes do not fit their format or the layer.
    """
    frames = _check_codes(node.name, codes, source, None)
    layer, scratch = prepare_layer(node, source), Scratch()
    results, sums = [], []
    for frame in frames:
        size = (1, 1) if isinstance(node, Linear) else output_size(layer, *frame.shape[1:])
        total = np.empty((layer.filters, *size), np.int32)
        results.append(_evaluate(node, (source,), [frame], layer, scratch, total))
        sums.append(total)
    return np.stack(results), np.stack(sums)


def _evaluate(
    node: Node,
    formats: tuple[TensorFormat, ...],
    inputs: list[Codes],
    layer: Layer | None,
    scratch: Scratch,
    sums: npt.NDArray[np.int32] | None,
) -> Codes:
    """Evaluate ``node`` on one frame; ``sums`` is filled where the node has accumulators."""
    first = inputs[0]
    match node:
        case Input() | Output():
            return first
        case Conv():
            return evaluate_layer(_fitting(layer, node, first), first, scratch, sums)
        case Linear():
            flat = first.reshape(-1, 1, 1)
            return evaluate_layer(_fitting(layer, node, flat), flat, scratch, sums)
        case MaxPool():
            return max_pool(node, first)
        case AvgPool():
            totals = average_sums(node, formats[0], first)
            if sums is not None:
                sums[...] = totals
            return average_pool(node, totals)
        case Add():
            return pointwise.add(node, formats, first, inputs[1])
        case Concat():
            return pointwise.concat(inputs)
        case Split():
            return pointwise.split(node, first)
        case Upsample():
            return pointwise.upsample(node, first)
        case Requantize():
            return pointwise.requantize_codes(node, formats[0], first)
        case Lookup():
            return pointwise.lookup(node.table, first, node.output.bits)
        case _:
            assert_never(node)


def _fitting(layer: Layer | None, node: Conv | Linear, codes: Codes) -> Layer:
    if layer is None or layer.channels != codes.shape[0]:
        needed = 0 if layer is None else layer.channels
        raise GraphError(f"'{node.name}' needs {needed} channels; got {codes.shape[0]}")
    if min(output_size(layer, codes.shape[1], codes.shape[2])) < 1:
        raise GraphError(
            f"'{node.name}': kernel {layer.kernel} is larger than the padded input "
            f"{codes.shape[1]}x{codes.shape[2]} with padding {layer.padding}"
        )
    return layer


def _kept_names(graph: QGraph, keep: Collection[str] | Literal["all"] | None) -> list[str]:
    if keep is None:
        return [n.name for n in graph.outputs]
    if isinstance(keep, str):
        return [n.name for n in graph.nodes]
    return [graph.node(name).name for name in keep]


def _check_codes(
    name: str,
    codes: npt.NDArray[np.integer],
    fmt: TensorFormat,
    shape: tuple[int, int, int] | None,
) -> Codes:
    """Return ``codes`` in their code type after checking shape and range."""
    if codes.ndim != 4 or not codes.size or (shape is not None and codes.shape[1:] != shape):
        needed = "(C, H, W)" if shape is None else str(shape)
        raise GraphError(f"'{name}' needs frames (N, ...) of {needed}; got shape {codes.shape}")
    if not np.issubdtype(codes.dtype, np.integer):
        raise GraphError(f"'{name}' needs integer codes; got {codes.dtype}")
    if not 0 <= int(codes.min()) <= int(codes.max()) < 1 << fmt.bits:
        raise GraphError(
            f"'{name}' needs codes of {fmt.bits} bits; got {codes.min()}..{codes.max()}"
        )
    fitting: Codes = np.ascontiguousarray(codes, code_dtype(fmt.bits))
    return fitting

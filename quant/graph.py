# SPDX-License-Identifier: Apache-2.0
"""QGraph: the immutable, executable, integer-only dataflow graph. A graph that exists can be built.

Shapes are (C, H, W) of one frame. The graph is made once, by lowering; everything else reads it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, assert_never

import numpy as np

from quant.errors import GraphError
from quant.formats import TensorFormat
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
from quant.validity import check_node

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class QGraph:
    """An integer dataflow graph in topological order.

    Attributes:
        name: Name of the network.
        nodes: All nodes, every source before its reader; one ``Input`` first.
    """

    name: str
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Check the whole graph.

        Raises:
            GraphError: Names repeat, an order or shape is wrong, formats disagree, or an
                accumulator does not fit.
        """
        known: dict[str, Shape] = {}
        formats: dict[str, TensorFormat] = {}
        used: set[str] = set()
        left: set[str] = set()
        if not self.nodes or not isinstance(self.nodes[0], Input):
            raise GraphError(f"graph '{self.name}' must begin with its input node")
        for node in self.nodes:
            if not node.name or node.name in known:
                raise GraphError(f"node name '{node.name}' is empty or used twice")
            for source in sources_of(node):
                if source not in known:
                    raise GraphError(f"'{node.name}' reads '{source}', which no earlier node makes")
                if source in left:
                    raise GraphError(
                        f"'{node.name}' reads '{source}', which leaves the graph; "
                        "read the tensor before it"
                    )
                used.add(source)
            if isinstance(node, Input) and known:
                raise GraphError(f"'{node.name}' is a second input; one is supported")
            in_shapes = [known[s] for s in sources_of(node)]
            in_formats = [formats[s] for s in sources_of(node)]
            check_node(node, in_shapes, in_formats)
            if isinstance(node, Output):
                left.add(node.name)
            known[node.name] = _shape_of(node, in_shapes)
            formats[node.name] = _format_of(node, in_formats, known[node.name])
            if formats[node.name].channels != known[node.name][0]:
                raise GraphError(
                    f"'{node.name}' has {known[node.name][0]} channels but its format covers "
                    f"{formats[node.name].channels}"
                )
        unused = [n.name for n in self.nodes if n.name not in used and not isinstance(n, Output)]
        if unused:
            raise GraphError(f"nothing reads '{unused[0]}'; every tensor must reach an output")
        object.__setattr__(self, "_shapes", MappingProxyType(known))
        object.__setattr__(self, "_formats", MappingProxyType(formats))

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape (C, H, W) of every tensor by name."""
        shapes: Mapping[str, Shape] = self.__dict__["_shapes"]
        return shapes

    @property
    def formats(self) -> Mapping[str, TensorFormat]:
        """Format of every tensor by name."""
        formats: Mapping[str, TensorFormat] = self.__dict__["_formats"]
        return formats

    @property
    def input(self) -> Input:
        """The input node."""
        first = self.nodes[0]
        if not isinstance(first, Input):
            raise GraphError(f"graph '{self.name}' must begin with its input node")
        return first

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Output nodes in port order."""
        return tuple(n for n in self.nodes if isinstance(n, Output))

    @property
    def convs(self) -> tuple[Conv, ...]:
        """Convolution nodes in graph order."""
        return tuple(n for n in self.nodes if isinstance(n, Conv))

    def node(self, name: str) -> Node:
        """Return the node called ``name``.

        Raises:
            GraphError: No node has that name.
        """
        found = self._by_name.get(name)
        if found is None:
            near = ", ".join(n for n in self._by_name if name in n or n in name) or ", ".join(
                list(self._by_name)[:6]
            )
            raise GraphError(f"no node is called '{name}'; there are: {near}")
        return found

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {n.name: n for n in self.nodes}

    @cached_property
    def digest(self) -> str:
        """Hex sha256 over every field of every node: the graph's identity."""
        text = json.dumps(_canonical(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def conv_output_size(size: int, pads: int, kernel: int, stride: int) -> int:
    """Return the output length along one axis: ``(size + pads - kernel) // stride + 1``."""
    return (size + pads - kernel) // stride + 1


def macs_of(graph: QGraph, name: str) -> int:
    """Return the multiply-accumulates of node ``name`` for one frame (0 for other kinds)."""
    node = graph.node(name)
    match node:
        case Conv():
            _, c, kh, kw = node.weights.shape
            f, h, w = graph.shapes[name]
            return f * h * w * c * kh * kw
        case Linear():
            return int(node.weights.codes.size)
        case _:
            return 0


def _shape_of(node: Node, sources: list[Shape]) -> Shape:
    match node:
        case Input():
            return node.shape
        case Conv():
            f, _, kh, kw = node.weights.shape
            return _windowed(f, sources[0], (kh, kw), node.stride, node.padding)
        case Linear():
            return node.weights.shape[0], 1, 1
        case MaxPool():
            return _windowed(sources[0][0], sources[0], node.kernel, node.stride, node.padding)
        case AvgPool():
            return _windowed(sources[0][0], sources[0], node.kernel, node.stride, (0, 0, 0, 0))
        case Concat():
            return sum(s[0] for s in sources), sources[0][1], sources[0][2]
        case Split():
            return node.end - node.begin, sources[0][1], sources[0][2]
        case Upsample():
            return sources[0][0], sources[0][1] * node.factor, sources[0][2] * node.factor
        case Add() | Requantize() | Lookup() | Output():
            return sources[0]
        case _:
            assert_never(node)


def _windowed(
    channels: int,
    source: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Shape:
    top, left, bottom, right = padding
    return (
        channels,
        conv_output_size(source[1], top + bottom, kernel[0], stride[0]),
        conv_output_size(source[2], left + right, kernel[1], stride[1]),
    )


def _format_of(node: Node, sources: list[TensorFormat], shape: Shape) -> TensorFormat:
    match node:
        case Input() | Conv() | Linear() | AvgPool() | Add() | Requantize() | Lookup():
            return node.output
        case MaxPool() | Concat() | Split() | Upsample():
            return sources[0].with_channels(shape[0])
        case Output():
            return sources[0]
        case _:
            assert_never(node)


def _canonical(value: Any) -> Any:  # noqa: ANN401 - walks every field type of the union
    """Return a JSON value that names every field; arrays by dtype, shape and content hash."""
    if is_dataclass(value) and not isinstance(value, type):
        body = {f.name: _canonical(getattr(value, f.name)) for f in fields(value)}
        return {"kind": type(value).__name__, **body}
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"))
        return [value.dtype.str, list(value.shape), hashlib.sha256(little.tobytes()).hexdigest()]
    if isinstance(value, tuple):
        return [_canonical(v) for v in value]
    if isinstance(value, float):
        return value.hex()
    if value is None or isinstance(value, str | int):
        return value
    raise GraphError(f"field of type {type(value).__name__} has no place in a graph")

# SPDX-License-Identifier: Apache-2.0
"""The float-scale fake-quantized model: real arithmetic, values rounded to the integer formats.

It is what calibration optimises: weights and biases are the integers times their scales, every
activation function is the real one, and every tensor is rounded to its format. Given equal input
codes, each node is within one code of the integer graph, which rounds multipliers and tables too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from quant.errors import QuantizationError
from quant.floatgraph import FloatActivation, FloatGraph
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
from quant.ptq.codes import decode, encode
from quant.ptq.executor import activate, last_readers, torch_threads
from quant.ptq.lowered import apply_node, integer_weights
from quant.ptq.steps import plan_steps

Visit = Callable[[str, torch.Tensor], None]


class FakeQuantExecutor:
    """Executes the float-scale model of an integer graph."""

    def __init__(self, graph: QGraph, float_graph: FloatGraph, threads: int | None = None) -> None:
        """Prepare the real weights.

        Args:
            graph: Integer graph.
            float_graph: Network that it was lowered from; gives the activation functions.
            threads: Threads that torch may use during a run; ``None`` leaves torch's setting.

        Raises:
            QuantizationError: A node has no operation of its name in the float network.
        """
        self._graph = graph
        self._threads = threads
        self._activations = activations_of(graph, float_graph)
        self._parameters = {
            n.name: _real_parameters(n, graph.formats[n.source])
            for n in graph.nodes
            if isinstance(n, Conv | Linear)
        }
        self._freed_after = last_readers([(n.name, sources_of(n)) for n in graph.nodes])

    def run(
        self, batch: npt.NDArray[np.float32], visit: Visit | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Run a batch.

        Args:
            batch: float32 [N, C, H, W], normalised; rounded to the input's format first.
            visit: Called with the name and the float32 [N, C, H, W] real values of every node, in
                graph order; it must not change or keep the tensor.

        Returns:
            float32 [N, C, H, W] real values by the name of each tensor that leaves, in port order.

        Raises:
            QuantizationError: The batch has another shape than the graph's input.
        """
        shape = self._graph.input.shape
        if batch.ndim != 4 or batch.shape[1:] != shape:
            raise QuantizationError(
                f"batch has shape {list(batch.shape)}; '{self._graph.name}' needs "
                f"[N, {shape[0]}, {shape[1]}, {shape[2]}]"
            )
        tensors: dict[str, torch.Tensor] = {}
        results: dict[str, npt.NDArray[np.float32]] = {}
        with torch.inference_mode(), torch_threads(self._threads):
            image = torch.from_numpy(np.array(batch, dtype=np.float32))
            for node in self._graph.nodes:
                sources = [tensors[s] for s in sources_of(node)] or [image]
                tensors[node.name] = self.apply(node, sources)
                if visit is not None:
                    visit(node.name, tensors[node.name])
                if isinstance(node, Output):
                    results[node.source] = tensors[node.name].numpy().copy()
                for name in self._freed_after[node.name]:
                    del tensors[name]
        return results

    def apply(self, node: Node, sources: list[torch.Tensor]) -> torch.Tensor:
        """Compute the real values of one node, rounded to its format.

        Args:
            node: Node of the graph.
            sources: float32 [N, C, H, W] real values of each source; the image for the input.

        Returns:
            float32 [N, C, H, W].
        """
        x = sources[0]
        match node:
            case Input():
                return _rounded(x, node.output)
            case Conv():
                weight, bias = self._parameters[node.name]
                top, left, bottom, right = node.padding
                padded = F.pad(x, (left, right, top, bottom)) if any(node.padding) else x
                sums = F.conv2d(padded, weight, bias, node.stride, groups=node.groups)
                return self._activated(node.name, sums, node.output)
            case Linear():
                weight, bias = self._parameters[node.name]
                sums = F.linear(x.flatten(1), weight.flatten(1), bias)
                return self._activated(node.name, sums[:, :, None, None], node.output)
            case MaxPool():
                top, left, bottom, right = node.padding
                padded = F.pad(x, (left, right, top, bottom), value=-torch.inf)
                return F.max_pool2d(padded, node.kernel, node.stride)
            case AvgPool():
                return _rounded(F.avg_pool2d(x, node.kernel, node.stride), node.output)
            case Add():
                return self._activated(node.name, sources[0] + sources[1], node.output)
            case Concat():
                return torch.cat(sources, 1)
            case Split():
                return x[:, node.begin : node.end]
            case Upsample():
                return F.interpolate(x, scale_factor=node.factor, mode="nearest")
            case Requantize():
                return _rounded(x, node.output)
            case Lookup():
                return self._activated(node.name, x, node.output)
            case Output():
                return x
            case _:
                assert_never(node)

    def _activated(self, name: str, real: torch.Tensor, output: TensorFormat) -> torch.Tensor:
        activation = self._activations[name]
        return _rounded(real if activation is None else activate(real, activation), output)


@dataclass(frozen=True)
class CodeDifference:
    """How far one node of the float-scale model is from the integer node, on equal input codes.

    Attributes:
        values: Codes compared.
        differing: Codes that differ.
        largest: Largest difference in codes.
    """

    values: int
    differing: int
    largest: int


def code_differences(
    graph: QGraph, float_graph: FloatGraph, codes: npt.NDArray[np.uint8]
) -> dict[str, CodeDifference]:
    """Compare every node of the float-scale model with the integer node, given equal input codes.

    Args:
        graph: Integer graph.
        float_graph: Network that it was lowered from.
        codes: uint8 [N, C, H, W], input codes.

    Returns:
        One entry per node that computes, in graph order.
    """
    executor = FakeQuantExecutor(graph, float_graph)
    tensors: dict[str, torch.Tensor] = {}
    found: dict[str, CodeDifference] = {}
    with torch.inference_mode():
        for node in graph.nodes:
            if isinstance(node, Input):
                tensors[node.name] = torch.from_numpy(codes.astype(np.int64))
                continue
            names = sources_of(node)
            formats = [graph.formats[s] for s in names]
            exact = apply_node(node, [tensors[s] for s in names], formats)
            tensors[node.name] = exact
            if isinstance(node, Output):
                continue
            sources = [decode(tensors[s], f) for s, f in zip(names, formats, strict=True)]
            rounded = encode(executor.apply(node, sources), graph.formats[node.name])
            apart = (rounded - exact).abs()
            found[node.name] = CodeDifference(
                apart.numel(), int(torch.count_nonzero(apart)), int(apart.max())
            )
    return found


def activations_of(graph: QGraph, float_graph: FloatGraph) -> Mapping[str, FloatActivation | None]:
    """Return the activation function inside each convolution, linear, add and lookup node.

    Raises:
        QuantizationError: A node has no operation of its name in the float network.
    """
    steps = {s.name: s for s in plan_steps(float_graph)}
    found: dict[str, FloatActivation | None] = {}
    for node in graph.nodes:
        if not isinstance(node, Conv | Linear | Add | Lookup):
            continue
        step = steps.get(node.name)
        if step is None:
            raise QuantizationError(
                f"'{node.name}' of the integer graph is not in the float network "
                f"'{float_graph.name}'; the two are of different models, quantize again"
            )
        op = step.op
        found[node.name] = op if isinstance(op, FloatActivation) else step.activation
    return found


def _real_parameters(
    node: Conv | Linear, source: TensorFormat
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return real weight and bias, float32; the folded zero-point term is taken out again."""
    integers = integer_weights(node.weights)
    scale = torch.from_numpy(node.weights.scale.astype(np.float64)).reshape(-1, 1, 1, 1)
    products = source.zero_point * integers.flatten(1).sum(1)
    bias = torch.from_numpy(node.bias.copy()) + products
    real_bias = bias.double() * scale.reshape(-1) * source.scale
    return (integers * scale).float(), real_bias.float()


def _rounded(real: torch.Tensor, fmt: TensorFormat) -> torch.Tensor:
    return decode(encode(real, fmt), fmt)

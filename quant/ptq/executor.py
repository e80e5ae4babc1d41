# SPDX-License-Identifier: Apache-2.0
"""Runs a float graph in torch, freeing every tensor after its last reader."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import assert_never

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from quant.errors import QuantizationError
from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    FloatMaxPool,
    FloatMultiply,
    FloatOp,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
    Padding,
    float_sources_of,
)

Visit = Callable[[str, torch.Tensor], None]


class FloatExecutor:
    """Executes a float graph in float32."""

    def __init__(self, graph: FloatGraph, threads: int | None = None) -> None:
        """Prepare the graph.

        Args:
            graph: Network to run.
            threads: Threads that torch may use during a run; ``None`` leaves torch's setting.
        """
        self._graph = graph
        self._threads = threads
        self._parameters = {
            op.name: (_tensor(op.weight), _tensor(op.bias))
            for op in graph.ops
            if isinstance(op, FloatConv | FloatLinear)
        }
        self._freed_after = last_readers([(op.name, float_sources_of(op)) for op in graph.ops])

    def run(
        self, batch: npt.NDArray[np.float32], visit: Visit | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Run a batch.

        Args:
            batch: float32 [N, C, H, W], normalised.
            visit: Called with the name and the float32 [N, C, H, W] tensor of every operation, in
                graph order; it must not change or keep the tensor.

        Returns:
            float32 [N, C, H, W] of every output, in port order.

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
            for op in self._graph.ops:
                if isinstance(op, FloatInput):
                    value = torch.from_numpy(np.array(batch, dtype=np.float32))
                else:
                    sources = [tensors[s] for s in float_sources_of(op)]
                    value = apply_op(op, sources, self._parameters.get(op.name))
                tensors[op.name] = value
                if visit is not None:
                    visit(op.name, value)
                if op.name in self._graph.outputs:
                    results[op.name] = value.numpy().copy()
                for name in self._freed_after[op.name]:
                    del tensors[name]
        return {name: results[name] for name in self._graph.outputs}


def apply_op(
    op: FloatOp,
    sources: list[torch.Tensor],
    parameters: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Compute one operation.

    Args:
        op: Operation other than the input.
        sources: float32 [N, C, H, W], as ``float_sources_of`` lists them.
        parameters: Weight and bias to use; the operation's own when ``None``.

    Returns:
        float32 [N, C, H, W].
    """
    x = sources[0]
    match op:
        case FloatInput():
            return x
        case FloatConv():
            weight, bias = parameters or (_tensor(op.weight), _tensor(op.bias))
            top, left, bottom, right = op.padding
            if (top, left) == (bottom, right):
                return F.conv2d(x, weight, bias, op.stride, (top, left), groups=op.groups)
            return F.conv2d(_padded(x, op.padding, 0.0), weight, bias, op.stride, groups=op.groups)
        case FloatLinear():
            weight, bias = parameters or (_tensor(op.weight), _tensor(op.bias))
            return F.linear(x.flatten(1), weight, bias)[:, :, None, None]
        case FloatActivation():
            return activate(x, op)
        case FloatMaxPool():
            return F.max_pool2d(_padded(x, op.padding, -torch.inf), op.kernel, op.stride)
        case FloatAvgPool():
            return F.avg_pool2d(x, op.kernel, op.stride)
        case FloatAdd():
            return sources[0] + sources[1]
        case FloatConcat():
            return torch.cat(sources, 1)
        case FloatSplit():
            return x[:, op.begin : op.end]
        case FloatUpsample():
            return F.interpolate(x, scale_factor=op.factor, mode="nearest")
        case FloatMultiply():
            return sources[0] * sources[1]
        case FloatShuffle():
            return F.channel_shuffle(x, op.groups)
        case _:
            assert_never(op)


def activate(x: torch.Tensor, op: FloatActivation) -> torch.Tensor:
    """Apply a pointwise activation to a float tensor of any shape."""
    match op.kind:
        case "relu":
            return F.relu(x)
        case "relu6":
            return F.relu6(x)
        case "leaky_relu":
            return F.leaky_relu(x, op.slope)
        case "silu":
            return F.silu(x)
        case "hardswish":
            return F.hardswish(x)
        case "hardsigmoid":
            return F.hardsigmoid(x)
        case "sigmoid":
            return torch.sigmoid(x)
        case _:
            assert_never(op.kind)


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Let torch use ``threads`` threads inside the block; ``None`` changes nothing."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads is not None:
            torch.set_num_threads(before)


def last_readers(order: list[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Return, per operation, the tensors that nothing reads afterwards.

    Args:
        order: (name, sources) of every operation in order of execution.
    """
    last = {name: name for name, _ in order}
    for name, sources in order:
        for source in sources:
            last[source] = name
    freed: dict[str, list[str]] = {name: [] for name, _ in order}
    for tensor, reader in last.items():
        freed[reader].append(tensor)
    return {name: tuple(tensors) for name, tensors in freed.items()}


def _padded(x: torch.Tensor, padding: Padding, value: float) -> torch.Tensor:
    top, left, bottom, right = padding
    if not any(padding):
        return x
    return F.pad(x, (left, right, top, bottom), value=value)


def _tensor(array: npt.NDArray[np.float32]) -> torch.Tensor:
    # A copy, because torch warns about read-only numpy memory.
    return torch.from_numpy(np.array(array, dtype=np.float32))

# SPDX-License-Identifier: Apache-2.0
"""Runs a QGraph in torch on its lowered integer parameters: the contract written a second time.

Convolutions are float64 ``conv2d`` of decoded integers, exact since every sum stays below 2**53;
everything after the accumulator is int64. It shares no arithmetic with ``sim.golden`` and judges
it, and it is judged by it.
"""

from collections.abc import Callable
from typing import assert_never

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

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
    Requantizer,
    Split,
    Upsample,
    sources_of,
)
from quant.ptq.executor import last_readers
from quant.weights import Weights

Codes = npt.NDArray[np.uint16]
Visit = Callable[[str, torch.Tensor], None]

_CODE_LOW = -1  # below every code: what a max pool's padding holds


def run_lowered(graph: QGraph, codes: npt.NDArray[np.uint8]) -> dict[str, Codes]:
    """Run a batch and return the codes of every node.

    Args:
        graph: Integer graph.
        codes: uint8 [N, C, H, W], the input codes.

    Returns:
        uint16 [N, C, H, W] of every node by name (a linear layer has H = W = 1).

    Raises:
        GraphError: The codes are not those of the graph's input.
    """
    results: dict[str, Codes] = {}

    def keep(name: str, tensor: torch.Tensor) -> None:
        results[name] = tensor.numpy().astype(np.uint16)

    visit_lowered(graph, codes, keep)
    return results


def visit_lowered(graph: QGraph, codes: npt.NDArray[np.uint8], visit: Visit) -> None:
    """Run a batch and show the codes of every node; only tensors still to be read are held.

    Args:
        graph: Integer graph.
        codes: uint8 [N, C, H, W], the input codes.
        visit: Called with the name and the int64 [N, C, H, W] codes of every node, in order; it
            must not change or keep the tensor.

    Raises:
        GraphError: The codes are not those of the graph's input.
    """
    if codes.ndim != 4 or codes.shape[1:] != graph.input.shape or codes.dtype != np.uint8:
        raise GraphError(
            f"codes are {codes.dtype} {list(codes.shape)}; '{graph.input.name}' needs uint8 "
            f"[N, {', '.join(str(s) for s in graph.input.shape)}]"
        )
    free = last_readers([(n.name, sources_of(n)) for n in graph.nodes])
    tensors = {graph.input.name: torch.from_numpy(codes.astype(np.int64))}
    with torch.inference_mode():
        for node in graph.nodes:
            if not isinstance(node, Input):
                names = sources_of(node)
                tensors[node.name] = apply_node(
                    node, [tensors[s] for s in names], [graph.formats[s] for s in names]
                )
            visit(node.name, tensors[node.name])
            for name in free[node.name]:
                del tensors[name]


def apply_node(
    node: Node, sources: list[torch.Tensor], formats: list[TensorFormat]
) -> torch.Tensor:
    """Compute the codes of one node.

    Args:
        node: Node other than the input.
        sources: int64 [N, C, H, W] codes of each source, in port order.
        formats: Format of each source.

    Returns:
        int64 [N, C, H, W].
    """
    match node:
        case Conv() | Linear():
            return finish_layer(node, _sums(node, sources[0], formats[0]))
        case MaxPool():
            return _max_pool(node, sources[0])
        case AvgPool():
            values = decoded(sources[0], formats[0]).double()
            sums = F.avg_pool2d(values, node.kernel, node.stride, divisor_override=1).long()
            count = node.kernel[0] * node.kernel[1]
            return requantize(sums - count * formats[0].zero_point, node.requant)
        case Add():
            return _added(node, sources, formats)
        case Concat():
            return torch.cat(sources, dim=1)
        case Split():
            return sources[0].narrow(1, node.begin, node.end - node.begin)
        case Upsample():
            rows = sources[0].repeat_interleave(node.factor, dim=2)
            return rows.repeat_interleave(node.factor, dim=3)
        case Requantize():
            shifted = decoded(sources[0], formats[0]) - formats[0].zero_point
            return requantize(shifted, node.requant)
        case Lookup():
            return _looked_up(sources[0], node.table)
        case Input() | Output():
            return sources[0]
        case _:
            assert_never(node)


def decoded(codes: torch.Tensor, fmt: TensorFormat) -> torch.Tensor:
    """Return the decoded values ``a`` of codes, int64."""
    if fmt.codebook is None:
        return codes
    return torch.tensor(fmt.codebook, dtype=torch.int64)[codes]


def integer_weights(weights: Weights) -> torch.Tensor:
    """Return ``w_int = M[g] * LUT[t[g]][code]``, int64 OIHW."""
    tables = torch.from_numpy(weights.tables.astype(np.int64))
    codes = torch.from_numpy(weights.codes.astype(np.int64))
    selectors = torch.from_numpy(weights.selectors.astype(np.int64))
    # One flat table: row t begins at t * 2**bits.
    entries = tables.reshape(-1).take(selectors * (1 << weights.bits) + codes)
    return entries * torch.from_numpy(weights.multipliers.astype(np.int64))


def requantize(sums: torch.Tensor, requant: Requantizer) -> torch.Tensor:
    """Return the codes of accumulators.

    Args:
        sums: int64 [N, F, H, W].
        requant: One entry per filter, or one for all.

    Returns:
        int64 codes; ties round towards plus infinity.
    """
    multiplier, shift, zero = (
        torch.from_numpy(a.astype(np.int64)).reshape(1, -1, 1, 1)
        for a in (requant.multiplier, requant.shift, requant.zero_point)
    )
    half = torch.ones_like(shift) << (shift - 1)
    # In place: these are the largest tensors of a run. torch's >> of a signed tensor floors.
    scaled = sums * multiplier
    scaled.add_(half).bitwise_right_shift_(shift)
    return scaled.add_(zero).clamp_(requant.low, requant.high)


def finish_layer(node: Conv | Linear, sums: torch.Tensor) -> torch.Tensor:
    """Return the output codes of a layer's accumulators, both int64 [N, F, H, W]."""
    code = requantize(sums, node.requant)
    return code if node.table is None else _looked_up(code, node.table)


def _sums(node: Conv | Linear, codes: torch.Tensor, fmt: TensorFormat) -> torch.Tensor:
    values = decoded(codes, fmt).double()
    weights = integer_weights(node.weights).double()
    bias = torch.from_numpy(node.bias.astype(np.int64)).reshape(1, -1, 1, 1)
    if isinstance(node, Linear):
        products = values.flatten(1) @ weights.flatten(1).T
        return products[:, :, None, None].long() + bias
    top, left, bottom, right = node.padding
    padded = F.pad(values, (left, right, top, bottom), value=float(fmt.zero_point))
    return F.conv2d(padded, weights, None, node.stride, groups=node.groups).long() + bias


def _max_pool(node: MaxPool, codes: torch.Tensor) -> torch.Tensor:
    top, left, bottom, right = node.padding
    padded = F.pad(codes.double(), (left, right, top, bottom), value=_CODE_LOW)
    return F.max_pool2d(padded, node.kernel, node.stride).long()


def _added(node: Add, sources: list[torch.Tensor], formats: list[TensorFormat]) -> torch.Tensor:
    total = torch.full_like(sources[0], 1 << (node.shift - 1))
    for codes, fmt, multiplier in zip(sources, formats, node.multipliers, strict=True):
        total = total + (decoded(codes, fmt) - fmt.zero_point) * multiplier
    return ((total >> node.shift) + node.output.zero_point).clamp(node.low, node.high)


def _looked_up(codes: torch.Tensor, table: npt.NDArray[np.uint16]) -> torch.Tensor:
    return torch.from_numpy(table.astype(np.int64))[codes]

# SPDX-License-Identifier: Apache-2.0
"""Equalises the channels around depthwise convolutions, without changing what the network computes.

A depthwise convolution keeps channels apart, so their ranges drift apart over the layers, and one
scale per tensor leaves few codes to the small ones. ReLU lets positive factors pass: dividing a
filter by its channel's largest activation and multiplying the next layer's weights of that channel
by it evens out the ranges in the tensor between.

Source: cross-layer equalization of Nagel et al., Data-Free Quantization Through Weight Equalization
and Bias Correction, ICCV 2019, section 4.1; here by measured activations instead of weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import (
    FloatActivation,
    FloatAvgPool,
    FloatConv,
    FloatGraph,
    FloatLinear,
    FloatMaxPool,
    FloatOp,
    float_sources_of,
)
from quant.ptq.executor import FloatExecutor

Floats = npt.NDArray[np.float64]

# f(s * x) = s * f(x) for s > 0.
HOMOGENEOUS = ("relu", "leaky_relu")
# A channel is never made larger than by this factor beside the largest one: what hardly ever fires
# on a few images may fire on others.
MOST = 64.0
# A depthwise reader has a weight scale per channel and takes any factor. A dense one has a scale
# per filter, so what its inputs gain its weights lose: it takes part of the factor (in logarithms;
# best logit SQNR of 0.5, 0.75 and 1 on MobileOne-S0 at 8 bits).
DENSE_SHARE = 0.75


@dataclass(frozen=True)
class Pair:
    """Two layers between which a positive factor of a channel passes unchanged.

    Attributes:
        first: Layer that makes the tensor.
        tensor: Tensor whose channels are equalised, behind the first layer's activation.
        second: The only layer that reads it, directly or through pooling.
    """

    first: str
    tensor: str
    second: str


def equalise(
    graph: FloatGraph, images: Iterable[npt.NDArray[np.float32]]
) -> tuple[FloatGraph, int]:
    """Return an equal network whose tensors beside depthwise convolutions have even channels.

    Args:
        graph: The float network.
        images: float32 [C, H, W] each, normalised; some calibration images, read once and only
            when there is anything to equalise.

    Returns:
        The network, and the number of tensors that were equalised (0: the very same network).
    """
    pairs = find_pairs(graph)
    if not pairs:
        return graph, 0
    largest = _largest_of_channels(graph, {p.tensor for p in pairs}, images)
    ops = {op.name: op for op in graph.ops}
    for pair in pairs:
        first, second = ops[pair.first], ops[pair.second]
        share = 1.0 if _is_depthwise(second) else DENSE_SHARE
        factors = _factors(largest[pair.tensor]) ** share
        if isinstance(first, FloatConv) and isinstance(second, FloatConv | FloatLinear):
            ops[first.name] = _divided(first, factors)
            ops[second.name] = _multiplied(second, factors)
    return replace(graph, ops=tuple(ops[op.name] for op in graph.ops)), len(pairs)


def find_pairs(graph: FloatGraph) -> tuple[Pair, ...]:
    """Return the pairs of layers of which one is depthwise."""
    readers: dict[str, list[FloatOp]] = {op.name: [] for op in graph.ops}
    for op in graph.ops:
        for source in float_sources_of(op):
            readers[source].append(op)
    pairs = []
    for op in graph.ops:
        if isinstance(op, FloatConv):
            pair = _pair_from(op, readers, graph)
            if pair is not None:
                pairs.append(pair)
    return tuple(pairs)


def _pair_from(
    first: FloatConv, readers: dict[str, list[FloatOp]], graph: FloatGraph
) -> Pair | None:
    tensor = name = first.name
    while len(readers[name]) == 1 and name not in graph.outputs:
        reader = readers[name][0]
        match reader:
            case FloatActivation() if reader.kind in HOMOGENEOUS:
                tensor = name = reader.name
            case FloatMaxPool() | FloatAvgPool():
                name = reader.name
            case FloatConv() | FloatLinear():
                apart = _is_depthwise(first) or _is_depthwise(reader)
                return Pair(first.name, tensor, reader.name) if apart else None
            case _:
                return None
    return None


def _is_depthwise(op: FloatOp) -> bool:
    return isinstance(op, FloatConv) and op.groups > 1 and op.weight.shape[1] == 1


def _largest_of_channels(
    graph: FloatGraph, tensors: set[str], images: Iterable[npt.NDArray[np.float32]]
) -> dict[str, Floats]:
    """Return the largest absolute value of every channel, float64 [C], by tensor."""
    found: dict[str, Floats] = {}

    def visit(name: str, tensor: torch.Tensor) -> None:
        if name in tensors:
            largest = tensor.abs().amax(dim=(0, 2, 3)).double().numpy()
            found[name] = np.maximum(found[name], largest) if name in found else largest

    executor = FloatExecutor(graph)
    for image in images:
        executor.run(image[None], visit)
    return found


def _factors(largest: Floats) -> Floats:
    """Return by what each channel is divided: at most 1, at least ``1 / MOST``."""
    top = float(largest.max())
    if top <= 0.0:
        return np.ones_like(largest)
    return np.maximum(largest / top, 1.0 / MOST)


def _divided(op: FloatConv, factors: Floats) -> FloatConv:
    weight = op.weight / factors[:, None, None, None]
    return replace(
        op, weight=weight.astype(np.float32), bias=(op.bias / factors).astype(np.float32)
    )


def _multiplied(op: FloatConv | FloatLinear, factors: Floats) -> FloatConv | FloatLinear:
    if isinstance(op, FloatLinear):
        repeat = op.weight.shape[1] // len(factors)  # flattened channel-major
        weight = op.weight * np.repeat(factors, repeat)[None]
        return replace(op, weight=weight.astype(np.float32))
    filters, width = op.weight.shape[:2]
    group = np.arange(filters) // (filters // op.groups)
    channel = group[:, None] * width + np.arange(width)[None]
    weight = op.weight * factors[channel][:, :, None, None]
    return replace(op, weight=weight.astype(np.float32))

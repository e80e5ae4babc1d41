# SPDX-License-Identifier: Apache-2.0
"""Moment matching: per-filter gain and bias that give every layer the float network's statistics.

Rounding of weights and clipping of activations shift the mean and shrink the spread of a layer's
output, and later layers add this up. Going through the integer graph once, in order, every filter's
gain and bias are moved so that mean and deviation of its output before the activation equal the
float network's on the same images, with all earlier layers already quantized and corrected. The
gain goes into the real weight scale and the requantize multiplier, so it costs nothing at run time.

Matching the mean alone is not enough at 4 bits: noise raises the mean behind a convex activation,
its correction then starves the next layer, and a deep network fades out.

Source: empirical bias correction of Nagel et al., Data-Free Quantization Through Weight
Equalization and Bias Correction, ICCV 2019, section 4.2; the gain as in PWLQ's bias correction,
Fang et al., Post-Training Piecewise Linear Quantization for Deep Neural Networks, ECCV 2020.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Node, sources_of
from quant.ptq.executor import FloatExecutor, last_readers
from quant.ptq.lowered import apply_node, decoded, finish_layer, integer_weights
from quant.ptq.requantizers import fixed_point

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint16]
Moments = tuple[Floats, Floats]

# A filter's output is never scaled by more than this, nor by less than its inverse.
GAIN_LIMIT = 2.0


def float_moments(graph: FloatGraph, images: npt.NDArray[np.float32]) -> dict[str, Moments]:
    """Return mean and deviation of every layer's output before its activation.

    Args:
        graph: The float network.
        images: float32 [N, C, H, W].

    Returns:
        By layer name, two float64 [F].
    """
    layers = {op.name for op in graph.ops if isinstance(op, FloatConv | FloatLinear)}
    sums: dict[str, Floats] = {}

    def visit(name: str, tensor: torch.Tensor) -> None:
        if name in layers:
            sums[name] = sums.get(name, 0.0) + _moments(tensor.reshape(*tensor.shape[:2], -1, 1))

    executor = FloatExecutor(graph)
    for image in images:
        executor.run(image[None], visit)
    return {name: _mean_and_deviation(total / len(images)) for name, total in sums.items()}


def _moments(tensor: torch.Tensor) -> Floats:
    """Return mean and mean square per filter, float64 [2, F], of [1, F, H, W]."""
    exact = tensor[0].flatten(1).double()
    return np.stack([exact.mean(dim=1).numpy(), exact.square().mean(dim=1).numpy()])


def _mean_and_deviation(moments: Floats) -> Moments:
    mean, square = moments
    return mean, np.sqrt(np.maximum(square - mean * mean, 0.0))


def match_moments(
    graph: QGraph, wanted: Mapping[str, Moments], codes: npt.NDArray[np.uint8]
) -> QGraph:
    """Return the graph with every layer's gain and bias matched.

    Memory holds the live tensors of all images as codes, and the sums of one layer.

    Args:
        graph: The lowered graph.
        wanted: ``float_moments`` of the same images.
        codes: Input codes of the images, uint8 [N, C, H, W].
    """
    free = last_readers([(n.name, sources_of(n)) for n in graph.nodes])
    live: dict[str, Codes] = {graph.input.name: codes.astype(np.uint16)}
    nodes: list[Node] = []
    with torch.inference_mode():
        for original in graph.nodes:
            node = original
            if not isinstance(node, Input):
                names = sources_of(node)
                formats = [graph.formats[s] for s in names]
                if isinstance(node, Conv | Linear):
                    node, made = _corrected(node, live[node.source], formats[0], wanted[node.name])
                else:
                    made = [
                        _codes(apply_node(node, [_tensor(live[s][i]) for s in names], formats))
                        for i in range(len(codes))
                    ]
                live[node.name] = np.stack(made)
            nodes.append(node)
            for name in free[original.name]:
                live.pop(name, None)
    return QGraph(graph.name, tuple(nodes))


def _corrected(
    node: Conv | Linear, codes: Codes, source: TensorFormat, wanted: Moments
) -> tuple[Conv | Linear, list[Codes]]:
    """Return the layer with gain and bias moved, and the codes it then makes of every image."""
    weights = integer_weights(node.weights).float()
    products = [_products(node, weights, _tensor(image), source) for image in codes]
    total = np.sum([_moments(p) for p in products], axis=0) / len(products)
    mean, deviation = _mean_and_deviation(total)
    step = np.broadcast_to(node.weights.scale.astype(np.float64), mean.shape) * source.scale
    gain = _gain(wanted[1], step * deviation)
    if isinstance(node, Linear):  # one value per image: too few for a deviation
        gain = np.ones_like(gain)
    moved = _with_gain(node, gain)
    bias = np.floor(wanted[0] / (step * gain) - mean + 0.5).astype(np.int64)
    moved = replace(moved, bias=bias)
    offset = torch.from_numpy(bias)[None, :, None, None]
    return moved, [_codes(finish_layer(moved, p.long() + offset)) for p in products]


def _gain(wanted: Floats, have: Floats) -> Floats:
    """Return the factor per filter that makes the deviation the wanted one, within limits."""
    ratio = np.divide(wanted, have, out=np.ones_like(wanted), where=have > 0.0)
    return np.clip(np.where(wanted > 0.0, ratio, 1.0), 1.0 / GAIN_LIMIT, GAIN_LIMIT)


def _with_gain(node: Conv | Linear, gain: Floats) -> Conv | Linear:
    """Return the layer with its outputs scaled: a new real scale and a new requantizer."""
    old = node.requant
    real = old.multiplier.astype(np.float64) * 2.0 ** -old.shift.astype(np.float64) * gain
    multiplier, shift = fixed_point(real, node.name)
    scale = np.broadcast_to(node.weights.scale.astype(np.float64), gain.shape) * gain
    return replace(
        node,
        requant=replace(old, multiplier=multiplier, shift=shift),
        weights=replace(node.weights, scale=scale.astype(np.float32)),
    )


def _products(
    node: Conv | Linear, weights: torch.Tensor, codes: torch.Tensor, fmt: TensorFormat
) -> torch.Tensor:
    """Return the accumulators without bias, float32: means and later layers bear its rounding."""
    values = decoded(codes, fmt).float()
    if isinstance(node, Linear):
        return (values.flatten(1) @ weights.flatten(1).T)[:, :, None, None]
    top, left, bottom, right = node.padding
    padded = F.pad(values, (left, right, top, bottom), value=float(fmt.zero_point))
    return F.conv2d(padded, weights, None, node.stride, groups=node.groups)


def _tensor(codes: Codes) -> torch.Tensor:
    return torch.from_numpy(codes.astype(np.int64))[None]


def _codes(tensor: torch.Tensor) -> Codes:
    return tensor[0].numpy().astype(np.uint16)

# SPDX-License-Identifier: Apache-2.0
"""The study: every scheme at every granularity on one network's weights.

A row is one setting of the whole network: its memory in both accountings, and the error of the
weights, once at real levels per group (the study's fake quantizer) and once as stored integers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.memory import MemorySummary
from quant.ptq.executor import FloatExecutor
from quant.ptq.lower import decibels, edge_names
from quant.ptq.schemes.setting import Setting, quantize_layer
from quant.ptq.steps import plan_steps
from quant.ptq.weightquant import QuantizedLayer
from quant.weightsonly import LayerWeights, weights_memory

Floats32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StudiedNetwork:
    """One network at one setting.

    Attributes:
        setting: The setting.
        layers: Stored weights of every layer.
        real: Weights at real levels, float32 in the shape of the float network's, by layer.
        memory: Both accountings.
        sqnr_db: Of all weights at real levels, in dB.
        stored_sqnr_db: Of the stored integers, in dB.
        quantized: What each layer was rounded to; kept only when asked for.
    """

    setting: Setting
    layers: tuple[LayerWeights, ...]
    real: Mapping[str, Floats32]
    memory: MemorySummary
    sqnr_db: float
    stored_sqnr_db: float
    quantized: Mapping[str, QuantizedLayer]


def weight_layers_of(graph: FloatGraph) -> dict[str, Floats32]:
    """Return the weights of every layer as float32 OIHW, by name, in graph order."""
    return {
        op.name: op.weight if isinstance(op, FloatConv) else op.weight[:, :, None, None]
        for op in graph.ops
        if isinstance(op, FloatConv | FloatLinear)
    }


def edges_of(graph: FloatGraph) -> frozenset[str]:
    """Return the names of the first convolution and of the head's layers."""
    steps = plan_steps(graph)
    return edge_names(steps, {s.name for s in steps})


def quantize_network(
    graph: FloatGraph,
    setting: Setting,
    importance: Mapping[str, Floats] | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    keep: bool = False,
) -> StudiedNetwork:
    """Round all weights of a network.

    Args:
        graph: The float network.
        setting: How.
        importance: By layer, float64 that broadcasts to its weights: what ``input_energy`` returns;
            all errors count the same without it.
        progress: Called with the number of weights of each finished layer.
        keep: Whether to keep what each layer was rounded to.
    """
    edges = edges_of(graph)
    layers: list[LayerWeights] = []
    real: dict[str, Floats32] = {}
    kept: dict[str, QuantizedLayer] = {}
    signal, noise, stored_noise = 0.0, 0.0, 0.0
    for name, weight in weight_layers_of(graph).items():
        counts = None if importance is None else importance[name]
        found = quantize_layer(weight, setting, counts, edge=name in edges)
        rounded = found.real
        signal += float(np.square(weight, dtype=np.float64).sum())
        noise += float(np.square(rounded - weight).sum())
        stored_noise += float(np.square(found.stored_real - weight).sum())
        real[name] = rounded.astype(np.float32)
        layers.append(LayerWeights(name, found.weights, weight.shape[0]))
        if keep:
            kept[name] = found
        if progress is not None:
            progress(weight.size)
    return StudiedNetwork(
        setting,
        tuple(layers),
        real,
        weights_memory(layers),
        decibels(signal, noise),
        decibels(signal, stored_noise),
        kept,
    )


def with_weights(graph: FloatGraph, weights: Mapping[str, Floats32]) -> FloatGraph:
    """Return the float network with other weights.

    Args:
        graph: The float network.
        weights: float32 OIHW by layer name; layers that are missing keep theirs.
    """
    ops = tuple(
        replace(op, weight=weights[op.name].reshape(op.weight.shape))
        if isinstance(op, FloatConv | FloatLinear) and op.name in weights
        else op
        for op in graph.ops
    )
    return replace(graph, ops=ops)


def input_energy(graph: FloatGraph, images: Floats32) -> dict[str, Floats]:
    """Return how much each weight's error counts: the mean square of the input that it meets.

    It is the diagonal of the Hessian of a layer's squared output error, up to a factor.

    Args:
        graph: The float network.
        images: float32 [N, C, H, W], normalised.

    Returns:
        By layer, float64 [F, C/groups, 1, 1].
    """
    sources = {op.name: op.source for op in graph.ops if isinstance(op, FloatConv | FloatLinear)}
    wanted = set(sources.values())
    sums: dict[str, Floats] = {}
    executor = FloatExecutor(graph)

    def visit(name: str, tensor: object) -> None:
        if name in wanted:
            values = np.asarray(tensor, np.float64)
            sums[name] = sums.get(name, np.zeros(values.shape[1:])) + np.square(values).sum(axis=0)

    for image in images:
        executor.run(image[None], visit)
    found = {}
    for op in graph.ops:
        if isinstance(op, FloatConv):
            filters, channels = op.weight.shape[:2]
            means = sums[op.source].mean(axis=(1, 2)) / len(images)
            per_group = means.reshape(op.groups, 1, channels)
            repeated = np.repeat(per_group, filters // op.groups, axis=1)
            found[op.name] = repeated.reshape(filters, channels, 1, 1)
        elif isinstance(op, FloatLinear):
            found[op.name] = (sums[op.source].reshape(1, -1, 1, 1)) / len(images)
    return found

# SPDX-License-Identifier: Apache-2.0
"""The study: every scheme at every granularity on one network's weights.

A row is one setting of the whole network: its memory in both accountings, and the error of the
weights, once at real levels per group (the study's fake quantizer) and once as stored integers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.memory import MemorySummary
from quant.ptq.executor import FloatExecutor
from quant.ptq.lower import breakpoint_record, dead_filters, decibels, edge_names
from quant.ptq.schemes.setting import Setting, quantize_layer
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import plan_steps
from quant.ptq.weightquant import QuantizedLayer
from quant.record import BreakpointRecord, LayerRecord
from quant.weightsonly import LayerWeights, weights_memory

# Layers rounded at once: sorting and sums run without Python's lock. Each needs its own memory.
WORKERS = 2

# Images that are enough to weigh the errors of weights with the energy of their inputs.
ENERGY_IMAGES = 16

Floats32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RoundedNetwork:
    """A network whose weights were rounded.

    Attributes:
        layers: Stored weights of every layer.
        records: Bits, scheme, granularity and error of every layer.
        breakpoints: Of PWLQ layers.
        real: Weights to run, float32 OIHW by layer: at real levels, or of the stored integers.
        memory: Both accountings.
        sqnr_db: Of all weights at real levels, in dB.
        stored_sqnr_db: Of the stored integers, in dB.
    """

    layers: tuple[LayerWeights, ...]
    records: tuple[LayerRecord, ...]
    breakpoints: tuple[BreakpointRecord, ...]
    real: Mapping[str, Floats32]
    memory: MemorySummary
    sqnr_db: float
    stored_sqnr_db: float


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
    edge: Setting | None = None,
    stored: bool = False,
) -> RoundedNetwork:
    """Round all weights of a network at one setting.

    Args:
        graph: The float network.
        setting: How.
        importance: By layer, float64 that broadcasts to its weights: what ``input_energy`` returns;
            all errors count the same without it.
        progress: Called with the number of weights of each finished layer.
        edge: How the first convolution and the head are rounded; like the rest without it.
        stored: Whether ``real`` is the value of the stored integers, not of real levels.
    """
    edges = frozenset() if edge is None else edges_of(graph)

    def setting_of(name: str) -> Setting:
        return edge if edge is not None and name in edges else setting

    return _rounded(graph, setting_of, importance, progress, stored)


def quantize_weights_of(
    graph: FloatGraph,
    settings: QuantizeSettings,
    importance: Mapping[str, Floats] | None = None,
    progress: Callable[[int], None] | None = None,
) -> RoundedNetwork:
    """Round all weights of a network as ``nibbleflow quantize --weights-only`` was told.

    Args:
        graph: The float network.
        settings: Bits by layer, scheme, granularity; what it says of activations does not matter.
        importance: As for ``quantize_network``.
        progress: As for ``quantize_network``.
    """
    edges = edges_of(graph)

    def setting_of(name: str) -> Setting:
        return settings.weights_of(settings.weight_bits_of(name, edge=name in edges))

    return _rounded(graph, setting_of, importance, progress, True)


def _rounded(
    graph: FloatGraph,
    setting_of: Callable[[str], Setting],
    importance: Mapping[str, Floats] | None,
    progress: Callable[[int], None] | None,
    stored: bool,
) -> RoundedNetwork:
    layers: list[LayerWeights] = []
    records: list[LayerRecord] = []
    points: list[BreakpointRecord] = []
    real: dict[str, Floats32] = {}
    signal, noise, stored_noise = 0.0, 0.0, 0.0
    weights = weight_layers_of(graph)

    def quantized(name: str) -> QuantizedLayer:
        counts = None if importance is None else importance[name]
        return quantize_layer(weights[name], setting_of(name), counts)

    for name, found in _in_order(quantized, list(weights)):
        weight = weights[name]
        rounded, integers = found.real, found.stored_real
        own = float(np.square(weight, dtype=np.float64).sum())
        lost = float(np.square(integers - weight).sum())
        signal, stored_noise = signal + own, stored_noise + lost
        noise += float(np.square(rounded - weight).sum())
        real[name] = (integers if stored else rounded).astype(np.float32)
        layers.append(LayerWeights(name, found.weights, weight.shape[0]))
        records.append(
            LayerRecord(
                name,
                "weights",
                found.weights.bits,
                0,
                found.weights.scheme,
                str(found.weights.granularity),
                decibels(own, lost),
                None,
                dead_filters(found.weights),
            )
        )
        if found.breakpoints is not None:
            points.append(breakpoint_record(name, found.breakpoints))
        if progress is not None:
            progress(weight.size)
    return RoundedNetwork(
        tuple(layers),
        tuple(records),
        tuple(points),
        real,
        weights_memory(layers),
        decibels(signal, noise),
        decibels(signal, stored_noise),
    )


def _in_order(
    quantized: Callable[[str], QuantizedLayer], names: Sequence[str]
) -> Iterator[tuple[str, QuantizedLayer]]:
    """Yield every layer as ``quantized`` rounds it, in order, while the next are being rounded."""
    with ThreadPoolExecutor(WORKERS) as pool:
        ahead = [pool.submit(quantized, name) for name in names[:WORKERS]]
        try:
            for number, name in enumerate(names):
                found = ahead.pop(0).result()
                following = names[number + WORKERS : number + WORKERS + 1]
                ahead += [pool.submit(quantized, other) for other in following]
                yield name, found
        finally:
            for task in ahead:
                task.cancel()


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

# SPDX-License-Identifier: Apache-2.0
"""How much the outputs lose when one layer's weights alone are rounded, and what more bits cost.

The error of a layer's outputs follows from the second moments of its inputs; what the network's
outputs lose by it, from the mean squared gradients of ``quant.ptq.importance``. Stem and head keep
more bits for this reason; the figures say whether they need them, and whether another layer does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.hostspec import HostSpec
from quant.ptq.executor import FloatExecutor
from quant.ptq.importance import output_importance
from quant.ptq.lower import decibels, edge_names
from quant.ptq.recipes.grid import in_groups
from quant.ptq.recipes.losses import output_curvature
from quant.ptq.recipes.statistics import MomentSums
from quant.ptq.schemes.integers import real_weights
from quant.ptq.schemes.setting import quantize_layer
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import Step
from quant.weights import Weights

IMAGES = 12
COLUMNS = 8_000
SHOWN = 6
BITS_PER_KIB = 8192


@dataclass(frozen=True)
class Sensitivity:
    """One layer.

    Attributes:
        name: The layer.
        edge: Whether it is the stem or one of the head.
        bits: Bits that its weights get.
        low_bits: Bits of the inner layers.
        low_db: Outputs' SQNR with this layer alone rounded to the nearest of ``low_bits`` bits.
        own_db: The same at its own bits.
        extra_kib: What its own bits store beyond ``low_bits``, in KiB.
    """

    name: str
    edge: bool
    bits: int
    low_bits: int
    low_db: float
    own_db: float
    extra_kib: float


class LayerInputs:
    """Second moments of what every layer reads in the float network, on a few images.

    Attributes:
        graph: The float network.
        images: float32 [N, C, H, W], normalised.
        weights: float32 OIHW by layer.
        moments: By layer.
    """

    def __init__(self, graph: FloatGraph, images: npt.NDArray[np.float32]) -> None:
        """Run the network.

        Args:
            graph: The float network.
            images: float32 [N, C, H, W], normalised; the first few are read.
        """
        self.graph, self.images = graph, images[:IMAGES]
        layers = {op.name: op for op in graph.ops if isinstance(op, FloatConv | FloatLinear)}
        self.weights = {
            name: op.weight if isinstance(op, FloatConv) else op.weight[:, :, None, None]
            for name, op in layers.items()
        }
        sums = {
            name: MomentSums(op, COLUMNS, len(self.images), number)
            for number, (name, op) in enumerate(layers.items())
        }
        _count(graph, layers, sums, self.images)
        self.moments = {name: each.moments() for name, each in sums.items()}


class OutputCosts:
    """What the outputs lose when one layer's weights are rounded.

    Attributes:
        weights: float32 OIHW by layer.
    """

    def __init__(self, inputs: LayerInputs, host: HostSpec | None = None) -> None:
        """Measure what errors inside the network do to its outputs.

        Args:
            inputs: Of the network's layers.
            host: Says what the outputs mean: with it a loss is that of distillation, which knows
                boxes and scores; without it the outputs' noise relative to their energy.
        """
        graph = inputs.graph
        self.weights, self._moments = inputs.weights, inputs.moments
        felt = None if host is None else partial(output_curvature, host)
        self._importance = output_importance(graph, set(self.weights), inputs.images, felt)
        self._pixels = {n: graph.shapes[n][1] * graph.shapes[n][2] for n in self.weights}

    def of(self, name: str, weights: Weights) -> float:
        """Return what the outputs lose by one rounded layer."""
        moments = self._moments[name]
        error = moments.error(in_groups(real_weights(weights), moments.hessian.shape[0]))
        each = error.clamp(min=0.0).reshape(-1).numpy()
        return float((each * self._importance[name]).sum()) * self._pixels[name]


def sensitivities(
    steps: tuple[Step, ...], settings: QuantizeSettings, costs: OutputCosts
) -> tuple[Sensitivity, ...]:
    """Return every layer's figures, the most sensitive first.

    Args:
        steps: Steps of the network.
        settings: Bits and schemes.
        costs: Of the network.
    """
    edges = edge_names(steps, {s.name for s in steps})
    found = []
    for name, weight in costs.weights.items():
        own, low = settings.weight_bits_of(name, edge=name in edges), settings.weight_bits
        lost = {
            bits: costs.of(name, quantize_layer(weight, settings.weights_of(bits)).weights)
            for bits in {own, low}
        }
        found.append(
            Sensitivity(
                name,
                name in edges,
                own,
                low,
                decibels(1.0, lost[low]),
                decibels(1.0, lost[own]),
                (own - low) * weight.size / BITS_PER_KIB,
            )
        )
    return tuple(sorted(found, key=lambda s: s.low_db))


def sensitivity_note(found: tuple[Sensitivity, ...]) -> str:
    """Say which layers the outputs feel most, and what stem and head cost."""
    words = [
        f"'{s.name}' {s.low_db:.1f} dB" + (f" (at {s.bits}: {s.own_db:.1f})" if s.edge else "")
        for s in found[:SHOWN]
    ]
    edges = [s for s in found if s.edge]
    extra = sum(s.extra_kib for s in edges)
    places = ", ".join(f"'{s.name}' {found.index(s) + 1}." for s in edges)
    return (
        f"outputs' SQNR with one layer alone at {found[0].low_bits} bits, the most sensitive of "
        f"{len(found)} first: {', '.join(words)}; stem and head ({places}) take {extra:.1f} KiB "
        "more than inner layers' bits would; --edge-bits and --layer choose otherwise"
    )


def _count(
    graph: FloatGraph,
    layers: Mapping[str, FloatConv | FloatLinear],
    sums: Mapping[str, MomentSums],
    images: npt.NDArray[np.float32],
) -> None:
    """Add up the moments of every layer on the float network."""
    executor = FloatExecutor(graph)
    # A tensor is kept until its last reader has counted it.
    readers: dict[str, int] = {}
    for op in layers.values():
        readers[op.source] = readers.get(op.source, 0) + 1
    for number, image in enumerate(images):
        waiting: dict[str, torch.Tensor] = {}
        left = dict(readers)

        def see(
            name: str,
            tensor: torch.Tensor,
            number: int = number,
            waiting: dict[str, torch.Tensor] = waiting,
            left: dict[str, int] = left,
        ) -> None:
            op = layers.get(name)
            if op is not None:
                sums[name].see(waiting[op.source], tensor, number)
                left[op.source] -= 1
                if not left[op.source]:
                    del waiting[op.source]
            if name in readers:
                waiting[name] = tensor.clone()

        executor.run(image[None], see)

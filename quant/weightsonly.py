# SPDX-License-Identifier: Apache-2.0
"""A network whose weights alone are quantized: activations and biases stay float.

It is the setting of weight-only studies. There is no integer graph, so nothing to build or verify;
there is accuracy to compare and memory to count.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quant.bundle.layout import MemoryKind, weight_tensors
from quant.errors import GraphError, QuantizationError
from quant.memory import (
    FP16_BITS,
    MemoryLine,
    MemorySummary,
    published_overhead_bits,
    published_weight_bits,
)
from quant.weights import ENTRY_LIMIT, MAX_TABLES, Granularity, Scheme, Weights

SCALE_BITS = 32


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Stored weights of one layer.

    Attributes:
        name: Name of the convolution or linear layer.
        weights: Its stored weights.
        biases: Number of its biases, which stay float.
    """

    name: str
    weights: Weights
    biases: int


@dataclass(frozen=True, eq=False)
class WeightsModel:
    """Every layer's stored weights.

    Attributes:
        name: Name of the network.
        layers: In the float network's order.
    """

    name: str
    layers: tuple[LayerWeights, ...]

    def __post_init__(self) -> None:
        """Check that layers can be told apart.

        Raises:
            GraphError: There is no layer, or two have the same name.
        """
        names = [layer.name for layer in self.layers]
        if not names:
            raise GraphError(f"weights of '{self.name}' have 0 layers; needed 1")
        for name in names:
            if names.count(name) > 1:
                raise GraphError(f"weights of '{self.name}' name the layer '{name}' twice")


def weights_memory(
    layers: Sequence[LayerWeights], other_parameters: int | None = None
) -> MemorySummary:
    """Count weights both ways.

    *Honest*: codes with region bits, decode tables, selectors, group multipliers, 32-bit scales,
    and 16 bits for each bias, which stays float. The baseline is 16 bits for each weight and bias.
    *As published*: as ``quant.memory`` says.

    Args:
        layers: The layers; at least one.
        other_parameters: ``e`` of the published formula; the biases when absent.

    Raises:
        QuantizationError: There is no layer.
    """
    if not layers:
        raise QuantizationError("there are 0 layers with weights; memory ratios need 1")
    lines = tuple(line for layer in layers for line in _lines(layer))
    weights = sum(layer.weights.codes.size for layer in layers)
    biases = sum(layer.biases for layer in layers)
    others = biases if other_parameters is None else other_parameters
    return MemorySummary(
        lines=lines,
        bits=sum(line.bits for line in lines),
        fp16_bits=FP16_BITS * (weights + biases),
        published_bits=_published_bits(layers, others),
        published_fp16_bits=FP16_BITS * (weights + others),
    )


def honest_ratio_of_shapes(
    layers: Sequence[tuple[tuple[int, int, int, int], int, Granularity]],
    scheme: Scheme,
    multiplier_bits: Mapping[Granularity, int],
) -> float:
    """Return the honest memory-saving ratio of a network from its weight shapes alone.

    Tables and their entries count at the largest that the scheme may need.

    Args:
        layers: OIHW, stored bits and granularity of every layer; each filter has a bias.
        scheme: ``affine``, ``symmetric`` or ``pwlq``; a codebook counts like PWLQ.
        multiplier_bits: Stored bits of a group multiplier of each granularity; none are stored
            where a scale has one group.
    """
    stored = baseline = 0
    for shape, bits, granularity in layers:
        filters = shape[0]
        weights = math.prod(shape)
        groups = math.prod(granularity.group_shape(shape))
        tables = 1 if scheme == "symmetric" else min(MAX_TABLES, 1 << bits, groups)
        entry_bits = bits + 1 if scheme == "affine" else ENTRY_LIMIT[bits].bit_length() + 1
        if scheme == "symmetric":
            entry_bits = bits
        per_filter = granularity in (Granularity.FILTER, Granularity.C_SHAPE)
        scales = filters if per_filter else 1
        multipliers = groups if groups > scales else 0
        stored += bits * weights + tables * entry_bits * (1 << bits)
        stored += groups * (tables - 1).bit_length() + multipliers * multiplier_bits[granularity]
        stored += SCALE_BITS * scales + FP16_BITS * filters
        baseline += FP16_BITS * (weights + filters)
    return baseline / stored


def _lines(layer: LayerWeights) -> list[MemoryLine]:
    lines = [
        MemoryLine(layer.name, tensor.kind, int(tensor.values.size), tensor.bit_count)
        for tensor in weight_tensors(layer.name, layer.weights)
    ]
    scales = int(layer.weights.scale.size)
    lines.append(MemoryLine(layer.name, MemoryKind.SCALES, scales, SCALE_BITS * scales))
    lines.append(MemoryLine(layer.name, MemoryKind.BIASES, layer.biases, FP16_BITS * layer.biases))
    return lines


def _published_bits(layers: Sequence[LayerWeights], others: int) -> int | None:
    total = FP16_BITS * others
    for layer in layers:
        weights = layer.weights
        overhead = published_overhead_bits(weights.scheme, weights.bits)
        if overhead is None:
            return None
        width = published_weight_bits(weights.scheme, weights.bits)
        total += width * weights.codes.size + overhead * weights.groups
    return total

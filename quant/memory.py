# SPDX-License-Identifier: Apache-2.0
"""How many bits a graph stores, and how many the paper would count. No rounding, no estimates.

Two accountings, both against FP16:

*Honest* is every stored bit that an engine reads: weight codes with their region bits, decode
tables, table selectors, group multipliers, zero points, requantize multipliers (17 bits) and shifts
(6 bits), 32-bit biases, activation tables (their own line) and activation codebooks. The baseline
is the fused model, 16 bits for each weight and bias. Not counted: real scales (reports read them,
no engine does), shapes, and the two clip limits of a node, which are wiring.

*As published* is the accounting of "Quantizing YOLOv7: A Comprehensive Study" (arXiv 2407.04943),
rebuilt from its four figures: ``16*(N+e) / (b*N + O*G + 16*e)`` with N weights of b bits, G groups
of O overhead bits, and e other parameters left in FP16. It leaves out the region bit of PWLQ and
has no figure for free codebooks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from quant.bundle.layout import (
    REQUANT_MULTIPLIER_BITS,
    REQUANT_SHIFT_BITS,
    MemoryKind,
    shared_zero_point,
    stored_tensors,
    weight_tensors,
)
from quant.errors import QuantizationError
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
)
from quant.weights import Granularity, Scheme, Weights

FP16_BITS = 16
# PWLQ with 4-bit regions stores 5 bits; the published figures count 4.
_REGION_BIT_FROM = 5


@dataclass(frozen=True)
class MemoryLine:
    """Stored bits of one kind in one node.

    Attributes:
        node: Name of the node.
        kind: What the bits are for.
        count: Stored elements.
        bits: All their bits.
    """

    node: str
    kind: MemoryKind
    count: int
    bits: int


@dataclass(frozen=True)
class MemorySummary:
    """Both accountings of one graph.

    Attributes:
        lines: Every stored bit, by node and kind.
        bits: Sum of the lines.
        fp16_bits: FP16 of the fused model: 16 bits for each weight and bias.
        published_bits: The paper's count; null when an encoding is not the paper's.
        published_fp16_bits: The paper's baseline, with the same other parameters.
    """

    lines: tuple[MemoryLine, ...]
    bits: int
    fp16_bits: int
    published_bits: int | None
    published_fp16_bits: int

    @property
    def honest_ratio(self) -> float:
        """FP16 bits over stored bits."""
        return self.fp16_bits / self.bits

    @property
    def published_ratio(self) -> float | None:
        """The paper's memory-saving ratio; null when an encoding is not the paper's."""
        if self.published_bits is None:
            return None
        return self.published_fp16_bits / self.published_bits

    def bits_of(self, kind: MemoryKind) -> int:
        """Return the stored bits of one kind over all nodes."""
        return sum(line.bits for line in self.lines if line.kind is kind)


def memory_summary(graph: QGraph, other_parameters: int | None = None) -> MemorySummary:
    """Count one graph both ways.

    Args:
        graph: The integer graph.
        other_parameters: ``e`` of the published formula, parameters that are no weights of a
            convolution or linear layer; the biases of the fused model when absent.

    Raises:
        QuantizationError: The graph has no weights, so that there is nothing to compare.
    """
    layers = weight_layers(graph)
    if not layers:
        raise QuantizationError(
            f"graph '{graph.name}' has 0 convolution or linear layers; memory ratios need 1"
        )
    lines = honest_bits(graph)
    weights = sum(node.weights.codes.size for node in layers)
    others = _biases(graph) if other_parameters is None else other_parameters
    return MemorySummary(
        lines=lines,
        bits=sum(line.bits for line in lines),
        fp16_bits=fp16_bits(graph),
        published_bits=published_bits(graph, others),
        published_fp16_bits=FP16_BITS * (weights + others),
    )


def weight_layers(graph: QGraph) -> tuple[Conv | Linear, ...]:
    """Return the nodes that own weights, in graph order."""
    return tuple(n for n in graph.nodes if isinstance(n, Conv | Linear))


def fp16_bits(graph: QGraph) -> int:
    """Return the honest baseline: 16 bits for each weight and bias of the fused model."""
    return FP16_BITS * (sum(n.weights.codes.size for n in weight_layers(graph)) + _biases(graph))


def honest_bits(graph: QGraph) -> tuple[MemoryLine, ...]:
    """Return every stored bit of the graph by node and kind, in node order.

    The arrays are those of the bundle, at the bundle's widths. To them come single numbers: one
    zero point where all filters share it, the zero point of every format that no requantizer
    carries, the constants of an addition, and codebooks (``2**bits`` entries of the decoded width).
    """
    return tuple(line for node in graph.nodes for line in _node_lines(node))


def weight_bits(weights: Weights) -> int:
    """Return the stored bits of one layer's weights: codes, tables, selectors, multipliers."""
    return sum(t.bit_count for t in weight_tensors("", weights))


def published_bits(graph: QGraph, other_parameters: int | None = None) -> int | None:
    """Return the paper's count: ``sum(b*N + O*G) + 16*e``, or null without a published encoding.

    Args:
        graph: The integer graph.
        other_parameters: ``e``; the biases of the fused model when absent.
    """
    total = FP16_BITS * (_biases(graph) if other_parameters is None else other_parameters)
    for node in weight_layers(graph):
        weights = node.weights
        overhead = published_overhead_bits(weights.scheme, weights.bits)
        if overhead is None:
            return None
        width = published_weight_bits(weights.scheme, weights.bits)
        total += width * weights.codes.size + overhead * weights.groups
    return total


def published_weight_bits(scheme: Scheme, bits: int) -> int:
    """Return the bits per weight that the paper counts for codes of ``bits`` stored bits.

    PWLQ codes of five and more bits carry a region bit that the published figures leave out;
    shorter ones count in full.
    """
    return bits - 1 if scheme == "pwlq" and bits >= _REGION_BIT_FROM else bits


def published_overhead_bits(scheme: Scheme, bits: int) -> int | None:
    """Return the paper's overhead per group, O, for codes of ``bits`` stored bits.

    Affine: an FP16 scale and a zero point as wide as a weight (20 bits at 4); symmetric: the scale
    (16); PWLQ: twice the affine pair (40 at 4-bit regions); free codebooks: null.
    """
    width = published_weight_bits(scheme, bits)
    match scheme:
        case "symmetric":
            return FP16_BITS
        case "affine":
            return FP16_BITS + width
        case "pwlq":
            return 2 * (FP16_BITS + width)
        case "codebook":
            return None
        case _:
            assert_never(scheme)


def published_ratio(
    shapes: Sequence[tuple[int, int, int, int]],
    granularity: Granularity,
    bits: int,
    overhead_bits: int,
    other_parameters: int,
) -> float:
    """Return the paper's memory-saving ratio of a network from its weight shapes alone.

    Args:
        shapes: OIHW of every weight tensor.
        granularity: Which weights share a group.
        bits: Counted bits per weight.
        overhead_bits: Overhead per group, O.
        other_parameters: Parameters left in FP16, e.

    Raises:
        QuantizationError: There are no weights, or a count is negative.
    """
    weights = sum(f * c * kh * kw for f, c, kh, kw in shapes)
    groups = 0
    for shape in shapes:
        f, c, kh, kw = granularity.group_shape(shape)
        groups += f * c * kh * kw
    return published_ratio_of_counts(weights, groups, bits, overhead_bits, other_parameters)


def published_ratio_of_counts(
    weights: int, groups: int, bits: int, overhead_bits: int, other_parameters: int
) -> float:
    """Return ``16*(N+e) / (b*N + O*G + 16*e)``.

    Args:
        weights: Number of weights, N.
        groups: Number of groups, G.
        bits: Counted bits per weight, b.
        overhead_bits: Overhead per group, O.
        other_parameters: Parameters left in FP16, e.

    Raises:
        QuantizationError: There are no weights, or a count is negative.
    """
    if weights < 1 or bits < 1 or min(groups, overhead_bits, other_parameters) < 0:
        raise QuantizationError(
            f"cannot compare {weights} weights of {bits} bits, {groups} groups of {overhead_bits} "
            f"bits and {other_parameters} other parameters; weights and bits must be at least 1, "
            "the rest at least 0"
        )
    stored = bits * weights + overhead_bits * groups + FP16_BITS * other_parameters
    return FP16_BITS * (weights + other_parameters) / stored


def _biases(graph: QGraph) -> int:
    return sum(node.bias.size for node in weight_layers(graph))


def _node_lines(node: Node) -> list[MemoryLine]:
    found: dict[MemoryKind, list[int]] = {}
    for tensor in stored_tensors(node):
        entry = found.setdefault(tensor.kind, [0, 0])
        entry[0] += tensor.values.size
        entry[1] += tensor.bit_count
    for kind, count, bits in _single_numbers(node):
        entry = found.setdefault(kind, [0, 0])
        entry[0] += count
        entry[1] += count * bits
    return [MemoryLine(node.name, kind, count, bits) for kind, (count, bits) in found.items()]


def _single_numbers(node: Node) -> list[tuple[MemoryKind, int, int]]:
    """Return (kind, count, bits of one) of what a node stores outside its arrays."""
    match node:
        case Conv() | Linear():
            through_table = node.table is not None
            return [
                *_shared_zero_point(node.requant),
                *(_own_zero_point(node.output) if through_table else []),
                *_codebook(node.output),
            ]
        case AvgPool() | Requantize():
            return _shared_zero_point(node.requant)
        case Input() | Lookup():
            return [*_own_zero_point(node.output), *_codebook(node.output)]
        case Add():
            return [
                (MemoryKind.REQUANT, 2, REQUANT_MULTIPLIER_BITS),
                (MemoryKind.REQUANT, 1, REQUANT_SHIFT_BITS),
                *_own_zero_point(node.output),
            ]
        case MaxPool() | Concat() | Split() | Upsample() | Output():
            return []
        case _:
            assert_never(node)


def _shared_zero_point(requant: Requantizer) -> list[tuple[MemoryKind, int, int]]:
    return [(MemoryKind.ZERO_POINTS, 1, requant.bits)] if shared_zero_point(requant) else []


def _own_zero_point(output: TensorFormat) -> list[tuple[MemoryKind, int, int]]:
    return [(MemoryKind.ZERO_POINTS, 1, output.decoded_bits)]


def _codebook(output: TensorFormat) -> list[tuple[MemoryKind, int, int]]:
    if output.codebook is None:
        return []
    return [(MemoryKind.CODEBOOKS, len(output.codebook), output.decoded_bits)]

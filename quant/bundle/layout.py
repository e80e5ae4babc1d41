# SPDX-License-Identifier: Apache-2.0
"""Which arrays of a node are stored, and how many bits one element takes.

The one home of stored widths: the bundle packs by it, the exporters print by it, and the memory
accounting (``quant.memory``) counts by it, so that a counted bit is a stored bit.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
import numpy.typing as npt

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
from quant.weights import Weights

REQUANT_MULTIPLIER_BITS = 17
REQUANT_SHIFT_BITS = 6
BIAS_BITS = 32


class MemoryKind(StrEnum):
    """What stored bits are for: the lines of the memory accounting."""

    CODES = "weight codes"
    TABLES = "decode tables"
    SELECTORS = "table selectors"
    GROUP_MULTIPLIERS = "group multipliers"
    ZERO_POINTS = "zero points"
    REQUANT = "requantize multipliers and shifts"
    BIASES = "biases"
    ACTIVATION_TABLES = "activation tables"
    CODEBOOKS = "activation codebooks"
    SCALES = "weight scales"


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """One array of a node as it is stored.

    Attributes:
        node: Name of the node.
        field: Path of the field inside the node, for example ``weights.codes``.
        values: The integers, any shape.
        bits: Bits of one element, 1..32.
        signed: Whether elements are two's complement.
        axes: One letter per axis of ``values``: O filter, I channel, H, W window position,
            T table, E entry.
        kind: What the bits are for.
    """

    node: str
    field: str
    values: npt.NDArray[np.integer]
    bits: int
    signed: bool
    axes: str
    kind: MemoryKind

    @property
    def name(self) -> str:
        """Name of the tensor in the bundle: ``<node>:<field>``."""
        return f"{self.node}:{self.field}"

    @property
    def bit_count(self) -> int:
        """Bits of all elements, without the padding of the last byte."""
        return int(self.values.size) * self.bits


def stored_tensors(node: Node) -> tuple[StoredTensor, ...]:
    """Return every array of ``node`` that is stored, in field order.

    Arrays whose content follows from one number are not stored: selectors of a single table
    (all 0), group multipliers that are all 1, and zero points that all filters share.
    """
    match node:
        case Conv() | Linear():
            bias = StoredTensor(
                node.name, "bias", node.bias, BIAS_BITS, True, "O", MemoryKind.BIASES
            )
            return (
                *weight_tensors(node.name, node.weights),
                bias,
                *_requant_tensors(node.name, node.requant),
                *_table_tensors(node.name, node.table, node.output.bits),
            )
        case AvgPool() | Requantize():
            return _requant_tensors(node.name, node.requant)
        case Lookup():
            return _table_tensors(node.name, node.table, node.output.bits)
        case Input() | MaxPool() | Add() | Concat() | Split() | Upsample() | Output():
            return ()
        case _:
            assert_never(node)


def graph_tensors(graph: QGraph) -> tuple[StoredTensor, ...]:
    """Return every stored array of the graph, in node order."""
    return tuple(t for node in graph.nodes for t in stored_tensors(node))


def weight_tensors(node: str, weights: Weights) -> tuple[StoredTensor, ...]:
    """Return the stored arrays of one layer's weights: codes, tables, selectors, multipliers.

    Args:
        node: Name of the layer.
        weights: Its stored weights.
    """
    found = [
        StoredTensor(
            node, "weights.codes", weights.codes, weights.bits, False, "OIHW", MemoryKind.CODES
        ),
        StoredTensor(
            node,
            "weights.tables",
            weights.tables,
            weights.table_bits,
            True,
            "TE",
            MemoryKind.TABLES,
        ),
    ]
    if weights.selector_bits:
        found.append(
            StoredTensor(
                node,
                "weights.selectors",
                weights.selectors,
                weights.selector_bits,
                False,
                "OIHW",
                MemoryKind.SELECTORS,
            )
        )
    if weights.multiplier_bits:
        found.append(
            StoredTensor(
                node,
                "weights.multipliers",
                weights.multipliers,
                weights.multiplier_bits,
                False,
                "OIHW",
                MemoryKind.GROUP_MULTIPLIERS,
            )
        )
    return tuple(found)


def shared_zero_point(requant: Requantizer) -> bool:
    """Whether one zero point holds for every entry of the requantizer."""
    return bool((requant.zero_point == requant.zero_point[0]).all())


def _requant_tensors(node: str, requant: Requantizer) -> tuple[StoredTensor, ...]:
    found = [
        StoredTensor(
            node,
            "requant.multiplier",
            requant.multiplier,
            REQUANT_MULTIPLIER_BITS,
            False,
            "O",
            MemoryKind.REQUANT,
        ),
        StoredTensor(
            node,
            "requant.shift",
            requant.shift,
            REQUANT_SHIFT_BITS,
            False,
            "O",
            MemoryKind.REQUANT,
        ),
    ]
    if not shared_zero_point(requant):
        found.append(
            StoredTensor(
                node,
                "requant.zero_point",
                requant.zero_point,
                requant.bits,
                False,
                "O",
                MemoryKind.ZERO_POINTS,
            )
        )
    return tuple(found)


def _table_tensors(
    node: str, table: npt.NDArray[np.uint16] | None, bits: int
) -> tuple[StoredTensor, ...]:
    if table is None:
        return ()
    return (StoredTensor(node, "table", table, bits, False, "E", MemoryKind.ACTIVATION_TABLES),)

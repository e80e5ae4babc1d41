# SPDX-License-Identifier: Apache-2.0
"""Which packed cores the layers of a network leave, per scheme and granularity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from hw.core_choice import cores_left
from hw.cores import PACKED_CORES, densest_macs
from hw.divisors import divisors
from hw.geometry import built_cores
from hw.packing import LaneProof
from quant.floatgraph import FloatConv, FloatGraph, float_macs_of
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv, Requantizer
from quant.schedule import Core
from quant.weights import Granularity, Scheme, Weights

MEASURED_SIMD = 8
"""Channels of a tap up to which cores are asked for: as many as the measured ones have."""


@dataclass(frozen=True)
class CoreRow:
    """Layers of one scheme, granularity and width.

    Attributes:
        scheme: Of the weights.
        granularity: Of the weights.
        weight_bits: Stored bits of a weight.
        act_bits: Bits of a decoded activation.
        layers: Their number.
        macs: Products of a frame.
        cores: Per core how many of the layers it builds; those that none builds are plain.
        mac_per_dsp: Products per block and cycle with the densest core of every layer, one product
            per block where there is none.
    """

    scheme: Scheme
    granularity: Granularity
    weight_bits: int
    act_bits: int
    layers: int
    macs: int
    cores: dict[Core, int]
    mac_per_dsp: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**self.__dict__, "granularity": self.granularity.value}


def core_rows(graph: QGraph) -> list[CoreRow]:
    """Return one row per scheme, granularity and width of the convolutions of ``graph``."""
    kinds: dict[tuple[Scheme, Granularity, int, int], list[tuple[int, list[Core]]]] = {}
    for node in graph.convs:
        weights, source = node.weights, graph.formats[node.source]
        left = _proved(built_cores(node, source, _simd(weights)))
        _, height, width = graph.shapes[node.name]
        key = (weights.scheme, weights.granularity, weights.bits, source.decoded_bits)
        kinds.setdefault(key, []).append((height * width * weights.codes.size, left))
    rows = []
    for key, layers in kinds.items():
        macs = sum(count for count, _ in layers)
        rows.append(CoreRow(*key, len(layers), macs, _counted(layers), _mac_per_dsp(layers)))
    return sorted(rows, key=lambda row: -row.macs)


def core_table(rows: list[CoreRow]) -> Table:
    """Return the rows as a table."""
    table = Table(
        title="packed cores that the layers leave",
        caption="cores that the cell builds; with group multipliers it builds plain ones",
        box=None,
    )
    for column in ("scheme", "granularity", "W/A", "layers", "MMAC", "cores", "MAC/DSP"):
        table.add_column(column, justify="left" if column in ("scheme", "cores") else "right")
    for row in rows:
        cores = ", ".join(f"{core} {count}" for core, count in row.cores.items())
        table.add_row(
            row.scheme,
            row.granularity.value,
            f"{row.weight_bits}/{row.act_bits}",
            str(row.layers),
            f"{row.macs / 1e6:.2f}",
            cores or "none",
            f"{row.mac_per_dsp:.2f}",
        )
    return table


def possible_cores(
    graph: FloatGraph, weights: Mapping[str, Weights], act_bits: Sequence[int]
) -> list[tuple[dict[Core, int], float]]:
    """Return which packed cores stay possible for the convolutions of a float network.

    Possible is what the proofs of lanes allow, group multipliers included; ``core_rows`` says what
    the cells build. The blocks that group multipliers take themselves are not counted.

    Args:
        graph: The float network.
        weights: Stored weights of its convolutions, by name.
        act_bits: Widths of plain activations to ask for.

    Returns:
        For each width: per core the number of layers, and products per DSP block and cycle with the
        densest core of every layer, one product per block where there is none.
    """
    layers: list[list[tuple[int, list[Core]]]] = [[] for _ in act_bits]
    for op in graph.ops:
        if isinstance(op, FloatConv):
            node = _bare_conv(op, weights[op.name])
            for bits, found in zip(act_bits, layers, strict=True):
                found.append((float_macs_of(graph, op), layer_cores(node, bits)))
    return [(_counted(found), _mac_per_dsp(found)) for found in layers]


def layer_cores(node: Conv, act_bits: int) -> list[Core]:
    """Return the packed cores whose proof holds for a layer, whatever its own activations are.

    Args:
        node: The convolution; its weights, stride, padding and groups count.
        act_bits: Width of plain activations.
    """
    source = TensorFormat.plain(act_bits, 1.0, 0, node.weights.shape[1] * node.groups)
    return _proved(cores_left(node, source, _simd(node.weights)))


def _bare_conv(op: FloatConv, weights: Weights) -> Conv:
    """Return a convolution whose weights alone mean something: proofs of lanes read no more."""
    filters = len(op.weight)
    requant = Requantizer(
        np.full(filters, 1 << 16, np.uint32),
        np.full(filters, 17, np.uint8),
        np.zeros(filters, np.int32),
        0,
        255,
        8,
    )
    return Conv(
        name=op.name,
        source=op.source,
        weights=weights,
        bias=np.zeros(filters, np.int32),
        stride=op.stride,
        padding=op.padding,
        groups=op.groups,
        requant=requant,
        table=None,
        output=TensorFormat.plain(8, 1.0, 0, filters),
    )


def _simd(weights: Weights) -> int:
    return max(n for n in divisors(weights.shape[1]) if n <= MEASURED_SIMD)


def _proved(found: Mapping[Core, LaneProof | str]) -> list[Core]:
    return [core for core in PACKED_CORES if isinstance(found[core], LaneProof)]


def _counted(layers: Sequence[tuple[int, list[Core]]]) -> dict[Core, int]:
    counts = {core: sum(core in left for _, left in layers) for core in PACKED_CORES}
    return {core: count for core, count in counts.items() if count}


def _mac_per_dsp(layers: Sequence[tuple[int, list[Core]]]) -> float:
    """Return products per block and cycle of layers, given as products and cores."""
    blocks = sum(count / densest_macs(left) for count, left in layers)
    return sum(count for count, _ in layers) / blocks

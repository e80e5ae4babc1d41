# SPDX-License-Identifier: Apache-2.0
"""Which packed cores the layers of a network leave, per scheme and granularity."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from hw.cores import MACS_PER_BLOCK, PACKED_CORES
from hw.divisors import divisors
from hw.geometry import built_cores
from hw.packing import LaneProof
from quant.graph import QGraph
from quant.schedule import Core
from quant.weights import Granularity, Scheme

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
        simd = max(n for n in divisors(weights.shape[1]) if n <= MEASURED_SIMD)
        found = built_cores(node, source, simd)
        left = [core for core in PACKED_CORES if isinstance(found[core], LaneProof)]
        _, height, width = graph.shapes[node.name]
        key = (weights.scheme, weights.granularity, weights.bits, source.decoded_bits)
        kinds.setdefault(key, []).append((height * width * weights.codes.size, left))
    rows = []
    for key, layers in kinds.items():
        macs = sum(count for count, _ in layers)
        blocks = sum(
            count / max([1, *(MACS_PER_BLOCK[core] for core in left)]) for count, left in layers
        )
        counts = {core: sum(core in left for _, left in layers) for core in PACKED_CORES}
        used = {core: count for core, count in counts.items() if count}
        rows.append(CoreRow(*key, len(layers), macs, used, macs / blocks))
    return sorted(rows, key=lambda row: -row.macs)


def core_table(rows: list[CoreRow]) -> Table:
    """Return the rows as a table."""
    table = Table(title="packed cores that the layers leave", box=None)
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

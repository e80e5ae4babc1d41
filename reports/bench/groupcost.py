# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.groupcost --json FILE``: each scheme and granularity in hardware.

Laplacian weights whose spread differs from group to group, the same ones for every row: a layer of
64x64x3x3 for stored bits and packed cores, its corner of 8x8x3x3 in a cell of two filters and four
channels per cycle for Yosys. Weight memories are left out: stored bits say what they hold.

What decoding costs is what the cell saves when its memory holds the decoded integers; what group
multipliers cost is what it saves when they all are 1.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.conv_cell import conv_cell
from hw.cores import densest_macs
from hw.estimate.primitives import Resources
from hw.geometry import conv_geometry
from quant.memory import weight_bits
from quant.ptq.weightquant import LayerGroups, Rounding, SchemeName
from quant.samples import sample_conv
from quant.schedule import Core, Folding
from quant.weights import Granularity, Weights
from reports.bench.granularity import SCHEMES
from reports.cellsynth import synthesise_cells
from reports.cores import layer_cores

CHANNELS, CELL_CHANNELS = 64, 8
PICTURE = 8, 8
PE, SIMD = 2, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one pair and write its row."""
    parser = argparse.ArgumentParser(description="Cost of a scheme and granularity.")
    parser.add_argument("--scheme", choices=SCHEMES, required=True)
    parser.add_argument("--granularity", type=Granularity, required=True)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args(arguments)
    row = pair_row(given.scheme, given.granularity)
    given.json.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return 0


def pair_row(scheme: SchemeName, granularity: Granularity) -> dict[str, Any]:
    """Return the figures of one scheme at one granularity."""
    weights = quantized(scheme, granularity, CHANNELS)
    cell = quantized(scheme, granularity, CELL_CHANNELS)
    plain = decoded(cell)
    bare = replace(plain, multipliers=np.ones_like(plain.multipliers))
    node, _ = sample_conv(1, CELL_CHANNELS, CELL_CHANNELS, weights=cell)
    geometry = conv_geometry(node, (CELL_CHANNELS, *PICTURE), Folding(PE, SIMD))
    logic, whole, without_decoding, without_factors = synthesised(
        (cell, "plain_lut"), (cell, "plain_dsp"), (plain, "plain_dsp"), (bare, "plain_dsp")
    )
    layer, _ = sample_conv(1, CHANNELS, CHANNELS, weights=weights)
    narrow, wide = layer_cores(layer, 4), layer_cores(layer, 8)
    return {
        "scheme": str(scheme),
        "granularity": str(granularity),
        "stored_bits_per_weight": round(weight_bits(weights) / weights.codes.size, 3),
        "multiplier_bits": weights.multiplier_bits,
        "tables": int(weights.tables.shape[0]),
        "operand_bits": cell.table_bits,
        "lut_without_dsp": logic.lut,
        "ff_without_dsp": logic.ff,
        "lut": whole.lut,
        "lutram": whole.lutram_luts,
        "ff": whole.ff,
        "dsp": whole.dsp,
        "decode_lut": whole.lut - without_decoding.lut,
        "decode_ff": whole.ff - without_decoding.ff,
        "factor_lut": without_decoding.lut - without_factors.lut,
        "factor_ff": without_decoding.ff - without_factors.ff,
        "factor_dsp": without_decoding.dsp - without_factors.dsp,
        "cycles_per_pixel": geometry.window_cycles,
        "latency_cycles": geometry.latency,
        "cores_a4": ", ".join(narrow),
        "mac_per_dsp_a4": densest_macs(narrow),
        "cores_a8": ", ".join(wide),
        "mac_per_dsp_a8": densest_macs(wide),
    }


def quantized(scheme: SchemeName, granularity: Granularity, channels: int) -> Weights:
    """Return the first filters and channels of the seeded layer, rounded."""
    rng = np.random.default_rng(6)
    spread = np.exp(0.4 * rng.normal(size=(CHANNELS, CHANNELS, 3, 3)))
    drawn = (rng.laplace(size=spread.shape) * spread)[:channels, :channels]
    weight: npt.NDArray[np.float32] = drawn.astype(np.float32)
    rounding = Rounding(scheme, SCHEMES[scheme])
    return LayerGroups(weight, granularity).quantize(rounding).weights


def decoded(weights: Weights) -> Weights:
    """Return the same integers with codes that need no decoding: one table, in order."""
    bits = weights.table_bits
    middle = 1 << (bits - 1)
    rows = np.broadcast_to(weights.selectors, weights.shape)
    entries = weights.tables[rows, weights.codes]
    return replace(
        weights,
        codes=(entries + middle).astype(np.uint8),
        bits=bits,
        tables=(np.arange(1 << bits) - middle)[None].astype(np.int16),
        selectors=np.zeros_like(weights.selectors),
    )


def synthesised(*wanted: tuple[Weights, Core]) -> list[Resources]:
    """Return what the cell of each of these weights and cores takes in Yosys."""
    _, source = sample_conv(1, CELL_CHANNELS, CELL_CHANNELS)
    cells = []
    for number, (weights, core) in enumerate(wanted):
        node, _ = sample_conv(1, CELL_CHANNELS, CELL_CHANNELS, weights=weights)
        folding = Folding(PE, SIMD, core=core)
        shape = (CELL_CHANNELS, *PICTURE)
        cells.append(conv_cell(node, shape, source, folding, f"c{number}_"))
    with tempfile.TemporaryDirectory(prefix="nibbleflow-yosys-") as folder:
        return synthesise_cells(Path(folder), cells)


if __name__ == "__main__":
    sys.exit(main())

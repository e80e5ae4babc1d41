# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.groupcost --json FILE``: each scheme and granularity in hardware.

Laplacian weights whose spread differs from group to group, the same ones for every row: a layer of
64x64x3x3 for stored bits and packed cores, its corner of 8x8x3x3 in a cell of two filters and four
channels per cycle for Yosys.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.axis_top import axis_top
from hw.conv import rtl_sources
from hw.conv_cell import conv_cell
from hw.core_choice import cores_left
from hw.geometry import conv_geometry
from hw.packed_sources import dsp_ports
from hw.packing import LaneProof
from quant.memory import weight_bits
from quant.nodes import Conv
from quant.ptq.weightquant import LayerGroups, Rounding, SchemeName
from quant.samples import sample_conv
from quant.schedule import Core, Folding
from quant.weights import Granularity, Weights
from reports.yosys import MEMORY_LUTS, XILINX, counted_resources, read_sources, synthesise

SCHEMES: dict[SchemeName, int] = {"affine": 4, "symmetric": 4, "pwlq": 5}
"""Stored bits of each scheme."""
CHANNELS, CELL_CHANNELS = 64, 8
PICTURE = 8, 8
FOLDING = Folding(2, 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every pair and write one row per pair."""
    parser = argparse.ArgumentParser(description="Cost of schemes and granularities.")
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args(arguments)
    rows = []
    for scheme in SCHEMES:
        for granularity in Granularity:
            rows.append(pair_row(scheme, granularity))
            print(rows[-1], flush=True)
    given.json.write_text(json.dumps({"pairs": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


def pair_row(scheme: SchemeName, granularity: Granularity) -> dict[str, Any]:
    """Return the figures of one scheme at one granularity."""
    weights = quantized(scheme, granularity, CHANNELS)
    cell = quantized(scheme, granularity, CELL_CHANNELS)
    node, _ = sample_conv(1, CELL_CHANNELS, CELL_CHANNELS, weights=cell)
    geometry = conv_geometry(node, (CELL_CHANNELS, *PICTURE), FOLDING)
    logic, blocks = cell_counts(node, dsp=False), cell_counts(node, dsp=True)
    used = counted_resources(blocks)
    return {
        "scheme": str(scheme),
        "granularity": str(granularity),
        "stored_bits_per_weight": round(weight_bits(weights) / weights.codes.size, 3),
        "multiplier_bits": weights.multiplier_bits,
        "tables": int(weights.tables.shape[0]),
        "lut_without_dsp": counted_resources(logic).lut,
        "ff_without_dsp": counted_resources(logic).ff,
        "lut": used.lut,
        "lutram": sum(blocks.get(kind, 0) for kind in MEMORY_LUTS),
        "ff": used.ff,
        "dsp": used.dsp,
        "bram": sum(n for kind, n in blocks.items() if kind.startswith("RAMB")),
        "cycles_per_pixel": geometry.window_cycles,
        "latency_cycles": geometry.latency,
        "cores_a4": ", ".join(packed_cores(weights, 4)),
        "cores_a8": ", ".join(packed_cores(weights, 8)),
    }


def quantized(scheme: SchemeName, granularity: Granularity, channels: int) -> Weights:
    """Return the first filters and channels of the seeded layer, rounded."""
    rng = np.random.default_rng(6)
    spread = np.exp(0.4 * rng.normal(size=(CHANNELS, CHANNELS, 3, 3)))
    drawn = (rng.laplace(size=spread.shape) * spread)[:channels, :channels]
    weight: npt.NDArray[np.float32] = drawn.astype(np.float32)
    rounding = Rounding(scheme, SCHEMES[scheme])
    return LayerGroups(weight, granularity).quantize(rounding).weights


def cell_counts(node: Conv, *, dsp: bool) -> dict[str, int]:
    """Return what the cell of ``node`` becomes in Yosys, weights in logic.

    (Yosys does not read the attribute by which the cells ask for DSP blocks or for logic.)
    """
    _, source = sample_conv(1, CELL_CHANNELS, CELL_CHANNELS)
    cell = conv_cell(node, (CELL_CHANNELS, *PICTURE), source, FOLDING, "", "distributed")
    files: Mapping[str, str] = (
        {"dut.sv": axis_top(cell, "dut")}
        | dict(cell.files)
        | read_sources([*rtl_sources(), dsp_ports()])
    )
    with tempfile.TemporaryDirectory(prefix="nibbleflow-yosys-") as folder:
        flow = f"{XILINX} -noiopad -top dut" + ("" if dsp else " -nodsp")
        return synthesise(Path(folder), files, "dut", flow)


def packed_cores(weights: Weights, act_bits: int) -> list[Core]:
    """Return the packed cores that take a 3x3 layer of stride 1 with these weights."""
    filters, channels, _, _ = weights.shape
    node, source = sample_conv(1, channels, filters, act_bits=act_bits, weights=weights)
    left = cores_left(node, source, channels)
    return [core for core, proof in left.items() if isinstance(proof, LaneProof)]


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The demo network through ``nibbleflow synth``: every distinct cell in Yosys beside its estimate.

Yosys is not Vivado. Some of the cells are also placed and routed on ECP5, each alone, to the clock
rate that the router reaches.
"""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Json, Runner

# Small enough that every distinct cell of the demo network is synthesised in minutes.
MACS = 64
PLACED = "model.0.conv,model.2.cv1.conv,model.2.add,model.8.m"
"""Cells for ECP5: two convolutions, an addition, a pool."""


def run(runner: Runner) -> dict[str, list[Row]]:
    """Quantize, count, place."""
    build = runner.folder / "demo"
    runner.nibbleflow("quantize", "demo", "-o", build, "--force")
    aim = ("--max-macs", str(MACS))
    found = runner.nibbleflow("synth", build, *aim)
    placed = runner.nibbleflow("synth", build, *aim, "--target", "ecp5", "--nodes", PLACED)
    return {
        "figures": [_cell(row) for row in found["cells"]],
        "network": [_network(found)],
        "ecp5": [{"part": placed["part"], **row} for row in placed["cells"]],
    }


def _network(found: Json) -> Row:
    """Return the sums of the demo network, weight memories by shape on both sides."""
    return {
        "model": "demo",
        "macs_per_cycle": MACS,
        "distinct_cells": len(found["cells"]),
        "cells": sum(len(cell["owners"]) for cell in found["cells"]),
        **_used(found, "ff", "dsp", "bram18", "uram"),
    }


def _cell(found: Json) -> Row:
    return {
        "cell": found["owners"][0],
        "module": found["module"],
        "times": len(found["owners"]),
        "basis": found["basis"],
        **_used(found, "ff", "dsp", "bram18"),
    }


def _used(found: Json, *names: str) -> Row:
    """Return lookup tables, those of memories included, and ``names``: estimated, then counted."""
    row: Row = {}
    for key in ("estimated", "counted"):
        used = found[key]
        row[f"lut_{key}"] = used["lut"] + used["lutram_luts"]
        row |= {f"{name}_{key}": used[name] for name in names}
    return row


BENCHMARK = Benchmark(
    "synth",
    "cells of the demo network: Yosys synth_xilinx xcup (not Vivado) beside estimates",
    (),
    run,
)

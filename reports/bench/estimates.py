# SPDX-License-Identifier: Apache-2.0
"""Estimates beside Yosys: memories by shape, held-out cells, the cells of the demo network.

Yosys is not Vivado: the figures say how well the estimates follow one open flow. Some of the cells
are also placed and routed on ECP5, each alone, to the clock rate that the router reaches.
"""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Json, Runner

# Small enough that every distinct cell of the demo network is synthesised in minutes.
MACS = 64
PLACED = "model.0.conv,model.2.cv1.conv,model.2.add,model.8.m"
"""Cells for ECP5: two convolutions, an addition, a pool."""


def run(runner: Runner) -> dict[str, list[Row]]:
    """Compare memories, held-out cells (kept data) and the demo network."""
    build = runner.folder / "demo"
    runner.nibbleflow("quantize", "demo", "-o", build, "--force")
    aim = ("--max-macs", str(MACS))
    found = runner.nibbleflow("synth", build, *aim)
    placed = runner.nibbleflow("synth", build, *aim, "--target", "ecp5", "--nodes", PLACED)
    compared = runner.module("reports.bench.estimaterows", runner.folder / "memories")
    cells = [_cell(row) for row in found["cells"]]
    return {
        "figures": list(compared["residuals"]),
        "memories": list(compared["memories"]),
        "network": [_network(found)],
        "cells": cells,
        "ecp5": [{"part": placed["part"], **row} for row in placed["cells"]],
    }


def _network(found: Json) -> Row:
    """Return the sums of the demo network, weight memories by shape on both sides."""
    row: Row = {
        "model": "demo",
        "macs_per_cycle": MACS,
        "distinct_cells": len(found["cells"]),
        "cells": sum(len(cell["owners"]) for cell in found["cells"]),
    }
    for key in ("estimated", "counted"):
        used = found[key]
        row[f"lut_{key}"] = used["lut"] + used["lutram_luts"]
        for name in ("ff", "dsp", "bram18", "uram"):
            row[f"{name}_{key}"] = used[name]
    return row


def _cell(found: Json) -> Row:
    row: Row = {
        "cell": found["owners"][0],
        "module": found["module"],
        "times": len(found["owners"]),
        "basis": found["basis"],
    }
    for key in ("estimated", "counted"):
        used = found[key]
        row[f"lut_{key}"] = used["lut"] + used["lutram_luts"]
        for name in ("ff", "dsp", "bram18"):
            row[f"{name}_{key}"] = used[name]
    return row


BENCHMARK = Benchmark(
    "estimates",
    "estimates beside Yosys synth_xilinx xcup (not Vivado): held-out cells, memories, the demo",
    (),
    run,
)

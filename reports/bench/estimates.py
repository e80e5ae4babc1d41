# SPDX-License-Identifier: Apache-2.0
"""Estimates beside Yosys: memories by shape, held-out cells of every kind.

Yosys is not Vivado: the figures say how well the estimates follow one open flow.
"""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> dict[str, list[Row]]:
    """Compare memories, and held-out cells of the kept data."""
    compared = runner.module("reports.bench.estimaterows", runner.folder / "memories")
    return {"figures": list(compared["residuals"]), "memories": list(compared["memories"])}


BENCHMARK = Benchmark(
    "estimates",
    "estimates of 20 held-out cells per kind beside Yosys synth_xilinx xcup (not Vivado)",
    (),
    run,
)

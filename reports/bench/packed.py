# SPDX-License-Identifier: Apache-2.0
"""The multiply-accumulate cores alone: size, exactness, clock rate."""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> dict[str, list[Row]]:
    """Measure in a process of its own; tables show every core with what was compared of it."""
    found = runner.module("reports.bench.packedcores", runner.folder / "cores")
    compared = {row["name"]: row for row in found["exact"]}
    keys = ("outputs", "mismatches")
    figures = [
        {**row, **{key: compared.get(row["name"], {}).get(key) for key in keys}}
        for row in found["cores"]
    ]
    return {"figures": figures, **{key: list(found[key]) for key in ("cores", "exact", "fmax")}}


BENCHMARK = Benchmark(
    "packed",
    "multiply-accumulate cores: int4 x uint4, 18-bit accumulators, Yosys synth_xilinx xcup",
    (),
    run,
)

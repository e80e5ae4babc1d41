# SPDX-License-Identifier: Apache-2.0
"""One planted fault per hand-written module: caught, and the node named."""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> list[Row]:
    """Break every module once in a copy of the sources and verify a small network with it."""
    found = runner.module("reports.bench.planted")
    return [
        {key: fault[key] for key in ("cell", "fault", "graph", "caught", "node", "how")}
        for fault in found["faults"]
    ]


BENCHMARK = Benchmark(
    "faults", "one wrong constant in each hand-written module: what verify says", (), run
)

# SPDX-License-Identifier: Apache-2.0
"""Each scheme at each granularity in hardware: stored bits, cells, cycles, packed cores."""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> list[Row]:
    """Quantize, synthesise with Yosys and try every packed core."""
    return list(runner.module("reports.bench.groupcost")["pairs"])


BENCHMARK = Benchmark(
    "granularity",
    "each scheme and granularity in hardware: a cell of 8 multiply-accumulates per cycle in Yosys",
    (),
    run,
)

# SPDX-License-Identifier: Apache-2.0
"""Real layers in every scheme at every granularity and the mixture: golden = HLS = RTL."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import YOLOV5N, YOLOX_NANO
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> list[Row]:
    """Compile, simulate and compare."""
    return list(runner.module("reports.bench.realschemes")["pairs"])


BENCHMARK = Benchmark(
    "schemes",
    "real layers (3x3, 3x3 of stride 2, 1x1, depthwise) in each scheme and granularity: equal bits",
    (YOLOV5N, YOLOX_NANO),
    run,
)

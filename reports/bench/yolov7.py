# SPDX-License-Identifier: Apache-2.0
"""The study's whole grid at the size of YOLOv7: ratios, time and memory."""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> list[Row]:
    """Round all weights in every way."""
    return list(runner.module("reports.bench.yolov7grid", one_core=True)["rows"])


BENCHMARK = Benchmark(
    "yolov7",
    "the study's grid on YOLOv7, seeded weights, breakpoints by search, two threads",
    (),
    run,
)

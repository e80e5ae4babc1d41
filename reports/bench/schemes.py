# SPDX-License-Identifier: Apache-2.0
"""Real layers in every scheme at every granularity and the mixture: golden = HLS = RTL.

What was verified at one granularity is kept in the scratch folder while the sources that it depends
on stay what they were, so the benchmark goes on where it was stopped.
"""

from functools import partial

from quant.weights import Granularity
from reports.bench.benchmark import Benchmark
from reports.bench.builds import YOLOV5N, YOLOX_NANO
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.record import Row
from reports.bench.runner import Runner

GRANULARITIES = (*(str(g) for g in Granularity), "mixture")
MODULE = "reports.bench.realschemes"
# What a kept row depends on.
SOURCES = ("hls", "hw", "quant", "sim", MODULE.replace(".", "/") + ".py")


def run(runner: Runner) -> list[Row]:
    """Compile, simulate and compare."""
    digest = sources_digest(CHECKOUT, SOURCES)
    return [
        row
        for granularity in GRANULARITIES
        for row in kept_row(runner, granularity, digest, partial(_rows, runner, granularity))
    ]


def _rows(runner: Runner, granularity: str) -> list[Row]:
    return list(runner.module(MODULE, "--granularity", granularity, one_core=True)["pairs"])


BENCHMARK = Benchmark(
    "schemes",
    "real layers (3x3, 3x3 of stride 2, 1x1, depthwise) in each scheme and granularity: equal bits",
    (YOLOV5N, YOLOX_NANO),
    run,
)

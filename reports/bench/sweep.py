# SPDX-License-Identifier: Apache-2.0
"""A sweep on a Dask cluster that loses a worker: nothing is lost."""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> list[Row]:
    """Explore variants of the demo network on a cluster, and in processes."""
    return [runner.module("reports.bench.killedworker", runner.folder / "front", one_core=True)]


BENCHMARK = Benchmark(
    "sweep", "a front of plans on two Dask workers of which one is killed in the middle", (), run
)

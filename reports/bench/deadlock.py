# SPDX-License-Identifier: Apache-2.0
"""The demo network in RTL at its minimal FIFO depths, and at one beat less on skip edges."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import quantize_demo
from reports.bench.record import Row
from reports.bench.runner import Runner

KEYS = ("edge", "depth", "model", "simulation", "cycles", "mismatches", "where")


def run(runner: Runner) -> list[Row]:
    """Quantize the built-in detector and simulate it at four sets of depths."""
    build = quantize_demo(runner, 4, 8)
    found = runner.module("reports.bench.standstill", build.folder)
    return [{key: row[key] for key in KEYS} for row in found["rows"]]


BENCHMARK = Benchmark(
    "deadlock", "demo network in RTL: passes at minimal FIFO depths, stands still below", (), run
)

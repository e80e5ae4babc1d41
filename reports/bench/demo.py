# SPDX-License-Identifier: Apache-2.0
"""Accuracy and size of the built-in detector at three pairs of bits."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import BITS, accuracy_row, build_row, quantize_demo
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> list[Row]:
    """Quantize, evaluate on the held-out shapes, report."""
    rows = []
    for weight_bits, act_bits in BITS:
        build = quantize_demo(runner, weight_bits, act_bits)
        rows.append({**build_row(runner, build), **accuracy_row(runner, build)})
    return rows


BENCHMARK = Benchmark(
    "demo", "built-in detector on held-out generated shapes: accuracy and memory", (), run
)

# SPDX-License-Identifier: Apache-2.0
"""Accuracy and size of the real MobileOne-S0: depthwise layers, a classifier."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import ENGINES, MOBILEONE, OBJECTS, build_row, quantize_mobileone
from reports.bench.floats import LABELS, PHOTOGRAPHS
from reports.bench.record import Row
from reports.bench.runner import Runner

BITS = ((8, 8), (4, 8))


def run(runner: Runner) -> list[Row]:
    """Quantize, evaluate on the labelled photographs, report."""
    rows = []
    for weight_bits, act_bits in BITS:
        build = quantize_mobileone(runner, weight_bits, act_bits)
        found = runner.nibbleflow(
            "evaluate", build.folder, "--labels", LABELS, "--images", PHOTOGRAPHS
        )
        row: Row = {"images": found["images"]}
        for engine in ENGINES:
            row[f"{engine}_top1_percent"] = found[engine]["top1"]
            row[f"{engine}_top5_percent"] = found[engine]["top5"]
        rows.append({**build_row(runner, build), **row})
    return rows


BENCHMARK = Benchmark(
    "mobileone",
    "MobileOne-S0, 224 x 224, on 300 labelled photographs: accuracy and memory",
    (MOBILEONE, OBJECTS, LABELS, PHOTOGRAPHS),
    run,
)

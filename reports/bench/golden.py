# SPDX-License-Identifier: Apache-2.0
"""Speed of the golden model on one core, on the whole YOLOv5n at 640 x 640."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import BITS, CALIBRATION, YOLOV5N, Build, quantize_yolov5n
from reports.bench.record import Row
from reports.bench.runner import Runner


def speed_row(runner: Runner, build: Build) -> Row:
    """Return frames, multiply-accumulates, seconds and GMAC/s of the golden model."""
    found = runner.module("reports.bench.goldenspeed", build.folder, one_core=True)
    return {"weight_bits": build.weight_bits, "act_bits": build.act_bits, **found}


def run(runner: Runner) -> list[Row]:
    """Quantize, then measure in a process of its own with one thread."""
    return [speed_row(runner, quantize_yolov5n(runner, *bits)) for bits in BITS]


BENCHMARK = Benchmark(
    "golden",
    "golden model on one core: the whole YOLOv5n at 640 x 640",
    (YOLOV5N, CALIBRATION),
    run,
)

# SPDX-License-Identifier: Apache-2.0
"""Accuracy, size and golden speed of the real YOLOv5n at three pairs of bits."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import (
    BITS,
    DATA,
    IMAGES,
    INSTANCES,
    accuracy_row,
    build_row,
    quantize_yolov5n,
)
from reports.bench.golden import speed_row
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> list[Row]:
    """Quantize, evaluate on the real images, report, measure the golden model."""
    rows = []
    for weight_bits, act_bits in BITS:
        build = quantize_yolov5n(runner, weight_bits, act_bits)
        accuracy = accuracy_row(runner, build, "--data", INSTANCES, "--images", IMAGES)
        speed = speed_row(runner, build)["best_gmacs_per_second"]
        sizes = build_row(runner, build)
        rows.append({**sizes, **accuracy, "golden_gmacs_per_second": speed})
    return rows


BENCHMARK = Benchmark(
    "yolov5n", "YOLOv5n, 640 x 640, on 300 labelled COCO images: accuracy and memory", DATA, run
)

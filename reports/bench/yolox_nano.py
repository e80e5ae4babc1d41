# SPDX-License-Identifier: Apache-2.0
"""Accuracy and size of the real YOLOX-Nano: depthwise, SiLU, decoupled head, an ONNX file."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import (
    CALIBRATION,
    IMAGES,
    INSTANCES,
    MORE_CALIBRATION,
    YOLOX_NANO,
    accuracy_row,
    build_row,
    quantize_yolox_nano,
)
from reports.bench.record import Row
from reports.bench.runner import Runner

BITS = ((8, 8), (4, 8))


def run(runner: Runner) -> list[Row]:
    """Quantize, evaluate on the real images, report."""
    rows = []
    for weight_bits, act_bits in BITS:
        build = quantize_yolox_nano(runner, weight_bits, act_bits)
        accuracy = accuracy_row(runner, build, "--data", INSTANCES, "--images", IMAGES)
        rows.append({**build_row(runner, build), **accuracy})
    return rows


BENCHMARK = Benchmark(
    "yolox_nano",
    "YOLOX-Nano, 416 x 416, on 300 labelled COCO images: accuracy and memory",
    (YOLOX_NANO, CALIBRATION, MORE_CALIBRATION, INSTANCES, IMAGES),
    run,
)

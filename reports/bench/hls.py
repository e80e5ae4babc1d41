# SPDX-License-Identifier: Apache-2.0
"""Whole networks in HLS C++: compile time, speed of the C simulation, codes that differ."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import CALIBRATION, YOLOV5N, quantize_yolov5n
from reports.bench.record import Row
from reports.bench.runner import Runner

BITS = (4, 8)
SEEDED = "arch:yolov7-tiny"
SIZES = (160, 640)


def run(runner: Runner) -> list[Row]:
    """Quantize YOLOv5n and the structure of YOLOv7-tiny, measure in processes of their own."""
    module = "reports.bench.hlsspeed"
    build = quantize_yolov5n(runner, *BITS)
    rows: list[Row] = [
        {
            "model": "yolov5n",
            "image_size": 640,
            **runner.module(module, build.folder, one_core=True),
        }
    ]
    for size in SIZES:
        folder = runner.folder / f"yolov7-tiny-{size}"
        runner.nibbleflow(
            "quantize", SEEDED, "--img", str(size), "--calib", "random:2", "-o", folder, "--force"
        )
        # At full size the ap_int run of this one takes minutes: only the compiler sees it.
        only = [] if size == min(SIZES) else ["--compile-only"]
        found = runner.module(module, folder, *only, one_core=True)
        rows.append({"model": "yolov7-tiny, seeded", "image_size": size, **found})
    return rows


BENCHMARK = Benchmark(
    "hls",
    "whole networks in HLS C++, compiled with g++, one thread",
    (YOLOV5N, CALIBRATION),
    run,
)

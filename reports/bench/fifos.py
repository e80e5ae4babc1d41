# SPDX-License-Identifier: Apache-2.0
"""FIFO depths with their proof and the planned cycles of whole networks, without any RTL run."""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner

# Depths and cycles follow from shapes and bits; weights and images do not matter.
SEEDED = ("--seed", "1", "--calib", "random")
BITS = ("--weight-bits", "4", "--act-bits", "8")
# (name, pixels, what to quantize)
MODELS = (
    ("demo", 160, ("demo",)),
    ("YOLOv5n", 640, ("arch:yolov5n", *SEEDED)),
    ("YOLOv7-tiny", 640, ("arch:yolov7-tiny", *SEEDED)),
)


def run(runner: Runner) -> list[Row]:
    """Quantize, then plan in a process of its own."""
    rows = []
    for name, pixels, model in MODELS:
        folder = runner.folder / name.lower()
        runner.nibbleflow("quantize", *model, *BITS, "-o", folder, "--force")
        figures = runner.module("reports.bench.fifoplan", folder, one_core=True)
        rows.append({"model": name, "pixels": pixels, **figures})
    return rows


BENCHMARK = Benchmark(
    "fifos",
    "FIFO depths with proof and planned cycles, 512 multiply-accumulates per cycle",
    (),
    run,
)

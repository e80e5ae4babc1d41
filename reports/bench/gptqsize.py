# SPDX-License-Identifier: Apache-2.0
"""GPTQ: time on YOLOv5n, memory at the size of YOLOv7.

On YOLOv7 fewer images and columns are read: the tensors of these images already fill all the memory
that they may take, and statistics are as large for few columns, so that more change the time alone.
"""

from functools import partial

from reports.bench.benchmark import Benchmark
from reports.bench.builds import CALIBRATION, YOLOV5N
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.record import Row
from reports.bench.runner import Runner

MODULE = "reports.bench.gptqcost"
# What a kept row depends on.
SOURCES = ("quant", MODULE.replace(".", "/") + ".py")
CASES = {
    "YOLOv5n": (YOLOV5N, "--images", "32", "--columns", "20000"),
    "YOLOv7, seeded": (
        *("arch:yolov7", "--seed", "1", "--weights-only", "--images", "8", "--columns", "1000"),
    ),
}


def run(runner: Runner) -> list[Row]:
    """Quantize both networks."""
    digest = sources_digest(CHECKOUT, SOURCES)
    return [
        kept_row(runner, name.split(",")[0], digest, partial(_row, runner, name)) for name in CASES
    ]


def _row(runner: Runner, name: str) -> Row:
    found = runner.module(MODULE, *CASES[name], "--calib", CALIBRATION, one_core=True)
    return {"model": name, **found}


BENCHMARK = Benchmark(
    "gptq",
    "GPTQ, 640 x 640, one core, the whole command: YOLOv5n W4A8, YOLOv7 weights alone (W4)",
    (YOLOV5N, CALIBRATION),
    run,
)

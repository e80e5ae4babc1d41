# SPDX-License-Identifier: Apache-2.0
"""GPTQ: time on YOLOv5n, memory at the size of YOLOv7.

On YOLOv7 fewer images are read, as many columns of each as usual: the tensors of these images
already fill all the memory that they may take, so that more images change the time alone.
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
    "YOLOv7, seeded": ("arch:yolov7", "--seed", "1", "--images", "8", "--columns", "5000"),
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
    "GPTQ, 640 x 640, W4A8, one core: the whole command from the float model to the build",
    (YOLOV5N, CALIBRATION),
    run,
)

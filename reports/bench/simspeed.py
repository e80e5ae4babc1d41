# SPDX-License-Identifier: Apache-2.0
"""Speed of the RTL simulation of whole networks by their folding, one process at a time.

``python -m reports.bench.simspeed NAME ...`` measures only some foldings. Rows are kept in the
scratch folder while the sources of hardware and simulation stay what they were.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reports.bench.benchmark import Benchmark
from reports.bench.builds import CALIBRATION, YOLOV5N
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.named import measure_named
from reports.bench.record import Row
from reports.bench.runner import Runner

SCRATCH = Path("build/bench/simspeed")
# What a kept row depends on.
SOURCES = ("quant", "hw", "sim")


@dataclass(frozen=True)
class Model:
    """A network to quantize.

    Attributes:
        name: Name of its build.
        source: What ``quantize`` takes.
        options: Further arguments of ``quantize``.
    """

    name: str
    source: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Folding:
    """One measurement.

    Attributes:
        name: On the command line and in the table.
        model: The network.
        interval_cycles: Cycles per frame to fold for.
        options: Further arguments of ``reports.bench.rtlspeed``.
    """

    name: str
    model: Model
    interval_cycles: int
    options: tuple[str, ...] = ()


_YOLOV5N_320 = Model("yolov5n-320", YOLOV5N, ("--calib", CALIBRATION, "--img", "320"))
_YOLOV5N_640 = Model("yolov5n-640", YOLOV5N, ("--calib", CALIBRATION))
_SEEDED = ("--seed", "1", "--img", "160", "--calib", "random:8")
_YOLOV7_TINY = Model("yolov7-tiny-160", "arch:yolov7-tiny", _SEEDED)

# 30 frames of 640 x 640 per second at 200 MHz, and the same folding at a quarter of the pixels.
_THIRTY_FPS = 200_000_000 // 30
FOLDINGS = (
    Folding("yolov5n-320-quick", _YOLOV5N_320, _THIRTY_FPS // 4, ("--quick",)),
    Folding("yolov5n-320", _YOLOV5N_320, _THIRTY_FPS // 4),
    # The first layer has a kernel of 6 x 6 and a cell takes one of its taps per cycle: this network
    # is never faster than 36 cycles for each of 160 x 160 pixels.
    Folding("yolov5n-320-fastest", _YOLOV5N_320, 36 * 160 * 160),
    # Kernels of 3 x 3 let this one be folded for ten times as many products per cycle.
    Folding("yolov7-tiny-160-quarter", _YOLOV7_TINY, 4 * 18 * 80 * 80),
    Folding("yolov7-tiny-160-half", _YOLOV7_TINY, 2 * 18 * 80 * 80),
    Folding("yolov7-tiny-160-fast", _YOLOV7_TINY, 18 * 80 * 80),
    Folding("yolov5n-640", _YOLOV5N_640, _THIRTY_FPS),
)


def run(runner: Runner, foldings: Sequence[Folding] = FOLDINGS) -> list[Row]:
    """Quantize to W4A8 and simulate every folding; kept rows are not measured again.

    A wrong code makes the command fail and with it the benchmark.
    """
    digest = sources_digest(CHECKOUT, SOURCES)
    quantized: set[str] = set()
    return [
        kept_row(runner, folding.name, digest, partial(_measured, runner, folding, quantized))
        for folding in foldings
    ]


def _measured(runner: Runner, folding: Folding, quantized: set[str]) -> Row:
    model = folding.model
    folder = runner.folder / model.name
    if model.name not in quantized:
        bits = ("--weight-bits", "4", "--act-bits", "8")
        runner.nibbleflow("quantize", model.source, *model.options, "-o", folder, *bits, "--force")
        quantized.add(model.name)
    options = ("--interval", str(folding.interval_cycles), *folding.options)
    found = runner.module("reports.bench.rtlspeed", folder, *options, one_core=True)
    return {"folding": folding.name, **found}


def main(arguments: Sequence[str] | None = None, root: Path = CHECKOUT) -> int:
    """Measure the named foldings, all of them without a name, and keep their rows."""
    return measure_named(
        arguments,
        "reports.bench.simspeed",
        "folding",
        {folding.name: folding for folding in FOLDINGS},
        lambda chosen: run(Runner(root, SCRATCH), chosen),
    )


BENCHMARK = Benchmark(
    "simspeed",
    "speed of the RTL simulation by folding, one process, every code compared",
    (YOLOV5N, CALIBRATION),
    run,
)

if __name__ == "__main__":
    sys.exit(main())

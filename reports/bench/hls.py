# SPDX-License-Identifier: Apache-2.0
"""Whole networks in HLS C++: codes that differ, speed of the C simulation, depths of streams.

``python -m reports.bench.hls NAME ...`` measures only some networks. What was measured is kept in
the scratch folder and taken from there while the sources that it depends on stay what they were, so
the benchmark goes on where it was stopped.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reports.bench.benchmark import Benchmark
from reports.bench.builds import (
    CALIBRATION,
    MOBILEONE,
    OBJECTS,
    YOLOV5N,
    YOLOX_NANO,
)
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.named import measure_named
from reports.bench.record import Row
from reports.bench.runner import Runner

SCRATCH = Path("build/bench/hls")
# What a kept row depends on.
SOURCES = ("quant", "hls", "hw", "sim", "nibbleflow")
MODULE = "reports.bench.hlsspeed"


@dataclass(frozen=True)
class Network:
    """A network to compile and run.

    Attributes:
        name: On the command line and in the table.
        image_size: Pixels of a side of its input.
        model: What ``quantize`` takes.
        options: Further arguments of ``quantize``.
        scheme: How weights are stored.
        measure: Arguments of the measuring module.
    """

    name: str
    image_size: int
    model: str
    options: tuple[str, ...] = ()
    scheme: str = "affine"
    measure: tuple[str, ...] = ()


# What engines compute is compared, not how well: few images are enough.
_PHOTOGRAPHS = ("--calib", CALIBRATION, "--limit", "16")
_OBJECTS = ("--arch", "mobileone-s0", "--calib", OBJECTS, "--limit", "16")
_SEEDED = ("--seed", "1", "--calib", "random:2")
# The smallest first: a fault shows early.
NETWORKS = (
    Network("demo", 160, "demo", measure=("--bounded",)),
    Network("mobileone-s0", 224, MOBILEONE, _OBJECTS),
    Network("yolov7-tiny-seeded", 160, "arch:yolov7-tiny", (*_SEEDED, "--img", "160")),
    Network("yolov5n", 640, YOLOV5N, _PHOTOGRAPHS, measure=("--bounded",)),
    Network("yolov5n-pwlq", 640, YOLOV5N, _PHOTOGRAPHS, "pwlq"),
    Network("yolox-nano", 416, YOLOX_NANO, _PHOTOGRAPHS),
    # At full size the ap_int run of this one takes minutes: only the compiler sees it.
    Network("yolov7-tiny-seeded", 640, "arch:yolov7-tiny", (*_SEEDED, "--img", "640"),
            measure=("--compile-only",)),
)  # fmt: skip


def run(runner: Runner, networks: Sequence[Network] = NETWORKS) -> list[Row]:
    """Quantize every network to W4A8 and measure it; kept rows are not measured again."""
    digest = sources_digest(CHECKOUT, SOURCES)
    return [
        kept_row(runner, label(network), digest, partial(_measured, runner, network))
        for network in networks
    ]


def label(network: Network) -> str:
    """Return the name of a row."""
    return f"{network.name}-{network.image_size}"


def _measured(runner: Runner, network: Network) -> Row:
    folder = runner.folder / label(network)
    arguments = ("--weight-bits", "4", "--act-bits", "8", "--scheme", network.scheme, "--force")
    runner.nibbleflow("quantize", network.model, *network.options, "-o", folder, *arguments)
    return {
        "model": network.name,
        "image_size": network.image_size,
        "weight_bits": 4,
        "act_bits": 8,
        "scheme": network.scheme,
        **runner.module(MODULE, folder, *network.measure, one_core=True),
    }


def main(arguments: Sequence[str] | None = None, root: Path = CHECKOUT) -> int:
    """Measure the named networks, all of them without a name, and keep their rows."""
    return measure_named(
        arguments,
        "reports.bench.hls",
        "network",
        {label(network): network for network in NETWORKS},
        lambda chosen: run(Runner(root, SCRATCH), chosen),
    )


BENCHMARK = Benchmark(
    "hls",
    "whole networks in HLS C++, compiled with g++, one thread",
    (YOLOV5N, YOLOX_NANO, MOBILEONE, CALIBRATION, OBJECTS),
    run,
)

if __name__ == "__main__":
    sys.exit(main())

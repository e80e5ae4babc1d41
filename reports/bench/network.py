# SPDX-License-Identifier: Apache-2.0
"""Whole networks in RTL: every code of every node, planned and counted cycles, speed.

``python -m reports.bench.network NAME ...`` measures only some networks. What was measured is kept
in the scratch folder and taken from there while the sources of hardware, simulation and
quantization stay what they were, so the benchmark goes on where it was stopped.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from reports.bench.benchmark import Benchmark
from reports.bench.builds import (
    CALIBRATION,
    MOBILEONE,
    MORE_CALIBRATION,
    OBJECTS,
    YOLOV5N,
    YOLOX_NANO,
)
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.named import measure_named
from reports.bench.record import Row
from reports.bench.runner import Runner

SCRATCH = Path("build/bench/network")
# What a kept row depends on.
SOURCES = ("quant", "hw", "sim", "nibbleflow")
CLOCK_HZ = 200_000_000


@dataclass(frozen=True)
class Network:
    """A network to run.

    Attributes:
        name: On the command line and in the table.
        model: What ``quantize`` takes.
        options: Further arguments of ``quantize``.
        aim: Arguments of ``verify`` that choose the folding.
    """

    name: str
    model: str
    options: tuple[str, ...] = ()
    aim: tuple[str, ...] = ()


_PHOTOGRAPHS = ("--calib", CALIBRATION)
_MORE_PHOTOGRAPHS = (*_PHOTOGRAPHS, "--calib", MORE_CALIBRATION)
_OBJECTS = ("--arch", "mobileone-s0", "--calib", OBJECTS, "--limit", "256")
_SEEDED = ("--seed", "1", "--img", "160", "--calib", "random:8")
THIRTY_FPS = ("--fps", "30", "--board", "zcu104")
# The smallest first: a fault shows early.
NETWORKS = (
    Network("demo", "demo"),
    Network("yolov7-tiny-160", "arch:yolov7-tiny", _SEEDED),
    Network("mobileone-s0", MOBILEONE, _OBJECTS),
    Network("yolox-nano", YOLOX_NANO, _MORE_PHOTOGRAPHS),
    Network("yolov5n-320", YOLOV5N, (*_PHOTOGRAPHS, "--img", "320")),
    Network("yolov5n-640", YOLOV5N, _PHOTOGRAPHS, THIRTY_FPS),
)


def run(runner: Runner, networks: Sequence[Network] = NETWORKS) -> list[Row]:
    """Quantize every network to W4A8 and verify it; kept rows are not measured again.

    A mismatch makes the command fail and with it the benchmark.
    """
    digest = sources_digest(CHECKOUT, SOURCES)
    return [
        kept_row(runner, network.name, digest, partial(_measured, runner, network))
        for network in networks
    ]


def _measured(runner: Runner, network: Network) -> Row:
    folder = runner.folder / network.name
    bits = ("--weight-bits", "4", "--act-bits", "8")
    runner.nibbleflow("quantize", network.model, *network.options, "-o", folder, *bits, "--force")
    return network_row(
        network.name, runner.nibbleflow("verify", folder, "--rtl", *network.aim), CLOCK_HZ
    )


def network_row(name: str, found: dict[str, Any], clock_hz: int) -> Row:
    """Return the figures of a network.

    Args:
        name: Its name.
        found: What ``nibbleflow verify --rtl`` wrote as JSON.
        clock_hz: Clock that frames per second are worked out for.
    """
    interval = found["interval_counted"]
    return {
        "model": name,
        "weight_bits": 4,
        "act_bits": 8,
        "nodes": len({node["name"] for node in found["nodes"]}),
        "frames": sum(r["frames"] for r in found["runs"]),
        "values": found["values"],
        "mismatches": found["mismatches"],
        "cycles": found["cycles"],
        "interval_planned": found["interval_planned"],
        "interval_counted": interval,
        "latency_planned": found["latency_planned"],
        "latency_counted": found["latency_counted"],
        "frames_per_second_at_200_mhz": clock_hz / interval,
        "macs_per_cycle": found["macs"] / interval,
        "words_loaded": found["words_loaded"],
        "million_macs_per_second_simulated": found["macs_per_second"] / 1e6,
        "build_seconds": found["build_seconds"],
        "simulation_seconds": found["sim_seconds"],
        "wall_seconds": round(found["seconds"], 1),
    }


def main(arguments: Sequence[str] | None = None, root: Path = CHECKOUT) -> int:
    """Measure the named networks, all of them without a name, and keep their rows."""
    return measure_named(
        arguments,
        "reports.bench.network",
        "network",
        {network.name: network for network in NETWORKS},
        lambda chosen: run(Runner(root, SCRATCH), chosen),
    )


BENCHMARK = Benchmark(
    "network",
    "whole networks in RTL, every code of every node against the golden model",
    (YOLOV5N, YOLOX_NANO, MOBILEONE, CALIBRATION, MORE_CALIBRATION, OBJECTS),
    run,
)

if __name__ == "__main__":
    sys.exit(main())

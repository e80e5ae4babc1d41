# SPDX-License-Identifier: Apache-2.0
"""Every convolution of real networks on every engine, at several pairs of bits."""

from collections.abc import Callable

from reports.bench.benchmark import Benchmark
from reports.bench.builds import (
    BITS,
    CALIBRATION,
    MOBILEONE,
    MORE_CALIBRATION,
    OBJECTS,
    YOLOV5N,
    YOLOX_NANO,
    Build,
    quantize_mobileone,
    quantize_yolov5n,
    quantize_yolox_nano,
)
from reports.bench.record import Row
from reports.bench.runner import Runner

EIGHT_AND_FOUR = ((8, 8), (4, 8))
MODELS: tuple[tuple[str, Callable[[Runner, int, int], Build], tuple[tuple[int, int], ...]], ...] = (
    ("YOLOv5n", quantize_yolov5n, BITS),
    ("YOLOX-Nano", quantize_yolox_nano, EIGHT_AND_FOUR),
    ("MobileOne-S0", quantize_mobileone, EIGHT_AND_FOUR),
)


def run(runner: Runner) -> list[Row]:
    """Quantize and verify; a mismatch makes the command fail and with it the benchmark."""
    return [
        _row(runner, name, quantize(runner, weight_bits, act_bits))
        for name, quantize, pairs in MODELS
        for weight_bits, act_bits in pairs
    ]


def _row(runner: Runner, name: str, build: Build) -> Row:
    found = runner.nibbleflow("verify", build.folder, "--nodes", "all-convs")
    nodes = found["nodes"]
    counted = [n for n in nodes if n["counted_interval"] is not None]
    return {
        "model": name,
        "weight_bits": build.weight_bits,
        "act_bits": build.act_bits,
        "engines": ", ".join(map(str, found["engines"])),
        "nodes": len({node["name"] for node in nodes}),
        "comparisons": len(nodes),
        "values": found["values"],
        "mismatches": found["mismatches"],
        "cycles": found["cycles"],
        "intervals_counted": len(counted),
        "intervals_as_planned": sum(
            n["counted_interval"] == n["planned_interval"] for n in counted
        ),
        "seconds": round(found["seconds"], 1),
    }


BENCHMARK = Benchmark(
    "verify",
    "real networks, every distinct convolution on real weights and activations: equal bits",
    (YOLOV5N, YOLOX_NANO, MOBILEONE, CALIBRATION, MORE_CALIBRATION, OBJECTS),
    run,
)

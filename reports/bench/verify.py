# SPDX-License-Identifier: Apache-2.0
"""Every convolution of the real YOLOv5n on every engine, at three pairs of bits."""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import BITS, CALIBRATION, YOLOV5N, quantize_yolov5n
from reports.bench.record import Row
from reports.bench.runner import Runner


def run(runner: Runner) -> list[Row]:
    """Quantize and verify; a mismatch makes the command fail and with it the benchmark."""
    rows = []
    for weight_bits, act_bits in BITS:
        build = quantize_yolov5n(runner, weight_bits, act_bits)
        found = runner.nibbleflow("verify", build.folder, "--nodes", "all-convs")
        nodes = found["nodes"]
        counted = [n for n in nodes if n["counted_interval"] is not None]
        rows.append(
            {
                "weight_bits": weight_bits,
                "act_bits": act_bits,
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
        )
    return rows


BENCHMARK = Benchmark(
    "verify",
    "YOLOv5n, every distinct convolution on real weights and activations: equal bits",
    (YOLOV5N, CALIBRATION),
    run,
)

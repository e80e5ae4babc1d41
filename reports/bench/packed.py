# SPDX-License-Identifier: Apache-2.0
"""Packed cores: alone, in a complete layer, as a network's mix, in whole networks.

Alone: size, exactness, clock rate. A layer: what every part of it takes. The mix: YOLOv7-tiny with
symmetric weights. Whole networks: YOLOv5n on the plan's cores, every code of every node.
"""

from reports.bench.benchmark import Benchmark
from reports.bench.builds import CALIBRATION, YOLOV5N
from reports.bench.network import CLOCK_HZ, network_row
from reports.bench.record import Row
from reports.bench.runner import Runner

MIX = (
    *("arch:yolov7-tiny", "--seed", "1", "--img", "64", "--calib", "random:2", "--force"),
    *("--weight-bits", "4", "--act-bits", "4", "--scheme", "symmetric", "--codebook", "never"),
)
# More than the picture lets through: the input, a pixel a cycle, sets the interval.
AIM = ("--core", "auto", "--max-macs", "2048")


def run(runner: Runner) -> dict[str, list[Row]]:
    """Measure in processes of their own; tables show every core with what was compared of it."""
    found = runner.module("reports.bench.packedcores", runner.folder / "cores")
    compared = {row["name"]: row for row in found["exact"]}
    keys = ("outputs", "mismatches")
    figures = [
        {**row, **{key: compared.get(row["name"], {}).get(key) for key in keys}}
        for row in found["cores"]
    ]
    layer = runner.module("reports.bench.packedlayer", runner.folder / "layer")
    narrow, edges = runner.folder / "mix-w4", runner.folder / "mix-w8"
    runner.nibbleflow("quantize", *MIX, "--edge-bits", "4", "-o", narrow)
    runner.nibbleflow("quantize", *MIX, "--edge-bits", "8", "-o", edges)
    mix = runner.module("reports.bench.packedmix", narrow, edges)
    return {
        "figures": figures,
        **{key: list(found[key]) for key in ("cores", "exact", "fmax")},
        "layer": list(layer["layer"]),
        "mix": list(mix["mix"]),
        "networks": [_network(runner, act_bits) for act_bits in (4, 8)],
    }


def _network(runner: Runner, act_bits: int) -> Row:
    """Return the figures of YOLOv5n on the plan's cores; a mismatch makes the command fail."""
    folder = runner.folder / f"yolov5n-320-a{act_bits}"
    bits = ("--weight-bits", "4", "--act-bits", str(act_bits), "--force")
    options = ("--calib", CALIBRATION, "--img", "320", "-o", folder)
    runner.nibbleflow("quantize", YOLOV5N, *options, *bits)
    found = runner.nibbleflow("verify", folder, "--rtl", *AIM)
    return {**network_row("yolov5n-320", found, CLOCK_HZ), "act_bits": act_bits}


BENCHMARK = Benchmark(
    "packed",
    "multiply-accumulate cores: int4 x uint4, 18-bit accumulators, Yosys synth_xilinx xcup",
    (YOLOV5N, CALIBRATION),
    run,
)

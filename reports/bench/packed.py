# SPDX-License-Identifier: Apache-2.0
"""Packed cores: alone, in a complete layer, as a network's mix, in whole networks.

Alone: size, exactness, clock rate. A layer: what every part of it takes. The mix: YOLOv7-tiny with
symmetric weights. Whole networks: the demo and YOLOv5n on the plan's cores, every code of every
node. A part that was measured is kept in the scratch folder and taken from there while its sources
stay what they were, so the benchmark goes on where it was stopped.
"""

from collections.abc import Callable
from functools import partial

from reports.bench.benchmark import Benchmark
from reports.bench.builds import CALIBRATION, YOLOV5N
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.network import CLOCK_HZ, network_row
from reports.bench.record import Row
from reports.bench.runner import Runner

MIX = (
    *("arch:yolov7-tiny", "--seed", "1", "--img", "64", "--calib", "random:2", "--force"),
    *("--weight-bits", "4", "--act-bits", "4", "--scheme", "symmetric", "--codebook", "never"),
)
Lists = dict[str, list[Row]]

# More than the picture lets through: the input, a pixel a cycle, sets the interval.
AIM = ("--core", "auto", "--max-macs", "2048")


# Whole networks; bits of activations.
NETWORKS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("demo", ("demo",), 4),
    ("yolov5n-320", (YOLOV5N, "--calib", CALIBRATION, "--img", "320"), 4),
    ("yolov5n-320", (YOLOV5N, "--calib", CALIBRATION, "--img", "320"), 8),
)
# What the kept parts depend on.
_TOOLS = ("hw/rtl", "sim/rtl", "reports/yosys.py", "reports/nextpnr.py")
SOURCES = {
    "cores": (*_TOOLS, "sim/packed", "reports/bench/packedcores.py", "reports/bench/rtl"),
    "layer": (*_TOOLS, "hw", "quant/samples.py", "reports/bench/packedlayer.py"),
    "mix": ("quant", "hw", "reports/bench/packedmix.py"),
    "network": ("quant", "hw", "sim", "nibbleflow"),
}


def run(runner: Runner) -> Lists:
    """Measure in processes of their own; tables show every core with what was compared of it."""
    # A wrong code is the worst that can come out, so it comes out first.
    networks = [
        row
        for name, model, act_bits in NETWORKS
        for row in _kept(
            runner,
            f"{name}-a{act_bits}",
            "network",
            partial(_network, runner, name, model, act_bits),
        )["networks"]
    ]
    found = _kept(runner, "cores", "cores", partial(_cores, runner))
    compared = {row["name"]: row for row in found["exact"]}
    keys = ("outputs", "mismatches")
    figures = [
        {**row, **{key: compared.get(row["name"], {}).get(key) for key in keys}}
        for row in found["cores"]
    ]
    layer = _kept(runner, "layer", "layer", partial(_layer, runner))
    mix = _kept(runner, "mix", "mix", partial(_mix, runner))
    return {"figures": figures, **found, **layer, **mix, "networks": networks}


def _kept(runner: Runner, name: str, kind: str, measure: Callable[[], Lists]) -> Lists:
    return kept_row(runner, name, sources_digest(CHECKOUT, SOURCES[kind]), measure)


def _cores(runner: Runner) -> Lists:
    found = runner.module("reports.bench.packedcores", runner.folder / "cores")
    return {key: list(found[key]) for key in ("cores", "exact", "fmax")}


def _layer(runner: Runner) -> Lists:
    found = runner.module("reports.bench.packedlayer", runner.folder / "layer")
    return {"layer": list(found["layer"])}


def _mix(runner: Runner) -> Lists:
    narrow, edges = runner.folder / "mix-w4", runner.folder / "mix-w8"
    runner.nibbleflow("quantize", *MIX, "--edge-bits", "4", "-o", narrow)
    runner.nibbleflow("quantize", *MIX, "--edge-bits", "8", "-o", edges)
    return {"mix": list(runner.module("reports.bench.packedmix", narrow, edges)["mix"])}


def _network(runner: Runner, name: str, model: tuple[str, ...], act_bits: int) -> Lists:
    """Return the figures of a network on the plan's cores; a mismatch makes the command fail."""
    folder = runner.folder / f"{name}-a{act_bits}"
    bits = ("--weight-bits", "4", "--act-bits", str(act_bits), "--force")
    runner.nibbleflow("quantize", *model, "-o", folder, *bits)
    found = runner.nibbleflow("verify", folder, "--rtl", *AIM)
    return {"networks": [{**network_row(name, found, CLOCK_HZ), "act_bits": act_bits}]}


BENCHMARK = Benchmark(
    "packed",
    "multiply-accumulate cores: int4 x uint4, 18-bit accumulators, Yosys synth_xilinx xcup",
    (YOLOV5N, CALIBRATION),
    run,
)

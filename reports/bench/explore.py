# SPDX-License-Identifier: Apache-2.0
"""The explorer: plans with their bounds, the demo's plan in RTL, block RAMs of weights."""

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner

SEEDED = ("--seed", "1", "--calib", "random:2", "--img", "64")
BITS = ("--weight-bits", "4", "--act-bits", "4", "--output-bits", "8")
# Shapes and bits decide; weights and images do not matter. So builds are made for small images and
# explored for large ones.
MODELS = (
    ("YOLOv5n", "arch:yolov5n", ("zcu104", "kv260")),
    ("YOLOv7-tiny", "arch:yolov7-tiny", ("zcu104", "kv260")),
    ("YOLOv7", "arch:yolov7", ("u250",)),
)
PIXELS = 640
DEMO_FPS, DEMO_BOARD = "1500", "kv260"


def run(runner: Runner) -> dict[str, list[Row]]:
    """Quantize, explore for both boards, run the demo's plan in RTL, count memories."""
    plans: list[Row] = []
    builds = {}
    for name, model, boards in MODELS:
        builds[name] = runner.folder / name.lower()
        runner.nibbleflow("quantize", model, *SEEDED, *BITS, "-o", builds[name], "--force")
        for board in boards:
            found = runner.module(
                "reports.bench.explored", builds[name], "--board", board, "--pixels", str(PIXELS),
                one_core=True,
            )  # fmt: skip
            plans.append({"model": name, "pixels": PIXELS, "board": board, **found})
    memories = runner.module(
        "reports.bench.weightmemories", builds["YOLOv7-tiny"], "--pixels", str(PIXELS)
    )
    return {
        "figures": plans,
        "demo": [_demo(runner)],
        "block_rams": memories["block"],
        "memory_mix": memories["mix"],
    }


def _demo(runner: Runner) -> Row:
    """Return planned and counted cycles of the demo under the plan that ``explore`` left."""
    build = runner.folder / "demo"
    runner.nibbleflow("quantize", "demo", "-o", build, "--force")
    explored = runner.nibbleflow("explore", build, "--fps", DEMO_FPS, "--board", DEMO_BOARD)
    counted = runner.nibbleflow("verify", build, "--rtl")
    plan = explored["plans"][0]
    return {
        "board": DEMO_BOARD,
        "fps_asked": float(DEMO_FPS),
        "fps": plan["fps"],
        "optimal": explored["optimal"],
        "solve_seconds": explored["seconds"],
        "solve_cpu_seconds": explored["cpu_seconds"],
        "lut": plan["lut"],
        "dsp": plan["dsp"],
        "bram18": plan["bram18"],
        "uram": plan["uram"],
        **{
            key: counted[key]
            for key in (
                "values",
                "mismatches",
                "interval_planned",
                "interval_counted",
                "latency_planned",
                "latency_counted",
            )
        },
    }


BENCHMARK = Benchmark(
    "explore",
    "Fastest plans that fit a board with their bounds; block RAMs of weights",
    (),
    run,
)

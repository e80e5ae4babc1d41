# SPDX-License-Identifier: Apache-2.0
"""The front of plans of the demo network over bits and schemes, for one board."""

from shutil import rmtree

from reports.bench.benchmark import Benchmark
from reports.bench.record import Row
from reports.bench.runner import Runner

VARIANTS = ("w4a4-affine", "w4a8-affine", "w4a8-e2m1-spare", "w8a8-affine")
BOARD = "kv260"
FIGURES = ("fps", "interval_cycles", "lut", "ff", "dsp", "bram18", "uram", "cost", "cost_bound")


def run(runner: Runner) -> list[Row]:
    """Quantize the demo in every variant, explore each and keep what no other plan beats."""
    folder = runner.folder / "front"
    # What an earlier run left there would be taken for results of this one.
    rmtree(runner.path(folder), ignore_errors=True)
    found = runner.nibbleflow(
        "explore", "demo", "--variants", ",".join(VARIANTS), "--board", BOARD,
        "--folder", folder, "--workers", "1",
    )  # fmt: skip
    return [
        {
            "model": "demo",
            "board": BOARD,
            "bits": plan["bits"],
            "scheme": plan["scheme"],
            **{key: plan[key] for key in FIGURES},
            "cheapest_proved": plan["optimal"],
            "sqnr_db": plan["sqnr_db"],
        }
        for plan in found["plans"]
    ]


BENCHMARK = Benchmark(
    "front",
    "the front of the demo network's plans on KV260 over bits and schemes, by the tables",
    (),
    run,
)

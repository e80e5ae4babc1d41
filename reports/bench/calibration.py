# SPDX-License-Identifier: Apache-2.0
"""Calibration that knows blocks and tasks: what each recipe reaches, and which claim holds.

Rows compare recipes at the usual bits. Ablations switch one part of RepAPQ or TASKQ off, with three
seeds, and say with a paired bootstrap interval whether it helps. A finished run is kept in the
scratch folder until the sources change, so that an interrupted benchmark goes on behind it.

``NIBBLEFLOW_CALIBRATION=small`` takes the built-in detector alone, with fewer steps and images.
"""

import os
from functools import partial
from time import perf_counter

from quant.errors import InputFileError
from reports.bench.ablations import Run, all_ablations
from reports.bench.benchmark import Benchmark
from reports.bench.builds import DATA, MOBILEONE, MORE_CALIBRATION, OBJECTS, YOLOX_NANO
from reports.bench.calibrated import FULL, SMALL, Scope, Subject
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.record import Row
from reports.bench.runner import Runner

SCOPE = "NIBBLEFLOW_CALIBRATION"
SCOPES = {"full": FULL, "small": SMALL}
# What a result depends on.
SOURCES = ("quant", "sim/golden", "sim/host", "nibbleflow/verbs")


def run(runner: Runner) -> dict[str, list[Row]]:
    """Measure every row and ablation that no earlier run has left."""
    named = os.environ.get(SCOPE, "full")
    if named not in SCOPES:
        raise InputFileError(f"{SCOPE}={named} is unknown; choose {' or '.join(SCOPES)}")
    scope = SCOPES[named]
    digest = sources_digest(CHECKOUT, SOURCES) + named
    cases = [
        (subject, bits, recipe)
        for subject in scope.detectors
        for bits in scope.bits
        for recipe in scope.recipes
    ]
    rows = [
        kept_row(
            runner,
            f"{named}-{subject.name}-w{bits[0]}a{bits[1]}-{recipe}".lower(),
            digest,
            partial(measured, runner, scope, subject, bits, recipe),
        )
        for subject, bits, recipe in cases
    ]
    runs = Run(runner, scope, digest)
    return {"figures": rows, "ablations": all_ablations(runs)}


def measured(
    runner: Runner, scope: Scope, subject: Subject, bits: tuple[int, int], recipe: str
) -> Row:
    """Quantize and evaluate one case."""
    folder = runner.folder / f"{subject.name}_w{bits[0]}a{bits[1]}_{recipe}".lower()
    options = ("--weight-bits", str(bits[0]), "--act-bits", str(bits[1]))
    begin = perf_counter()
    made = runner.nibbleflow(
        "quantize",
        *subject.calibration,
        "-o",
        folder,
        *(*options, "--recipe", scope.recipe(runner, recipe), "--force"),
    )
    seconds = perf_counter() - begin
    limit = ("--limit", str(scope.images)) if scope.images else ()
    found = runner.nibbleflow(
        "evaluate", folder, *subject.labels, *limit, "--engines", "float,integer"
    )
    memory = runner.nibbleflow("report", folder)
    wide = [layer["decoded_bits"] for layer in memory["layers"] if layer["macs"]]
    return {
        "model": subject.name,
        "weight_bits": bits[0],
        "act_bits": bits[1],
        "recipe": recipe,
        "steps_per_block": scope.steps,
        "calibration_images": made["settings"]["calibration_images"],
        "images": found["images"],
        "float_map_percent": found["float"]["map"],
        "map_percent": found["integer"]["map"],
        "map50_percent": found["integer"]["map50"],
        "lost_map_points": found["float"]["map"] - found["integer"]["map"],
        "mean_decoded_bits": sum(wide) / len(wide),
        "honest_ratio": memory["memory"]["honest_ratio"],
        "quantize_seconds": round(seconds, 1),
    }


BENCHMARK = Benchmark(
    "calibration",
    "Recipes by bits, and ablations of RepAPQ and TASKQ with three seeds and paired intervals",
    (*DATA, MORE_CALIBRATION, YOLOX_NANO, MOBILEONE, OBJECTS),
    run,
)

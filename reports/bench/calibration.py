# SPDX-License-Identifier: Apache-2.0
"""Calibration that knows blocks and tasks: what each recipe reaches, and which claim holds.

Rows compare recipes at the usual bits. Ablations switch one part of RepAPQ or TASKQ off, with three
seeds, and say with a paired bootstrap interval whether it helps. A finished run is kept in the
scratch folder until the sources change, so that an interrupted benchmark goes on behind it.

``NIBBLEFLOW_CALIBRATION=small`` takes the built-in detector alone, with fewer steps and images.
"""

import os
from functools import partial

from quant.errors import InputFileError
from reports.bench.ablations import Run, all_ablations
from reports.bench.benchmark import Benchmark
from reports.bench.builds import DATA, MOBILEONE, MORE_CALIBRATION, OBJECTS, YOLOX_NANO
from reports.bench.calibrated import FOUR_BITS, FULL, SMALL, Bits, Scope, widths
from reports.bench.kept import kept_row
from reports.bench.record import Row
from reports.bench.runner import Runner
from reports.bench.subjects import BUILD, Subject, recipe_row, state

SCOPE = "NIBBLEFLOW_CALIBRATION"
SCOPES = {"full": FULL, "small": SMALL}
# Recipes with stages that go block by block.
BLOCKWISE = ("repapq", "taskq")


def run(runner: Runner) -> dict[str, list[Row]]:
    """Measure every row and ablation that no earlier run has left."""
    named = os.environ.get(SCOPE, "full")
    if named not in SCOPES:
        raise InputFileError(f"{SCOPE}={named} is unknown; choose {' or '.join(SCOPES)}")
    scope = SCOPES[named]
    digest = state() + named
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
            partial(measured, runner, scope, digest, subject, bits, recipe),
        )
        for subject, bits, recipe in cases
    ]
    runs = Run(runner, scope, digest)
    return {"figures": rows, "ablations": all_ablations(runs)}


def measured(
    runner: Runner,
    scope: Scope,
    digest: str,
    subject: Subject,
    bits: Bits,
    recipe: str,
) -> Row:
    """Quantize and evaluate one case."""
    codes = scope.codes(bits, recipe)
    named: Row = {
        "model": subject.name,
        "weight_bits": bits[0],
        "act_bits": bits[1],
        "recipe": recipe,
        "codes": " ".join(codes),
        "steps_per_block": scope.steps if recipe in BLOCKWISE else None,
    }
    file = scope.recipe(runner, recipe)
    options = (*widths(bits), *codes)
    row = recipe_row(runner, subject, options, file, digest=digest, images=scope.images)
    verified = _verified(runner) if recipe == "best" and bits[0] == FOUR_BITS else {}
    return named | row | verified


def _verified(runner: Runner) -> Row:
    """Compare the engines on the last build; a mismatch makes the command fail."""
    found = runner.nibbleflow("verify", runner.folder / BUILD, "--nodes", "all-convs")
    return {
        "engines": ", ".join(map(str, found["engines"])),
        "convolutions_verified": len({node["name"] for node in found["nodes"]}),
        "values_compared": found["values"],
        "mismatches": found["mismatches"],
    }


BENCHMARK = Benchmark(
    "calibration",
    "Recipes by bits, and ablations of RepAPQ and TASKQ with three seeds and paired intervals",
    (*DATA, MORE_CALIBRATION, YOLOX_NANO, MOBILEONE, OBJECTS),
    run,
)

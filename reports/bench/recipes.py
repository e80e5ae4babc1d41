# SPDX-License-Identifier: Apache-2.0
"""What each recipe wins back, and how long it takes.

A finished row is kept in the scratch folder, so that an interrupted benchmark goes on behind it;
rows of another state of the sources are measured again.
"""

from dataclasses import dataclass
from functools import partial

from reports.bench.benchmark import Benchmark
from reports.bench.builds import (
    CALIBRATION,
    IMAGES,
    INSTANCES,
    MOBILEONE,
    MORE_CALIBRATION,
    OBJECTS,
    YOLOV5N,
    YOLOX_NANO,
)
from reports.bench.floats import LABELS, PHOTOGRAPHS
from reports.bench.kept import kept_row
from reports.bench.record import Row
from reports.bench.runner import Runner
from reports.bench.subjects import (
    DEMO,
    MOBILEONE_SUBJECT,
    YOLOV5N_SUBJECT,
    YOLOX_SUBJECT,
    Subject,
    recipe_row,
    state,
)


@dataclass(frozen=True)
class Case:
    """One row to be.

    Attributes:
        subject: The network.
        bits: What is quantized, in words.
        options: Options of ``quantize`` that say so.
        recipe: The recipe.
    """

    subject: Subject
    bits: str
    options: tuple[str, ...]
    recipe: str

    @property
    def label(self) -> str:
        """Name of the row's file."""
        words = f"{self.subject.name}-{self.bits}-{self.recipe}".replace(",", "")
        return words.replace(" ", "_").lower()


_W4A8 = ("--weight-bits", "4", "--act-bits", "8")
_W4A4 = ("--weight-bits", "4", "--act-bits", "4")
_SPARE = ("--scheme", "e2m1-spare")
_ALONE = ("--weight-bits", "4", "--weights-only", *_SPARE, "--least-ratio")
_AT_35 = ("--least-ratio", "3.5")
_BOOKS = ("--scheme", "codebook", *_AT_35)
CASES = (
    Case(YOLOV5N_SUBJECT, "W4 alone, E2M1 and a spare, 3.5x", (*_ALONE, "3.5"), "best"),
    Case(YOLOX_SUBJECT, "W4 alone, E2M1 and a spare, 3.4x", (*_ALONE, "3.4"), "best"),
    *(
        Case(subject, f"W4 alone, E2M1 and a spare, {ratio}x", (*_ALONE, ratio), recipe)
        for subject, ratio in ((YOLOV5N_SUBJECT, "3.5"), (YOLOX_SUBJECT, "3.4"))
        for recipe in ("gptq", "rtn")
    ),
    *(
        Case(subject, f"W4A8, {words}", (*_W4A8, *options), recipe)
        for subject, words, options, recipes in (
            (YOLOV5N_SUBJECT, "a codebook per filter, 3.5x", _BOOKS, ("best", "gptq", "rtn")),
            (YOLOV5N_SUBJECT, "E2M1 and a spare", _SPARE, ("best", "gptq")),
            (YOLOV5N_SUBJECT, "E2M1 and a spare, 3.5x", (*_SPARE, *_AT_35), ("best",)),
            (MOBILEONE_SUBJECT, "a codebook per filter, 3.5x", _BOOKS, ("gptq", "rtn")),
        )
        for recipe in recipes
    ),
    *(Case(DEMO, "W4A4", _W4A4, r) for r in ("rtn", "gptq", "adaround")),
)


def run(runner: Runner) -> list[Row]:
    """Quantize with every recipe, evaluate."""
    digest = state()
    return [
        kept_row(runner, case.label, digest, partial(measured, runner, case, digest))
        for case in CASES
    ]


def measured(runner: Runner, case: Case, digest: str) -> Row:
    """Quantize and evaluate one case."""
    named = {"model": case.subject.name, "bits": case.bits, "recipe": case.recipe}
    return named | recipe_row(runner, case.subject, case.options, case.recipe, digest=digest)


BENCHMARK = Benchmark(
    "recipes",
    "Recipes: 300 labelled COCO images, 300 photographs (MobileOne-S0), 500 shapes (demo)",
    (
        *(YOLOV5N, YOLOX_NANO, MOBILEONE, CALIBRATION, MORE_CALIBRATION),
        *(INSTANCES, IMAGES, OBJECTS, LABELS, PHOTOGRAPHS),
    ),
    run,
)

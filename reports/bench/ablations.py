# SPDX-License-Identifier: Apache-2.0
"""Ablations of RepAPQ and TASKQ: one part on and off, three seeds, paired intervals."""

import json
from dataclasses import dataclass

from reports.bench.bootstrap import Scores, difference, mean_score
from reports.bench.calibrated import FOUR_BITS, Bits, Fields, Scope, widths
from reports.bench.imagewise import read_boxes, read_figures
from reports.bench.kept import kept_row
from reports.bench.record import Row
from reports.bench.runner import Runner
from reports.bench.subjects import Arguments, Subject

FOUR = (FOUR_BITS, FOUR_BITS)


@dataclass(frozen=True)
class Ablation:
    """One part of a method, on and off.

    Attributes:
        claim: What is claimed to help, in words.
        against: What it is compared with.
        kind: The stage.
        fields: Fields of the stage without the part.
        options: Options of ``quantize`` in both.
        without: Further options without the part.
    """

    claim: str
    against: str
    kind: str
    fields: Fields
    options: Arguments = ()
    without: Arguments = ()


# Fewer output bits than usual, so that the heads' own formats matter.
_HEADS = ("--output-bits", "8")
MERGED = (
    Ablation("mean absolute error", "mean squared error", "repapq", {"error": "mse"}),
    Ablation("QPRep", "none", "repapq", {"qprep": False}),
)
TASKS = (
    Ablation("DTR", "none", "taskq", {"dtr": False}, _HEADS),
    Ablation("STAHQ", "none", "taskq", {"stahq": False}, _HEADS),
    Ablation(
        "two-region codes",
        "even steps",
        "taskq",
        {"sparse": False},
        _HEADS,
        ("--codebook", "never"),
    ),
)


@dataclass(frozen=True)
class Run:
    """Makes builds and measures them image by image, each once.

    Attributes:
        runner: Runs the commands.
        scope: How much is measured.
        digest: State of all that results depend on.
    """

    runner: Runner
    scope: Scope
    digest: str

    def results(
        self, subject: Subject, bits: Bits, each: Ablation, seed: int, *, on: bool
    ) -> dict[str, Scores]:
        """Return a variant's results by metric, larger is better."""
        fields: Fields = {"seed": seed, **({} if on else each.fields)}
        options = (*each.options, *(() if on else each.without))
        words = [f"{key}-{value}" for key, value in fields.items()]
        label = "-".join([each.kind, *words, *(o.strip("-") for o in options)])
        label = f"{subject.name}-w{bits[0]}a{bits[1]}-{label}".lower()
        row = kept_row(
            self.runner,
            f"run-{label}",
            self.digest,
            lambda: self._measured(subject, bits, each.kind, label, fields, options),
        )
        file = self.runner.path(str(row["results"]))
        found = json.loads(file.read_text(encoding="utf-8"))
        if subject.boxes:
            return {"mAP points": read_boxes(found)}
        agrees = read_figures(found, "agrees")
        error = read_figures(found, "error")
        return {
            "top-1 agreement points": type(agrees)(100.0 * agrees.values),
            "relative logit error (less is better)": type(error)(-error.values),
        }

    def _measured(
        self,
        subject: Subject,
        bits: Bits,
        kind: str,
        label: str,
        fields: Fields,
        options: Arguments,
    ) -> Row:
        runner, scope = self.runner, self.scope
        file = scope.file(runner, label, (("nearest", {}), (kind, fields)))
        folder = runner.folder / "ablation"
        runner.nibbleflow(
            "quantize",
            *subject.calibration,
            "-o",
            folder,
            *(*widths(bits), *options, "--recipe", file, "--force"),
        )
        limit = ("--limit", str(scope.images)) if scope.images else ()
        found = runner.module("reports.bench.imagewise", folder, *subject.results, *limit)
        results = runner.folder / f"{label}.results.json"
        runner.path(results).write_text(json.dumps(found), encoding="utf-8")
        return {"results": str(results), "images": found["images"]}


def all_ablations(runs: Run) -> list[Row]:
    """Return the rows of every ablation, one per network, bits and metric."""
    scope = runs.scope
    merged = [
        (subject, bits, each)
        for subject in scope.merged
        for bits in scope.merged_bits
        for each in MERGED
    ]
    tasks = [(scope.detector, FOUR, each) for each in TASKS]
    return [row for case in (*tasks, *merged) for row in _rows(runs, *case)]


def _rows(runs: Run, subject: Subject, bits: Bits, each: Ablation) -> list[Row]:
    on, off = (
        [runs.results(subject, bits, each, seed, on=which) for seed in runs.scope.seeds]
        for which in (True, False)
    )
    rows: list[Row] = []
    for metric in on[0]:
        first, second = ([found[metric] for found in side] for side in (on, off))
        told = difference(first, second)
        rows.append(
            {
                "claim": each.claim,
                "against": each.against,
                "model": subject.name,
                "weight_bits": bits[0],
                "act_bits": bits[1],
                "metric": metric,
                "images": first[0].images,
                "seeds": len(runs.scope.seeds),
                "steps_per_block": runs.scope.steps,
                "with": mean_score(first),
                "without": mean_score(second),
                "gain": told.mean,
                "low": told.low,
                "high": told.high,
                "holds": told.holds,
            }
        )
    return rows

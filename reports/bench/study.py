# SPDX-License-Identifier: Apache-2.0
"""The study of weight-only quantization on the real YOLOv5n; an interrupted one goes on.

Rows that were measured before with the same options stay in the scratch folder and are not measured
again: remove ``build/bench/study`` to begin anew. ``NIBBLEFLOW_STUDY_IMAGES`` takes fewer images
than all.
"""

import os
from dataclasses import dataclass

from reports.bench.benchmark import Benchmark
from reports.bench.builds import IMAGES, INSTANCES, YOLOV5N
from reports.bench.record import Row
from reports.bench.runner import Runner

LIMIT = "NIBBLEFLOW_STUDY_IMAGES"
GRANULARITIES = ("layer", "filter", "channel", "f-shape", "c-shape", "mixture")
MIXED = ("filter", "f-shape", "c-shape", "mixture")


@dataclass(frozen=True)
class Case:
    """Rows of one scheme.

    Attributes:
        scheme: With its stored bits.
        clip: How a group's range is chosen.
        granularities: One row each.
        edge_bits: Affine bits of stem and head; like the rest without it.
    """

    scheme: str
    clip: str
    granularities: tuple[str, ...] = GRANULARITIES
    edge_bits: int | None = None

    @property
    def label(self) -> str:
        """Name of the file that keeps the rows."""
        edge = "" if self.edge_bits is None else f"-edge{self.edge_bits}"
        return f"{self.scheme.replace(':', '')}-{self.clip}{edge}-{len(self.granularities)}"


# What was measured independently comes first, so that an interrupted study has it.
CASES = (
    Case("affine:4", "minmax"),
    Case("pwlq:5", "minmax"),
    Case("pwlq:4", "minmax"),
    Case("affine:4", "mse", MIXED, 8),
    Case("pwlq:4", "minmax", ("filter", "c-shape"), 8),
    Case("e2m1-spare:4", "mse", ("filter", "c-shape"), 8),
    Case("affine:4", "mse"),
    Case("e2m1-spare:4", "mse"),
    Case("affine:4", "minmax", ("mixture-bits", "mixture-hardware")),
    Case("symmetric:4", "minmax", ("filter", "c-shape")),
    Case("pwlq-code:5", "minmax", ("filter", "c-shape")),
    Case("pwlq-overlap:5", "minmax", ("filter", "c-shape")),
    Case("pwlq16:4", "mse", ("filter",)),
    Case("codebook:4", "mse", ("filter",)),
)
_MEASURED = {
    ("affine:4", "minmax"): (0.00, 4.18, 0.86, 3.51, 7.83, 7.67),
    ("affine:4", "mse"): (0.12, 4.27, 0.32, 2.66, 7.65, 6.49),
    ("pwlq:5", "minmax"): (7.57, 22.60, 15.60, 20.73, 22.62, 22.29),
    ("pwlq:4", "minmax"): (0.11, 7.01, 0.82, 5.12, 8.68, 5.96),
    ("e2m1-spare:4", "mse"): (0.30, 3.61, 1.42, 2.70, 1.84, 1.47),
}
# mAP as it was measured independently of this project, on all 300 images.
EXPECTED = {key: dict(zip(GRANULARITIES, values, strict=True)) for key, values in _MEASURED.items()}
COPIED = (
    "bits",
    "granularity",
    "groups",
    "published_ratio",
    "honest_ratio",
    "sqnr_db",
    "stored_sqnr_db",
)


def run(runner: Runner) -> list[Row]:
    """Measure every row that no earlier run has left."""
    return [row for case in CASES for row in _rows(runner, case)]


def _rows(runner: Runner, case: Case) -> list[Row]:
    limit = os.environ.get(LIMIT)
    kept = runner.folder / f"{case.label}-{limit or 'all'}.json"
    edge = () if case.edge_bits is None else ("--edge-bits", str(case.edge_bits))
    found = runner.nibbleflow(
        *("study", YOLOV5N, "--schemes", case.scheme, "--weight-clip", case.clip, *edge),
        *("--granularities", ",".join(case.granularities), "--data", INSTANCES),
        *("--images", IMAGES, *(("--limit", limit) if limit else ()), "--out", kept),
    )
    rows = []
    for measured, granularity in zip(found["rows"], case.granularities, strict=True):
        row: Row = {"scheme": measured["scheme"], "clip": case.clip}
        row["stem_and_head_bits"] = case.edge_bits or measured["bits"]
        row |= {key: measured[key] for key in COPIED}
        row |= {f"{k}_percent": measured[k] for k in ("map", "map50", "precision", "recall")}
        row |= {"float_map_percent": found["float"]["map"], "images": measured["images"]}
        known = EXPECTED.get((case.scheme, case.clip), {})
        same = limit is None and case.edge_bits is None
        row["expected_map_percent"] = known.get(granularity) if same else None
        rows.append(row)
    return rows


BENCHMARK = Benchmark(
    "study",
    "YOLOv5n, weights only, round to nearest: schemes and granularities on labelled COCO images",
    (YOLOV5N, INSTANCES, IMAGES),
    run,
)

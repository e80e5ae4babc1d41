# SPDX-License-Identifier: Apache-2.0
"""The study of weight-only quantization on the real YOLOv5n; an interrupted one goes on.

Rows that were measured before with the same options stay in the scratch folder and are not measured
again: remove ``build/bench/study`` to begin anew. ``NIBBLEFLOW_STUDY_IMAGES`` takes fewer images
than all.
"""

import os

from reports.bench.benchmark import Benchmark
from reports.bench.builds import IMAGES, INSTANCES, YOLOV5N
from reports.bench.record import Row
from reports.bench.runner import Runner

LIMIT = "NIBBLEFLOW_STUDY_IMAGES"
GRANULARITIES = ("layer", "filter", "channel", "f-shape", "c-shape", "mixture")
# Schemes with their stored bits, and how a group's range is chosen.
SCHEMES = (
    ("affine:4", "minmax"),
    ("affine:4", "mse"),
    ("pwlq:5", "minmax"),
    ("pwlq:4", "minmax"),
    ("e2m1-spare:4", "mse"),
)
MORE = (
    ("affine:4", "minmax", ("mixture-bits", "mixture-hardware")),
    ("symmetric:4", "minmax", ("filter", "c-shape")),
    ("pwlq-code:5", "minmax", ("filter", "c-shape")),
    ("pwlq16:4", "mse", ("filter",)),
    ("codebook:4", "mse", ("filter",)),
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
    rows: list[Row] = []
    for scheme, clip in SCHEMES:
        rows += _rows(runner, scheme, clip, GRANULARITIES)
    for scheme, clip, granularities in MORE:
        rows += _rows(runner, scheme, clip, granularities)
    return rows


def _rows(runner: Runner, scheme: str, clip: str, granularities: tuple[str, ...]) -> list[Row]:
    limit = os.environ.get(LIMIT)
    kept = runner.folder / f"{scheme.replace(':', '')}-{clip}-{limit or 'all'}.json"
    found = runner.nibbleflow(
        *("study", YOLOV5N, "--schemes", scheme, "--weight-clip", clip),
        *("--granularities", ",".join(granularities), "--data", INSTANCES, "--images", IMAGES),
        *(("--limit", limit) if limit else ()),
        *("--out", kept),
    )
    rows = []
    for measured, granularity in zip(found["rows"], granularities, strict=True):
        row: Row = {"scheme": measured["scheme"], "clip": clip}
        row |= {key: measured[key] for key in COPIED}
        row |= {f"{k}_percent": measured[k] for k in ("map", "map50", "precision", "recall")}
        row |= {"float_map_percent": found["float"]["map"], "images": measured["images"]}
        expected = EXPECTED.get((scheme, clip), {}).get(granularity)
        if expected is not None and limit is None:
            row["expected_map_percent"] = expected
        rows.append(row)
    return rows


BENCHMARK = Benchmark(
    "study",
    "YOLOv5n, weights only, round to nearest: schemes and granularities on labelled COCO images",
    (YOLOV5N, INSTANCES, IMAGES),
    run,
)

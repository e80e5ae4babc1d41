# SPDX-License-Identifier: Apache-2.0
"""What each recipe wins back, and how long it takes.

A finished row is kept in the scratch folder until all are there, so that an interrupted benchmark
goes on behind it; rows of another state of the sources are measured again.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from reports.bench.benchmark import Benchmark
from reports.bench.builds import CALIBRATION, DATA, IMAGES, INSTANCES, YOLOV5N
from reports.bench.record import Row
from reports.bench.runner import Runner
from reports.bench.surroundings import versions

MORE_CALIBRATION = "../shared/data/coco/calib_extra"


@dataclass(frozen=True)
class Case:
    """One row to be.

    Attributes:
        model: Its name in the table.
        bits: What is quantized, in words.
        options: Options of ``quantize`` that say so.
        recipe: The recipe.
    """

    model: str
    bits: str
    options: tuple[str, ...]
    recipe: str

    @property
    def label(self) -> str:
        """Name of the row's files."""
        return f"{self.model}-{self.bits}-{self.recipe}".replace(" ", "_").lower()


_W4A8 = ("--weight-bits", "4", "--act-bits", "8")
_W4A4 = ("--weight-bits", "4", "--act-bits", "4")
_W4 = ("--weight-bits", "4", "--weights-only")
CASES = (
    *(Case("demo", "W4A4", _W4A4, r) for r in ("rtn", "gptq", "adaround", "distill", "best")),
    *(Case("YOLOv5n", "W4A8", _W4A8, r) for r in ("rtn", "gptq", "adaround", "distill", "best")),
    *(Case("YOLOv5n", "W4A4", _W4A4, r) for r in ("rtn", "gptq", "best")),
    *(Case("YOLOv5n", "W4 alone", _W4, r) for r in ("rtn", "gptq", "best")),
)


def run(runner: Runner) -> list[Row]:
    """Quantize with every recipe, evaluate."""
    state = versions(runner.path("."))["nibbleflow_commit"]
    rows, kept = [], []
    for case in CASES:
        file = runner.path(runner.folder / f"{case.label}.row.json")
        kept.append(file)
        row = _finished(file, state)
        if row is None:
            row = measured(runner, case)
            file.write_text(json.dumps({"state": state, "row": row}), encoding="utf-8")
        rows.append(row)
    for file in kept:
        file.unlink()
    return rows


def measured(runner: Runner, case: Case) -> Row:
    """Quantize and evaluate one case."""
    folder = runner.folder / case.label
    calib = ["--calib", CALIBRATION, "--calib", MORE_CALIBRATION]
    model = [YOLOV5N, *calib] if case.model != "demo" else ["demo"]
    begin = perf_counter()
    made = runner.nibbleflow(
        "quantize", *model, "-o", folder, *case.options, "--recipe", case.recipe, "--force"
    )
    seconds = perf_counter() - begin
    data = [] if case.model == "demo" else ["--data", INSTANCES, "--images", IMAGES]
    engine = "fake_quant" if "--weights-only" in case.options else "integer"
    found = runner.nibbleflow("evaluate", folder, *data, "--engines", f"float,{engine}")
    memory = runner.nibbleflow("report", folder)["memory"]
    return {
        "model": case.model,
        "bits": case.bits,
        "recipe": case.recipe,
        "calibration_images": made["settings"].get("calibration_images"),
        "images": found["images"],
        "engine": engine,
        "float_map_percent": found["float"]["map"],
        "map_percent": found[engine]["map"],
        "map50_percent": found[engine]["map50"],
        "lost_map_points": found["float"]["map"] - found[engine]["map"],
        "honest_ratio": memory["honest_ratio"],
        "quantize_seconds": round(seconds, 1),
    }


def _finished(file: Path, state: str | None) -> Row | None:
    """Return the row that an earlier run of the same sources left, or ``None``."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    clean = state is not None and not state.endswith("+changes")
    row: Row | None = kept.get("row") if clean and kept.get("state") == state else None
    return row


BENCHMARK = Benchmark(
    "recipes",
    "Recipes: YOLOv5n at 640 x 640 on 300 labelled COCO images, the demo on 500 shapes",
    (*DATA, MORE_CALIBRATION),
    run,
)

# SPDX-License-Identifier: Apache-2.0
"""What each recipe wins back, and how long it takes.

A finished row is kept in the scratch folder until all are there, so that an interrupted benchmark
goes on behind it; rows of another state of the sources are measured again.
"""

import json
import resource
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

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
from reports.bench.record import Row
from reports.bench.runner import Runner
from reports.bench.surroundings import versions


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
        words = f"{self.model}-{self.bits}-{self.recipe}".replace(",", "")
        return words.replace(" ", "_").lower()


@dataclass(frozen=True)
class Model:
    """A model of this benchmark.

    Attributes:
        file: What ``quantize`` is given.
        options: What else it needs.
        calibration: Folders of images.
        data: Options of ``evaluate``.
        figures: What is compared, and a second figure beside it.
    """

    file: str
    options: tuple[str, ...] = ()
    calibration: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    figures: tuple[str, str] = ("map", "map50")


_PHOTOGRAPHS = (CALIBRATION, MORE_CALIBRATION)
_OBJECTS = ("--data", INSTANCES, "--images", IMAGES)
MODELS = {
    "demo": Model("demo"),
    "YOLOv5n": Model(YOLOV5N, (), _PHOTOGRAPHS, _OBJECTS),
    "YOLOX-Nano": Model(YOLOX_NANO, (), _PHOTOGRAPHS, _OBJECTS),
    "MobileOne-S0": Model(
        MOBILEONE,
        ("--arch", "mobileone-s0", "--limit", "256"),
        (OBJECTS,),
        ("--labels", LABELS, "--images", PHOTOGRAPHS),
        ("top1", "top5"),
    ),
}
_W4A8 = ("--weight-bits", "4", "--act-bits", "8")
_W4A4 = ("--weight-bits", "4", "--act-bits", "4")
_W4 = ("--weight-bits", "4", "--weights-only")
_SPARE = ("--scheme", "e2m1-spare")
_AT_35, _AT_34 = ("--least-ratio", "3.5"), ("--least-ratio", "3.4")
CASES = (
    *(Case("demo", "W4A4", _W4A4, r) for r in ("rtn", "gptq", "adaround", "distill", "best")),
    *(Case("YOLOv5n", "W4A8", _W4A8, r) for r in ("rtn", "gptq", "adaround", "distill", "best")),
    *(Case("YOLOv5n", "W4A4", _W4A4, r) for r in ("rtn", "gptq", "best")),
    *(Case("YOLOv5n", "W4 alone", _W4, r) for r in ("rtn", "gptq", "best")),
    Case("YOLOv5n", "W4 alone, E2M1 and a spare", (*_W4, *_SPARE), "best"),
    Case("YOLOv5n", "W4 alone, E2M1 and a spare, 3.5x", (*_W4, *_SPARE, *_AT_35), "best"),
    Case("YOLOX-Nano", "W4 alone, E2M1 and a spare, 3.4x", (*_W4, *_SPARE, *_AT_34), "best"),
    *(Case("MobileOne-S0", "W4A8", _W4A8, r) for r in ("rtn", "gptq", "best")),
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
    model = MODELS[case.model]
    calib = [argument for images in model.calibration for argument in ("--calib", images)]
    begin, used = perf_counter(), _processor_seconds()
    made = runner.nibbleflow(
        "quantize",
        model.file,
        *calib,
        *model.options,
        "-o",
        folder,
        *case.options,
        "--recipe",
        case.recipe,
        "--force",
    )
    seconds, used = perf_counter() - begin, _processor_seconds() - used
    engine = "fake_quant" if "--weights-only" in case.options else "integer"
    found = runner.nibbleflow("evaluate", folder, *model.data, "--engines", f"float,{engine}")
    memory = runner.nibbleflow("report", folder)["memory"]
    first, second = model.figures
    return {
        "model": case.model,
        "bits": case.bits,
        "recipe": case.recipe,
        "calibration_images": made["settings"].get("calibration_images"),
        "images": found["images"],
        "engine": engine,
        "figure": first,
        "float_percent": found["float"][first],
        "percent": found[engine][first],
        "second_percent": found[engine][second],
        "lost_points": found["float"][first] - found[engine][first],
        "honest_ratio": memory["honest_ratio"],
        "quantize_seconds": round(seconds, 1),
        "quantize_cpu_seconds": round(used, 1),
    }


def _processor_seconds() -> float:
    """Return the processor time of all finished commands, on all cores together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
    "Recipes: 300 labelled COCO images, 300 photographs (MobileOne-S0), 500 shapes (demo)",
    (YOLOV5N, YOLOX_NANO, MOBILEONE, *_PHOTOGRAPHS, INSTANCES, IMAGES, OBJECTS, LABELS),
    run,
)

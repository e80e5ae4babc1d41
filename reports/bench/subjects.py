# SPDX-License-Identifier: Apache-2.0
"""Networks that recipes are measured on, and one measured row of them."""

from dataclasses import dataclass
from functools import partial
from time import perf_counter

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
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.record import Row
from reports.bench.runner import Runner

Arguments = tuple[str, ...]

# Folder of the last build, in the scratch folder.
BUILD = "build"
# What a result depends on.
SOURCES = (
    "quant/ptq",
    "quant/zoo",
    "quant/formats.py",
    "quant/weights.py",
    "quant/widths.py",
    "quant/weightsonly.py",
    "quant/memory.py",
    "sim/golden",
    "sim/host",
    "nibbleflow/verbs/quantize.py",
    "nibbleflow/verbs/evaluate.py",
    "nibbleflow/weightsonly.py",
)
# Images of the classifier's folder that calibrate; the others are compared.
OBJECT_IMAGES = 256


@dataclass(frozen=True)
class Subject:
    """One network.

    Attributes:
        name: In the table.
        calibration: Model and calibration options of ``quantize``.
        labels: Labelled images, as options of ``evaluate``.
        results: Images, as options of ``reports.bench.imagewise``.
        boxes: Whether it finds boxes.
    """

    name: str
    calibration: Arguments
    labels: Arguments
    results: Arguments
    boxes: bool = True

    @property
    def figures(self) -> tuple[str, str]:
        """What is compared, and a second figure beside it."""
        return ("map", "map50") if self.boxes else ("top1", "top5")


_PHOTOGRAPHS = ("--calib", CALIBRATION, "--calib", MORE_CALIBRATION)
_LABELLED = ("--data", INSTANCES, "--images", IMAGES)
DEMO = Subject("demo", ("demo",), (), ())
YOLOV5N_SUBJECT = Subject("YOLOv5n", (YOLOV5N, *_PHOTOGRAPHS), _LABELLED, _LABELLED)
YOLOX_SUBJECT = Subject("YOLOX-Nano", (YOLOX_NANO, *_PHOTOGRAPHS), _LABELLED, _LABELLED)
MOBILEONE_SUBJECT = Subject(
    "MobileOne-S0",
    (MOBILEONE, "--arch", "mobileone-s0", "--calib", OBJECTS, "--limit", str(OBJECT_IMAGES)),
    ("--labels", LABELS, "--images", PHOTOGRAPHS),
    ("--images", OBJECTS, "--skip", str(OBJECT_IMAGES)),
    boxes=False,
)


def recipe_row(
    runner: Runner,
    subject: Subject,
    options: Arguments,
    recipe: str,
    *,
    digest: str,
    images: int = 0,
) -> Row:
    """Quantize and evaluate a network; the build stays until the next one.

    Args:
        runner: Runs the commands.
        subject: The network.
        options: Options of ``quantize``: bits, scheme.
        recipe: A recipe's name or file.
        digest: State of what the float network's accuracy depends on: it is measured once.
        images: Most labelled images; 0 for all.
    """
    limit = ("--limit", str(images)) if images else ()
    folder = runner.folder / BUILD
    begin = perf_counter()
    made = runner.nibbleflow(
        "quantize",
        *subject.calibration,
        "-o",
        folder,
        *(*options, "--recipe", recipe, "--force"),
    )
    wall, spent = perf_counter() - begin, runner.spent
    engine = "fake_quant" if "--weights-only" in options else "integer"
    measure = partial(runner.nibbleflow, "evaluate", folder, *subject.labels, *limit, "--engines")
    exact = kept_row(
        runner,
        f"float-{subject.name}-{images}".lower(),
        digest,
        lambda: dict(measure("float")["float"]),
    )
    found = measure(engine)
    first, second = subject.figures
    wide = made.get("decoded_bits", [])
    return {
        "calibration_images": made["settings"].get("calibration_images"),
        "images": found["images"],
        "engine": engine,
        "figure": first,
        "float_percent": exact[first],
        "percent": found[engine][first],
        "second_percent": found[engine][second],
        "lost_points": exact[first] - found[engine][first],
        "mean_decoded_bits": sum(wide) / len(wide) if wide else None,
        "honest_ratio": made["memory"]["honest_ratio"],
        "quantize_seconds": round(wall, 1),
        "quantize_cpu_seconds": round(spent.ru_utime + spent.ru_stime, 1),
        "quantize_peak_mib": round(spent.ru_maxrss / 1024, 1),
    }


def state() -> str:
    """Return the digest of all sources that a row depends on."""
    return sources_digest(CHECKOUT, SOURCES)

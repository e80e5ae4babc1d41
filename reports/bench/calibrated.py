# SPDX-License-Identifier: Apache-2.0
"""What the calibration benchmark quantizes, on which images, and how long it trains."""

from dataclasses import dataclass

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
from reports.bench.runner import Runner

Arguments = tuple[str, ...]
Fields = dict[str, str | int | float | bool]

_PHOTOGRAPHS = ("--calib", CALIBRATION, "--calib", MORE_CALIBRATION)
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


_LABELLED = ("--data", INSTANCES, "--images", IMAGES)
DEMO = Subject("demo", ("demo",), (), ())
YOLOV5N_SUBJECT = Subject("YOLOv5n", (YOLOV5N, *_PHOTOGRAPHS), _LABELLED, _LABELLED)
YOLOX_SUBJECT = Subject("YOLOX-Nano", (YOLOX_NANO, *_PHOTOGRAPHS), _LABELLED, _LABELLED)
MOBILEONE_SUBJECT = Subject(
    "MobileOne-S0",
    (MOBILEONE, "--arch", "mobileone-s0", "--calib", OBJECTS, "--limit", str(OBJECT_IMAGES)),
    (),
    ("--images", OBJECTS, "--skip", str(OBJECT_IMAGES)),
    boxes=False,
)


@dataclass(frozen=True)
class Scope:
    """How much is measured.

    Attributes:
        detectors: Networks of the rows.
        recipes: Their recipes.
        bits: Their weight and activation bits.
        merged: Networks of merged branches: ablations of RepAPQ.
        merged_bits: Their weight and activation bits.
        detector: Network of TASKQ's ablations.
        images: Most labelled images of a run; 0 for all.
        steps: Steps per block.
        batch: Images of a step.
        block_images: Images of block stages.
        gptq_images: Images of layerwise stages.
        seeds: Of the ablations.
    """

    detectors: tuple[Subject, ...]
    recipes: tuple[str, ...]
    bits: tuple[tuple[int, int], ...]
    merged: tuple[Subject, ...]
    merged_bits: tuple[tuple[int, int], ...]
    detector: Subject
    images: int
    steps: int
    batch: int
    block_images: int
    gptq_images: int
    seeds: tuple[int, ...] = (1, 2, 3)

    def recipe(self, runner: Runner, name: str) -> str:
        """Return a recipe's name, or the file of the same stages at this scope's size."""
        stages: dict[str, tuple[tuple[str, Fields], ...]] = {
            "gptq": (("gptq", {}),),
            "repapq": (("gptq", {}), ("repapq", {})),
            "taskq": (("gptq", {}), ("taskq", {})),
        }
        if name not in stages:
            return name
        return self.file(runner, name, stages[name])

    def file(self, runner: Runner, label: str, stages: tuple[tuple[str, Fields], ...]) -> str:
        """Write a recipe's file at this scope's size and return its path as commands name it.

        Args:
            runner: Gives the scratch folder.
            label: Name of the file.
            stages: Kind and further fields of every stage.
        """
        text = []
        for kind, fields in stages:
            sized: Fields = {"kind": kind}
            if kind in ("repapq", "taskq"):
                sized |= {"steps": self.steps, "batch": self.batch, "images": self.block_images}
            else:
                sized |= {"images": self.gptq_images}
            lines = [f"{key} = {_toml(value)}" for key, value in (sized | fields).items()]
            text.append("\n".join(["[[stage]]", *lines, ""]))
        path = runner.folder / f"{label}.toml"
        runner.path(path).write_text("\n".join(text), encoding="utf-8")
        return str(path)


def _toml(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


FULL = Scope(
    detectors=(DEMO, YOLOV5N_SUBJECT, YOLOX_SUBJECT),
    recipes=("rtn", "gptq", "repapq", "taskq", "best"),
    bits=((8, 8), (6, 6), (4, 8), (4, 4)),
    merged=(MOBILEONE_SUBJECT, DEMO),
    merged_bits=((8, 8), (6, 6)),
    detector=YOLOV5N_SUBJECT,
    images=0,
    steps=300,
    batch=4,
    block_images=32,
    gptq_images=32,
)
SMALL = Scope(
    detectors=(DEMO,),
    recipes=("rtn", "gptq", "repapq", "taskq"),
    bits=((6, 6), (4, 4)),
    merged=(DEMO,),
    merged_bits=((6, 6),),
    detector=DEMO,
    images=200,
    steps=40,
    batch=4,
    block_images=16,
    gptq_images=12,
)

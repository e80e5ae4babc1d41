# SPDX-License-Identifier: Apache-2.0
"""What the calibration benchmark quantizes, on which images, and how long it trains."""

from dataclasses import dataclass

from reports.bench.runner import Runner
from reports.bench.subjects import (
    DEMO,
    MOBILEONE_SUBJECT,
    YOLOV5N_SUBJECT,
    YOLOX_SUBJECT,
    Subject,
)

Fields = dict[str, str | int | float | bool]
# Weight and activation bits.
Bits = tuple[int, int]
FOUR_BITS = 4


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
    bits: tuple[Bits, ...]
    merged: tuple[Subject, ...]
    merged_bits: tuple[Bits, ...]
    detector: Subject
    images: int
    steps: int
    batch: int
    block_images: int
    gptq_images: int
    seeds: tuple[int, ...] = (1, 2, 3)

    def codes(self, bits: Bits, recipe: str) -> tuple[str, ...]:
        """Return the options of ``quantize`` that choose the codes of weights and activations.

        With 4-bit activations the stem has 8 bits on both sides. TASKQ brings its own codes.
        """
        weights = ("--scheme", "e2m1-spare") if bits[0] == FOUR_BITS else ()
        if bits[1] != FOUR_BITS:
            return weights
        codes = () if recipe == "taskq" else ("--codebook", "always")
        return (*weights, "--stem-act-bits", "8", *codes)

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


def widths(bits: Bits) -> tuple[str, ...]:
    """Return the options of ``quantize`` that say so many bits."""
    return ("--weight-bits", str(bits[0]), "--act-bits", str(bits[1]))


def _toml(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


FULL = Scope(
    detectors=(YOLOV5N_SUBJECT, YOLOX_SUBJECT),
    recipes=("best", "rtn", "gptq", "repapq", "taskq"),
    bits=((4, 4), (4, 8), (8, 8), (6, 6)),
    merged=(MOBILEONE_SUBJECT, DEMO),
    merged_bits=((8, 8), (6, 6)),
    detector=YOLOV5N_SUBJECT,
    images=0,
    steps=100,
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

# SPDX-License-Identifier: Apache-2.0
"""The stages that reconstruct block by block: RepAPQ, and TASKQ for detectors.

The full texts of both papers were not at hand: of RepAPQ (arXiv 2402.16121) the digest and parts of
the code, of TASKQ (ICRA 2026) the abstract. Where they leave something open, what is written here
is this project's reconstruction and the definition that its figures are measured with.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from quant.ptq.recipes.ranges import one_of, within

Rounding = Literal["straight-through", "adaround", "frozen"]
Error = Literal["mae", "mse"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)
ERRORS: tuple[str, ...] = get_args(Error)


@dataclass(frozen=True)
class Blockwise:
    """What both stages have; only their subclasses are stages.

    Attributes:
        images: Calibration images that are read.
        steps: Steps of Adam per block; a time limit may lower it.
        batch: Images of a step.
        crop: Side of the parts that a step reads, as a share of the tensors; 1 keeps them whole.
        rounding: How weights round: ``straight-through`` (they move, gradients pass the rounding),
            ``adaround`` (each is drawn up or down), ``frozen`` (as the stage before left them).
        error: ``mae`` (mean absolute error, as RepAPQ has it) or ``mse``.
        stage_term: Whether the output of the block's stage counts too, with a weight that grows
            with the block's place in it; else the block's own output alone.
        qprep: Whether a layer gets a gain (kept positive) and an offset per channel, which go into
            its requantizer and its bias.
        float_inputs: Share of a block's inputs taken from the float network instead of the rounded
            one, element by element, as QDrop mixes them.
        weight_rate: Learning rate of weights, as a share of half their levels' span; with
            ``adaround`` that of the choices' logits, times 30.
        scale_rate: Learning rate of weight scales (their logarithms).
        affine_rate: Learning rate of gains, and of offsets in units of the layer's outputs.
        range_rate: Learning rate of activation scales (their logarithms).
        pull: With ``adaround``, weight of the term that drives every choice to up or down, beside
            the first error; of less, choices stay half open and are cut at the end.
        seed: Of order, parts and mixing.
        enabled: Whether the stage runs.
    """

    images: int = 32
    steps: int = 300
    batch: int = 4
    crop: float = 0.5
    rounding: Rounding = "straight-through"
    error: Error = "mae"
    stage_term: bool = True
    qprep: bool = True
    float_inputs: float = 0.0
    weight_rate: float = 3e-3
    scale_rate: float = 3e-3
    affine_rate: float = 3e-3
    range_rate: float = 3e-3
    pull: float = 1000.0
    seed: int = 1
    enabled: bool = True

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Check the fields."""
        within(self.kind, "images", self.images, 1, 100_000)
        within(self.kind, "steps", self.steps, 1, 1_000_000)
        within(self.kind, "batch", self.batch, 1, 256)
        within(self.kind, "crop", self.crop, 0.05, 1.0)
        one_of(self.kind, "rounding", self.rounding, ROUNDINGS)
        one_of(self.kind, "error", self.error, ERRORS)
        within(self.kind, "float_inputs", self.float_inputs, 0.0, 1.0)
        for name in ("weight_rate", "scale_rate", "affine_rate", "range_rate"):
            within(self.kind, name, getattr(self, name), 0.0, 1.0)
        within(self.kind, "pull", self.pull, 0.0, 1_000_000.0)
        within(self.kind, "seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True)
class RepApq(Blockwise):
    """Reconstruct block after block, as RepAPQ does networks of merged branches.

    Source: RepAPQ, arXiv 2402.16121: QPRep (the affine layer) and across-block calibration with
    the mean absolute error.
    """

    kind: ClassVar[str] = "repapq"


@dataclass(frozen=True)
class TaskQ(Blockwise):
    """Reconstruct block after block, neck and head by what the detector makes of them.

    Source: TASKQ, Task-Aware and Structure-Knowledge-Guided Quantization, ICRA 2026 (abstract):
    sparse quantization of activations, detection-aware loss (DTR), units by scale and task (STAHQ).

    Attributes:
        sparse: Whether activations may take two-region codes, each tensor where its error is
            smaller than that of even steps.
        dtr: Whether neck and head also answer for the boxes: complete IoU with those that the float
            network is confident of, class and objectness terms.
        balance: Weight of those terms: the size of their gradient beside the reconstruction's,
            both measured at the unit's output before it is trained.
        confidence: Score from which a box of the float network counts.
        stahq: Whether the head is taken apart by scale and task, each unit with its own loss, and
            each task's output rows with their own format; else a scale is one unit and a tensor
            has one format.
    """

    sparse: bool = True
    dtr: bool = True
    balance: float = 1.0
    confidence: float = 0.3
    stahq: bool = True

    kind: ClassVar[str] = "taskq"

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        within(self.kind, "balance", self.balance, 0.0, 1000.0)
        within(self.kind, "confidence", self.confidence, 0.01, 0.99)

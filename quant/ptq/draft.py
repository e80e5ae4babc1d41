# SPDX-License-Identifier: Apache-2.0
"""Float operations before fusion: float64 weights, batch normalisation still apart."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatInput,
    FloatMaxPool,
    FloatMultiply,
    FloatOnlyOp,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
    Padding,
    Pair,
)

Float64 = npt.NDArray[np.float64]
Shape = tuple[int, int, int]

BUILT = "nibbleflow builds conv, pool, add, concat, split, upsample, lookup"
END_BEFORE = "end the graph before it with --outputs"


@dataclass(frozen=True, eq=False)
class DraftConv:
    """Convolution whose weights are still float64.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        weight: float64 [F, C/groups, KH, KW].
        bias: float64 [F].
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right).
        groups: Channel groups.
    """

    name: str
    source: str
    weight: Float64
    bias: Float64
    stride: Pair
    padding: Padding
    groups: int


@dataclass(frozen=True, eq=False)
class DraftLinear:
    """Fully connected layer whose weights are still float64.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        weight: float64 [F, inputs].
        bias: float64 [F].
    """

    name: str
    source: str
    weight: Float64
    bias: Float64


@dataclass(frozen=True, eq=False)
class DraftNorm:
    """Batch normalisation with fixed statistics: ``y = gain * x + offset`` per channel.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        gain: float64 [C].
        offset: float64 [C].
    """

    name: str
    source: str
    gain: Float64
    offset: Float64


@dataclass(frozen=True)
class DraftPhase:
    """Every ``step``-th pixel both ways, ``y = x[:, :, row::step, column::step]``.

    Four of them side by side are YOLOv5's and YOLOX's Focus; the convolution behind absorbs them.

    Attributes:
        name: Tensor name.
        source: Tensor read; its sides are multiples of ``step``.
        step: Pixels between two samples, >= 2.
        row: First row.
        column: First column.
        channels: Channels of the tensor.
    """

    name: str
    source: str
    step: int
    row: int
    column: int
    channels: int


Draft = (
    FloatInput
    | DraftConv
    | DraftLinear
    | DraftNorm
    | DraftPhase
    | FloatActivation
    | FloatMaxPool
    | FloatAvgPool
    | FloatAdd
    | FloatConcat
    | FloatSplit
    | FloatUpsample
    | FloatOnlyOp
)


@dataclass(frozen=True)
class Unsupported:
    """Something that the integer graph has no meaning for.

    Attributes:
        name: Operation.
        kind: What it is.
        reason: Rest of the sentence that begins with the name.
        way_out: What the user can do.
    """

    name: str
    kind: str
    reason: str
    way_out: str

    @property
    def message(self) -> str:
        """One line for the user."""
        return f"'{self.name}' {self.reason}; {self.way_out}"


@dataclass(frozen=True)
class Blocked:
    """A recorded call that could not be translated.

    Attributes:
        problem: Why.
        sources: Tensors read.
        parameterised: Whether trained parameters enter.
        steers: Whether it turns tensor values into Python numbers.
        float_op: What it computes, where the float network can run it all the same.
    """

    problem: Unsupported
    sources: tuple[str, ...]
    parameterised: bool
    steers: bool = False
    float_op: FloatOnlyOp | None = None

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.problem.name


Step = Draft | Blocked


class RefusedError(Exception):
    """Internal: a call has an attribute that is not honoured; the translator names the call."""

    def __init__(
        self, reason: str, way_out: str = END_BEFORE, float_op: FloatOnlyOp | None = None
    ) -> None:
        """Keep the sentence's rest, the way out, and what the call means in float."""
        super().__init__(reason)
        self.reason = reason
        self.way_out = way_out
        self.float_op = float_op


def step_sources(step: Step) -> tuple[str, ...]:
    """Return the names of the tensors that ``step`` reads, in order."""
    match step:
        case FloatInput():
            return ()
        case FloatAdd() | FloatConcat() | FloatMultiply() | Blocked():
            return step.sources
        case (
            DraftConv()
            | DraftLinear()
            | DraftNorm()
            | DraftPhase()
            | FloatActivation()
            | FloatMaxPool()
            | FloatAvgPool()
            | FloatSplit()
            | FloatUpsample()
            | FloatShuffle()
        ):
            return (step.source,)
        case _:
            assert_never(step)

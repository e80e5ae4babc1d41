# SPDX-License-Identifier: Apache-2.0
"""FloatGraph: the closed set of float operations that an imported network is made of.

Plain data in numpy, stored beside the bundle (``BUILD/float``) and read without torch.
Batch normalisation and RepConv branches are already fused. Every operation makes one tensor, named
like the operation; shapes are (C, H, W) of one frame.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

ActivationKind = Literal[
    "relu", "relu6", "leaky_relu", "silu", "hardswish", "hardsigmoid", "sigmoid"
]
Padding = tuple[int, int, int, int]
Pair = tuple[int, int]


@dataclass(frozen=True)
class FloatInput:
    """The normalised image.

    Attributes:
        name: Tensor name.
        shape: (C, H, W).
    """

    name: str
    shape: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class FloatConv:
    """Convolution with fused batch normalisation.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        weight: float32 [F, C/groups, KH, KW].
        bias: float32 [F].
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right), zeros.
        groups: Channel groups.
    """

    name: str
    source: str
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    stride: Pair
    padding: Padding
    groups: int


@dataclass(frozen=True, eq=False)
class FloatLinear:
    """Fully connected layer over the flattened tensor (channel-major).

    Attributes:
        name: Tensor name.
        source: Tensor read.
        weight: float32 [F, C*H*W].
        bias: float32 [F].
    """

    name: str
    source: str
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


@dataclass(frozen=True)
class FloatActivation:
    """Pointwise activation.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        kind: Function.
        slope: Negative slope of ``leaky_relu``; 0 otherwise.
    """

    name: str
    source: str
    kind: ActivationKind
    slope: float = 0.0


@dataclass(frozen=True)
class FloatMaxPool:
    """Maximum over a window.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        kernel: (KH, KW).
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right), never wins.
    """

    name: str
    source: str
    kernel: Pair
    stride: Pair
    padding: Padding


@dataclass(frozen=True)
class FloatAvgPool:
    """Mean over a window, no padding.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        kernel: (KH, KW); the whole plane for a global pool.
        stride: (vertical, horizontal).
    """

    name: str
    source: str
    kernel: Pair
    stride: Pair


@dataclass(frozen=True)
class FloatAdd:
    """Sum of two tensors of equal shape.

    Attributes:
        name: Tensor name.
        sources: The two tensors read.
    """

    name: str
    sources: tuple[str, str]


@dataclass(frozen=True)
class FloatConcat:
    """Concatenation along channels.

    Attributes:
        name: Tensor name.
        sources: Tensors read, in order.
    """

    name: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class FloatSplit:
    """Channels ``begin`` to ``end`` (exclusive).

    Attributes:
        name: Tensor name.
        source: Tensor read.
        begin: First channel.
        end: Channel after the last.
    """

    name: str
    source: str
    begin: int
    end: int


@dataclass(frozen=True)
class FloatUpsample:
    """Nearest-neighbour upsampling by an integer factor.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        factor: Repetition both ways, >= 2.
    """

    name: str
    source: str
    factor: int


@dataclass(frozen=True)
class FloatMultiply:
    """Product of two tensors, as in squeeze-and-excitation; it runs in float only.

    Attributes:
        name: Tensor name.
        sources: The two tensors read, of equal shape, or one of them (C, 1, 1).
    """

    name: str
    sources: tuple[str, str]


@dataclass(frozen=True)
class FloatShuffle:
    """Channels of several groups interleaved, as in ShuffleNet; it runs in float only.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        groups: Channel ``i`` of group ``g`` becomes channel ``i * groups + g``; >= 2.
    """

    name: str
    source: str
    groups: int


FloatOnlyOp = FloatMultiply | FloatShuffle
"""Operations that the integer graph has no meaning for."""

FloatOp = (
    FloatInput
    | FloatConv
    | FloatLinear
    | FloatActivation
    | FloatMaxPool
    | FloatAvgPool
    | FloatAdd
    | FloatConcat
    | FloatSplit
    | FloatUpsample
    | FloatOnlyOp
)


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """A float network in topological order, cut at the outputs of the integer region.

    Attributes:
        name: Name of the network.
        ops: Operations, every source before its reader; one ``FloatInput`` first.
        outputs: Names of the tensors that leave, in port order.
        shapes: (C, H, W) of every tensor.
        source_parameters: Parameters of the model as published (before any fusion).
    """

    name: str
    ops: tuple[FloatOp, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, tuple[int, int, int]]
    source_parameters: int

    @property
    def input(self) -> FloatInput:
        """The input operation."""
        first = self.ops[0]
        if not isinstance(first, FloatInput):
            raise TypeError(f"float graph '{self.name}' does not begin with its input")
        return first


def float_macs_of(graph: FloatGraph, op: FloatOp) -> int:
    """Return the multiply-accumulates of one operation for one frame (0 without weights)."""
    if isinstance(op, FloatConv):
        _, height, width = graph.shapes[op.name]
        return int(op.weight.size) * height * width
    return int(op.weight.size) if isinstance(op, FloatLinear) else 0


def float_sources_of(op: FloatOp) -> tuple[str, ...]:
    """Return the names of the tensors that ``op`` reads, in order."""
    match op:
        case FloatInput():
            return ()
        case FloatAdd() | FloatConcat() | FloatMultiply():
            return op.sources
        case (
            FloatConv()
            | FloatLinear()
            | FloatActivation()
            | FloatMaxPool()
            | FloatAvgPool()
            | FloatSplit()
            | FloatUpsample()
            | FloatShuffle()
        ):
            return (op.source,)
        case _:
            assert_never(op)

# SPDX-License-Identifier: Apache-2.0
"""The closed union of node kinds of a QGraph.

Every node makes exactly one tensor, named like the node; ``source`` and ``sources`` name the
tensors it reads. Readers ``match`` on the union and end with ``assert_never``.
"""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from quant.errors import GraphError
from quant.formats import TensorFormat, frozen_array
from quant.weights import Weights

MULTIPLIER_LOW = 1 << 16
MULTIPLIER_HIGH = 1 << 17
MAX_SHIFT = 47


@dataclass(frozen=True, eq=False)
class Requantizer:
    """``y = clip(((acc*m + (1 << (s-1))) >> s) + zero_point, low, high)``, per filter.

    Attributes:
        multiplier: uint32 [F]; in [2**16, 2**17), or 0 (then shift is 1).
        shift: uint8 [F], 1..47.
        zero_point: int32 [F]; the same value in every entry unless the output has row ranges.
        low: Smallest code after clipping.
        high: Largest code after clipping.
        bits: Bits of the result code (the pre-activation bits P when a table follows), 1..16.
    """

    multiplier: npt.NDArray[np.uint32]
    shift: npt.NDArray[np.uint8]
    zero_point: npt.NDArray[np.int32]
    low: int
    high: int
    bits: int

    def __post_init__(self) -> None:
        """Freeze the arrays and check ranges.

        Raises:
            GraphError: A field is outside the arithmetic contract.
        """
        object.__setattr__(self, "multiplier", frozen_array(self.multiplier, np.uint32))
        object.__setattr__(self, "shift", frozen_array(self.shift, np.uint8))
        object.__setattr__(self, "zero_point", frozen_array(self.zero_point, np.int32))
        m, s = self.multiplier, self.shift
        if m.ndim != 1 or not m.size or m.shape != s.shape or m.shape != self.zero_point.shape:
            raise GraphError(
                f"requantizer arrays have shapes {m.shape}, {s.shape}, {self.zero_point.shape}; "
                "one entry per filter each"
            )
        normal = (m >= MULTIPLIER_LOW) & (m < MULTIPLIER_HIGH)
        if not bool(np.all(normal | ((m == 0) & (s == 1)))):
            bad = int(m[~(normal | ((m == 0) & (s == 1)))][0])
            raise GraphError(
                f"requantize multiplier {bad} must be 0 with shift 1 or in "
                f"[{MULTIPLIER_LOW}, {MULTIPLIER_HIGH})"
            )
        if int(s.min()) < 1 or int(s.max()) > MAX_SHIFT:
            raise GraphError(f"requantize shift {s.min()}..{s.max()} must be in [1, {MAX_SHIFT}]")
        if not 1 <= self.bits <= 16:
            raise GraphError(f"requantized codes have {self.bits} bits; limit 1..16")
        if not 0 <= self.low <= self.high < 1 << self.bits:
            raise GraphError(
                f"requantizer clips to {self.low}..{self.high}, outside {self.bits}-bit codes"
            )
        if int(self.zero_point.min()) < 0 or int(self.zero_point.max()) >= 1 << self.bits:
            raise GraphError(
                f"requantizer zero point {self.zero_point.min()}..{self.zero_point.max()} is "
                f"outside {self.bits}-bit codes"
            )


@dataclass(frozen=True)
class Input:
    """The image as codes; always 8 bits.

    Attributes:
        name: Tensor name.
        shape: (C, H, W).
        output: Format of the codes that the host makes.
    """

    name: str
    shape: tuple[int, int, int]
    output: TensorFormat


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution of every form (grouped, depthwise, 1x1), requantize, optional activation table.

    ``acc[f] = bias[f] + sum(a * w_int)``; pads carry the zero code of the source.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        weights: Stored weights, OIHW with I = C/groups.
        bias: int64 [F] within 32 bits signed, ``-zero_point * sum(w_int)`` already inside.
        stride: (vertical, horizontal), >= 1.
        padding: (top, left, bottom, right), >= 0.
        groups: Number of channel groups; F and C are multiples of it.
        requant: Accumulator to output code (or to pre-activation code when ``table`` is there).
        table: uint16 [2**requant.bits] of output codes, or ``None`` when the activation is linear
            or a clip.
        output: Format of the output codes.
    """

    name: str
    source: str
    weights: Weights
    bias: npt.NDArray[np.int64]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    groups: int
    requant: Requantizer
    table: npt.NDArray[np.uint16] | None
    output: TensorFormat

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        object.__setattr__(self, "bias", frozen_array(self.bias, np.int64))
        if self.table is not None:
            object.__setattr__(self, "table", frozen_array(self.table, np.uint16))


@dataclass(frozen=True, eq=False)
class Linear:
    """Fully connected layer over a flattened (C, H, W) tensor, channel-major like torch.

    Attributes:
        name: Tensor name; the result has shape (F, 1, 1).
        source: Tensor read.
        weights: Stored weights [F, C*H*W, 1, 1].
        bias: int64 [F] within 32 bits signed, zero point term inside.
        requant: Accumulator to output code.
        table: uint16 [2**requant.bits] of output codes, or ``None``.
        output: Format of the output codes.
    """

    name: str
    source: str
    weights: Weights
    bias: npt.NDArray[np.int64]
    requant: Requantizer
    table: npt.NDArray[np.uint16] | None
    output: TensorFormat

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        object.__setattr__(self, "bias", frozen_array(self.bias, np.int64))
        if self.table is not None:
            object.__setattr__(self, "table", frozen_array(self.table, np.uint16))


@dataclass(frozen=True)
class MaxPool:
    """Maximum of codes over a window; padding never wins. Format as the source.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        kernel: (KH, KW).
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right), each less than the kernel.
    """

    name: str
    source: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class AvgPool:
    """Mean over a window without padding: ``acc = sum(a) - n*zero_point`` then requantize.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        kernel: (KH, KW); the whole plane for a global pool.
        stride: (vertical, horizontal).
        requant: One entry (the 1/n is inside the multiplier).
        output: Format of the output codes.
    """

    name: str
    source: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    requant: Requantizer
    output: TensorFormat


@dataclass(frozen=True)
class Add:
    """``clip((((a1-z1)*m1 + (a2-z2)*m2 + (1 << (s-1))) >> s) + zy, low, high)``.

    Attributes:
        name: Tensor name.
        sources: The two tensors read.
        multipliers: (m1, m2), unsigned 17 bits, the larger one normalised to [2**16, 2**17).
        shift: s, 1..47.
        low: Smallest code after clipping.
        high: Largest code after clipping.
        output: Format of the output codes (no codebook).
    """

    name: str
    sources: tuple[str, str]
    multipliers: tuple[int, int]
    shift: int
    low: int
    high: int
    output: TensorFormat


@dataclass(frozen=True)
class Concat:
    """Channels of all sources one after the other; all formats are equal.

    Attributes:
        name: Tensor name.
        sources: Tensors read, in channel order.
    """

    name: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Channels ``begin`` to ``end`` (exclusive) of the source; one node per slice.

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
class Upsample:
    """Nearest neighbour: every pixel repeated ``factor`` times both ways.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        factor: Repetition, >= 2.
    """

    name: str
    source: str
    factor: int


@dataclass(frozen=True, eq=False)
class Requantize:
    """``acc = a - zero_point_x`` through a requantizer: changes the format of a tensor.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        requant: One entry.
        output: Format of the output codes.
    """

    name: str
    source: str
    requant: Requantizer
    output: TensorFormat


@dataclass(frozen=True, eq=False)
class Lookup:
    """``y = table[q]``: a non-linear activation where no convolution precedes.

    Attributes:
        name: Tensor name.
        source: Tensor read.
        table: uint16 [2**A] of output codes, A the bits of the source.
        output: Format of the output codes.
    """

    name: str
    source: str
    table: npt.NDArray[np.uint16]
    output: TensorFormat

    def __post_init__(self) -> None:
        """Freeze the table."""
        object.__setattr__(self, "table", frozen_array(self.table, np.uint16))


@dataclass(frozen=True)
class Output:
    """Marks a tensor that leaves the graph; order of the nodes is order of the ports.

    Attributes:
        name: Name of the port's tensor.
        source: Tensor that leaves.
    """

    name: str
    source: str


Node = (
    Input
    | Conv
    | Linear
    | MaxPool
    | AvgPool
    | Add
    | Concat
    | Split
    | Upsample
    | Requantize
    | Lookup
    | Output
)


def sources_of(node: Node) -> tuple[str, ...]:
    """Return the names of the tensors that ``node`` reads, in port order."""
    match node:
        case Input():
            return ()
        case Add() | Concat():
            return node.sources
        case (
            Conv()
            | Linear()
            | MaxPool()
            | AvgPool()
            | Split()
            | Upsample()
            | Requantize()
            | Lookup()
            | Output()
        ):
            return (node.source,)
        case _:
            assert_never(node)

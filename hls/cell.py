# SPDX-License-Identifier: Apache-2.0
"""Parameters of the HLS convolution cell for one node: what the C++ configuration struct holds."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hls.streams import Shape
from quant.errors import PlanError
from quant.formats import TensorFormat
from quant.nodes import Conv, Linear
from quant.schedule import Folding
from quant.weights import Granularity
from quant.widths import accumulator_bits

_GRANULARITY = {
    Granularity.LAYER: Granularity.LAYER,
    Granularity.FILTER: Granularity.FILTER,
    Granularity.C_SHAPE: Granularity.FILTER,
    Granularity.CHANNEL: Granularity.F_SHAPE,
    Granularity.F_SHAPE: Granularity.F_SHAPE,
}


@dataclass(frozen=True, eq=False)
class ConvCell:
    """One convolution folded for the streaming cell ``nf::conv``.

    Attributes:
        node: The convolution.
        source: Format of its input.
        in_shape: (C, H, W) of the input.
        out_shape: (F, OH, OW) of the output.
        pe: Filters computed in parallel; an output beat carries as many codes.
        simd: Channels of one lane read in parallel; 1 for depthwise.
    """

    node: Conv
    source: TensorFormat
    in_shape: Shape
    out_shape: Shape
    pe: int
    simd: int

    @property
    def depthwise(self) -> bool:
        """Whether every filter reads its own channel."""
        return is_depthwise(self.node)

    @property
    def lanes(self) -> int:
        """Codes in one input beat."""
        return self.pe if self.depthwise else self.simd

    @property
    def folds(self) -> int:
        """Filter folds: passes over a window."""
        return self.node.weights.shape[0] // self.pe

    @property
    def window_words(self) -> int:
        """Ring words in the window of one filter fold."""
        _, c, kh, kw = self.node.weights.shape
        return kh * kw * c // self.simd

    @property
    def in_beats(self) -> int:
        """Beats of one input frame."""
        c, h, w = self.in_shape
        return c * h * w // self.lanes

    @property
    def out_beats(self) -> int:
        """Beats of one output frame."""
        f, h, w = self.out_shape
        return f * h * w // self.pe

    @property
    def interval_cycles(self) -> int:
        """Iterations per frame at II = 1 without fill and drain: the slower of reading and loading.

        Estimated: no vendor tool has scheduled the loop.
        """
        _, h, w = self.out_shape
        return max(h * w * self.folds * self.window_words, self.in_beats)

    @property
    def groups_by(self) -> tuple[int, int, int]:
        """Whether weight parameters differ by filter, by kernel position, by channel (1 or 0)."""
        weights = self.node.weights
        if not weights.multiplier_bits and len(np.unique(weights.selectors)) == 1:
            return 0, 0, 0
        f, c, kh, kw = weights.selectors.shape
        return int(f > 1), int(kh * kw > 1), int(c > 1)

    def group_memory(self, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return group parameters as the kernel reads them, uint8 [rows, lanes].

        A row belongs to a filter fold, a kernel position and a channel word, as far as parameters
        differ by them; a lane to a filter of the fold or a channel of the word.

        Args:
            values: Selectors or multipliers of the node's weights.
        """
        by_filter, by_position, by_channel = self.groups_by
        _, _, kh, kw = self.node.weights.shape
        if not (by_filter or by_position or by_channel):
            return values.reshape(-1)[:1].reshape(1, 1)
        positions = kh * kw if by_position else 1
        if by_filter:
            folded = values.reshape(self.folds, self.pe, positions)
            return folded.transpose(0, 2, 1).reshape(-1, self.pe)
        # [channel, position] -> [position, channel word, lane]
        return values.reshape(-1, positions).T.reshape(-1, self.simd if by_channel else 1)

    @property
    def chunk_bits(self) -> int:
        """Bits of the integers that a weight word is cut into: least padding, then widest."""
        bits = self.pe * self.simd * self.node.weights.bits
        return min((8, 16, 32, 64), key=lambda b: (-(-bits // b) * b, -b))


def is_depthwise(node: Conv) -> bool:
    """Return whether every filter of ``node`` reads exactly its own channel."""
    filters, channels, _, _ = node.weights.shape
    return channels == 1 and node.groups == filters and node.groups > 1


def as_conv(node: Linear, in_shape: Shape) -> Conv:
    """Return a linear layer as the convolution whose kernel is the whole plane.

    Args:
        node: A linear layer of a valid graph.
        in_shape: (C, H, W) of its input.
    """
    weights, shape = node.weights, (node.weights.shape[0], *in_shape)
    # A linear layer has no kernel positions: its channels are channels at positions.
    granularity = _GRANULARITY[weights.granularity]
    groups = granularity.group_shape(shape)
    unfolded = replace(
        weights,
        codes=weights.codes.reshape(shape),
        selectors=weights.selectors.reshape(groups),
        multipliers=weights.multipliers.reshape(groups),
        granularity=granularity,
    )
    return Conv(
        node.name,
        node.source,
        unfolded,
        node.bias,
        (1, 1),
        (0, 0, 0, 0),
        1,
        node.requant,
        node.table,
        node.output,
    )


def fold_conv(node: Conv, source: TensorFormat, in_shape: Shape, folding: Folding) -> ConvCell:
    """Return the cell of ``node`` at ``folding``.

    Args:
        node: A convolution of a valid graph.
        source: Format of its input.
        in_shape: (C, H, W) of its input.
        folding: Parallelism; one pixel per beat.

    Raises:
        PlanError: The folding does not divide the layer, or the layer needs something that this
            cell does not build (several pixels per beat, packed cores).
    """
    if folding.pixels_per_beat != 1:
        raise PlanError(
            f"'{node.name}' is scheduled with {folding.pixels_per_beat} pixels per beat; the HLS "
            "cell builds 1; use a folding with pixels_per_beat=1 for --hls"
        )
    if folding.core not in ("plain_lut", "plain_dsp"):
        raise PlanError(
            f"'{node.name}' is scheduled on core {folding.core}; the HLS cell builds plain_lut and "
            "plain_dsp; use one of these for --hls"
        )
    filters, channels, kh, kw = node.weights.shape
    if is_depthwise(node):
        _check_divides(node.name, "filters", filters, "PE", folding.pe)
        if folding.simd != 1:
            raise PlanError(f"'{node.name}' is depthwise with SIMD={folding.simd}; limit 1; set 1")
    else:
        in_group = " in a group" if node.groups > 1 else ""
        _check_divides(node.name, f"filters{in_group}", filters // node.groups, "PE", folding.pe)
        _check_divides(node.name, f"channels{in_group}", channels, "SIMD", folding.simd)
    top, left, bottom, right = node.padding
    rows = (in_shape[1] + top + bottom - kh) // node.stride[0] + 1
    columns = (in_shape[2] + left + right - kw) // node.stride[1] + 1
    return ConvCell(node, source, in_shape, (filters, rows, columns), folding.pe, folding.simd)


def constants_of(cell: ConvCell) -> dict[str, int]:
    """Return the constants of the C++ configuration struct, by member name."""
    node, requant = cell.node, cell.node.requant
    return {
        "in_height": cell.in_shape[1],
        "in_width": cell.in_shape[2],
        "in_channels": cell.in_shape[0],
        "out_height": cell.out_shape[1],
        "out_width": cell.out_shape[2],
        "filters": cell.out_shape[0],
        "groups": node.groups,
        "kernel_h": node.weights.shape[2],
        "kernel_w": node.weights.shape[3],
        "stride_h": node.stride[0],
        "stride_w": node.stride[1],
        "pad_top": node.padding[0],
        "pad_left": node.padding[1],
        "pe": cell.pe,
        "simd": cell.simd,
        "pixels_per_beat": 1,
        "in_bits": cell.source.bits,
        "decoded_bits": cell.source.decoded_bits,
        "has_codebook": int(cell.source.codebook is not None),
        "zero_code": cell.source.zero_code,
        "weight_bits": node.weights.bits,
        "tables": node.weights.tables.shape[0],
        "entry_bits": node.weights.table_bits,
        "factor_bits": node.weights.multiplier_bits,
        "by_filter": cell.groups_by[0],
        "by_position": cell.groups_by[1],
        "by_channel": cell.groups_by[2],
        "chunk_bits": cell.chunk_bits,
        "acc_bits": accumulator_bits(node, cell.source),
        "requant_bits": requant.bits,
        "low": requant.low,
        "high": requant.high,
        "has_table": int(node.table is not None),
        "out_bits": node.output.bits,
    }


def divisors_near(size: int, value: int) -> str:
    """Return in words the divisors of ``size`` next to ``value``."""
    every = [d for d in range(1, size + 1) if size % d == 0]
    near = [d for d in every if d < value][-1:] + [d for d in every if d > value][:1]
    return ", ".join(map(str, near))


def _check_divides(name: str, what: str, size: int, factor: str, value: int) -> None:
    if size % value:
        raise PlanError(
            f"'{name}' has {size} {what}, not a multiple of {factor}={value}; "
            f"divisors near {value}: {divisors_near(size, value)}"
        )

# SPDX-License-Identifier: Apache-2.0
"""Geometry of one folded convolution: every size that the cell, its memories and the plan share."""

from dataclasses import dataclass

from hw.divisors import divisors_near
from hw.groups import FactorPlace, factor_place
from quant.errors import PlanError
from quant.graph import conv_output_size
from quant.nodes import Conv
from quant.schedule import Core, Folding

PLAIN_CORES: tuple[Core, ...] = ("plain_lut", "plain_dsp")

# Cycles from the last tap of a fold to its output beat besides the adder tree, the requantizer's
# steps and the table: operand and product registers, accumulator, requantizer, output queue.
FIXED_LATENCY = 11
# And of group multipliers: factor, product, sum of partial sums; or product of an activation.
FACTOR_LATENCY: dict[FactorPlace, int] = {"none": 0, "parts": 3, "acts": 1}


@dataclass(frozen=True)
class ConvGeometry:
    """Sizes of a convolution cell.

    Attributes:
        channels: Input channels C.
        height: Input rows H.
        width: Input columns W.
        filters: Output channels F.
        groups: Channel groups.
        kernel: (KH, KW).
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right).
        pe: Filters in parallel; channels of an output beat.
        simd: Channels in parallel within a filter.
        depthwise: Whether every PE lane reads its own channel.
        use_dsp: Whether the multipliers go into DSP blocks.
        has_table: Whether an activation table follows the requantizer.
        factors: What group multipliers scale.
    """

    channels: int
    height: int
    width: int
    filters: int
    groups: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    pe: int
    simd: int
    depthwise: bool
    use_dsp: bool
    has_table: bool
    factors: FactorPlace

    @property
    def in_lanes(self) -> int:
        """Channels of an input beat."""
        return self.pe if self.depthwise else self.simd

    @property
    def channel_folds(self) -> int:
        """Input beats of one pixel."""
        return self.channels // self.in_lanes

    @property
    def output_folds(self) -> int:
        """Output beats of one pixel."""
        return self.filters // self.pe

    @property
    def fold_taps(self) -> int:
        """Cycles that one output beat takes: kernel positions times channel folds of its group."""
        folds = 1 if self.depthwise else self.channels // self.groups // self.simd
        return self.kernel[0] * self.kernel[1] * folds

    @property
    def pixel_cycles(self) -> int:
        """Cycles that one output pixel takes."""
        return self.output_folds * self.fold_taps

    @property
    def out_height(self) -> int:
        """Output rows."""
        top, _, bottom, _ = self.padding
        return conv_output_size(self.height, top + bottom, self.kernel[0], self.stride[0])

    @property
    def out_width(self) -> int:
        """Output columns."""
        _, left, _, right = self.padding
        return conv_output_size(self.width, left + right, self.kernel[1], self.stride[1])

    @property
    def input_beats(self) -> int:
        """Input beats of one frame."""
        return self.height * self.width * self.channel_folds

    @property
    def output_beats(self) -> int:
        """Output beats of one frame."""
        return self.out_height * self.out_width * self.output_folds

    @property
    def compute_cycles(self) -> int:
        """Cycles of multiply-accumulates of one frame."""
        return self.out_height * self.out_width * self.pixel_cycles

    @property
    def span_pixels(self) -> int:
        """Smallest line buffer: the pixels from the first to the last of one window.

        With more kernel rows than picture rows the upper windows of two lines begin in the same
        row, so that the whole picture is needed at once.
        """
        if self.kernel[0] > self.height:
            return self.height * self.width
        return (self.kernel[0] - 1) * self.width + min(self.kernel[1], self.width)

    @property
    def buffer_pixels(self) -> int:
        """Pixels of the line buffer.

        Beyond the span of a window: the rows that a vertical stride frees only at the end of a
        line, and the columns that the next window needs while this one is computed. With less,
        windows of 3x3, stride 2, wait; with more, the interval no longer falls.
        """
        rows_ahead = (min(self.kernel[0], self.stride[0]) - 1) * self.width
        return self.span_pixels + rows_ahead + self.stride[1]

    @property
    def requant_lanes(self) -> int:
        """Requantizers: the fewest that keep up with one output beat per ``fold_taps`` cycles."""
        return next(
            lanes
            for lanes in range(1, self.pe + 1)
            if self.pe % lanes == 0 and self.pe // lanes <= self.fold_taps
        )

    @property
    def latency(self) -> int:
        """Cycles from the last tap of a fold to its output beat."""
        tree = (self.simd - 1).bit_length()
        steps = self.pe // self.requant_lanes + int(self.has_table)
        return FIXED_LATENCY + tree + steps + FACTOR_LATENCY[self.factors]

    @property
    def queue_beats(self) -> int:
        """Places of the output queue, counted by credits: the beats under way and one more."""
        return 1 + -(-self.latency // self.fold_taps)


def conv_geometry(node: Conv, in_shape: tuple[int, int, int], folding: Folding) -> ConvGeometry:
    """Return the sizes of ``node`` folded by ``folding``.

    Args:
        node: The convolution.
        in_shape: (C, H, W) of its source.
        folding: PE and SIMD; PE divides the filters of a group and SIMD its channels; for
            depthwise layers PE divides the channels and SIMD is 1.

    Returns:
        The geometry.

    Raises:
        PlanError: The folding does not fit, or asks for what the cell does not have.
    """
    channels, height, width = in_shape
    filters, group_channels, kh, kw = node.weights.shape
    name = node.name
    depthwise = group_channels == 1 and filters == channels and node.groups > 1
    if folding.core not in PLAIN_CORES:
        raise PlanError(
            f"'{name}' is planned with core '{folding.core}'; the convolution cell has "
            f"{', '.join(PLAIN_CORES)}; use one of these"
        )
    if folding.pixels_per_beat != 1:
        raise PlanError(
            f"'{name}' is planned with {folding.pixels_per_beat} pixels per beat; core "
            f"'{folding.core}' takes 1; use pixels_per_beat=1"
        )
    if max(node.padding[0], node.padding[2]) >= kh or max(node.padding[1], node.padding[3]) >= kw:
        raise PlanError(
            f"'{name}' pads {node.padding} around a {kh}x{kw} kernel; the window takes padding "
            "below the kernel; crop the model's padding"
        )
    if depthwise:
        _need_divisor(name, "channels", channels, "PE", folding.pe)
        _need_divisor(name, "channel per group", 1, "SIMD", folding.simd)
    else:
        per_group = " per group" if node.groups > 1 else ""
        _need_divisor(name, f"filters{per_group}", filters // node.groups, "PE", folding.pe)
        _need_divisor(name, f"channels{per_group}", group_channels, "SIMD", folding.simd)
    return ConvGeometry(
        channels=channels,
        height=height,
        width=width,
        filters=filters,
        groups=node.groups,
        kernel=(kh, kw),
        stride=node.stride,
        padding=node.padding,
        pe=folding.pe,
        simd=folding.simd,
        depthwise=depthwise,
        use_dsp=folding.core == "plain_dsp",
        has_table=node.table is not None,
        factors=factor_place(node.weights),
    )


def _need_divisor(name: str, what: str, count: int, lanes: str, value: int) -> None:
    if count % value:
        near = ", ".join(str(d) for d in divisors_near(count, value))
        raise PlanError(
            f"'{name}' has {count} {what}, not a multiple of {lanes}={value}; "
            f"divisors near {value}: {near}"
        )

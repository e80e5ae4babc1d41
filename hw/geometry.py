# SPDX-License-Identifier: Apache-2.0
"""Geometry of one folded convolution: every size that the cell, its memories and the plan share."""

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from hw.cores import PACKED_CORES, PIXELS, ROW_CORES, core_latency, tap_macs
from hw.divisors import divisors_near
from hw.groups import FactorPlace, factor_place
from hw.packing import LaneProof, packed_operands, prove_core
from hw.window import Window
from quant.errors import PlanError
from quant.formats import TensorFormat
from quant.graph import conv_output_size
from quant.nodes import Conv
from quant.schedule import Core, Folding

# Cycles from the last tap of a fold to its codes besides the core, the requantizer's steps and the
# table: window and operand registers, requantizer, output queue.
FIXED_LATENCY = 8
# And of group multipliers: factor, product, sum of partial sums; or product of an activation.
FACTOR_LATENCY: dict[FactorPlace, int] = {"none": 0, "parts": 3, "acts": 1}
# And of a shift of the weights: offset, product, sum.
OFFSET_LATENCY = 3


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
        pe: Filters in parallel.
        simd: Channels in parallel within a filter.
        depthwise: Whether every PE lane reads its own channel.
        core: What multiplies.
        has_table: Whether an activation table follows the requantizer.
        factors: What group multipliers scale.
        cascade: Blocks of a chain of a packed core.
        has_offset: Whether a packed core's weights are shifted by an offset per filter.
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
    core: Core
    has_table: bool
    factors: FactorPlace
    cascade: int = 1
    has_offset: bool = False

    @property
    def folding(self) -> Folding:
        """Its parallelism and core."""
        return Folding(self.pe, self.simd, self.pixels, self.core)

    @property
    def packed(self) -> bool:
        """Whether the core packs several products into a DSP block."""
        return self.core in PACKED_CORES

    @property
    def by_rows(self) -> bool:
        """Whether a tap holds a whole kernel row."""
        return self.core in ROW_CORES

    @property
    def pixels(self) -> int:
        """Pixels of a tap, and of the results of a fold."""
        return PIXELS[self.core]

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates of one tap."""
        return tap_macs(self.core, self.pe, self.simd)

    @property
    def in_lanes(self) -> int:
        """Channels of an input beat."""
        return self.pe if self.depthwise else self.simd

    @property
    def out_lanes(self) -> int:
        """Channels of an output beat: PE, unless zero filters fill the last fold."""
        return gcd(self.pe, self.filters)

    @property
    def channel_folds(self) -> int:
        """Input beats of one pixel."""
        return self.channels // self.in_lanes

    @property
    def output_folds(self) -> int:
        """Folds of a window: filters by PE, the last one filled up with zero filters."""
        return -(-self.filters // self.pe)

    @property
    def zero_filters(self) -> int:
        """Filters of zero weights that fill the last fold; their outputs are dropped."""
        return self.output_folds * self.pe - self.filters

    @property
    def fold_taps(self) -> int:
        """Cycles of one fold: kernel positions (of a core of rows: rows) times channel folds."""
        folds = 1 if self.depthwise else self.channels // self.groups // self.simd
        return self.kernel[0] * (1 if self.by_rows else self.kernel[1]) * folds

    @property
    def window_cycles(self) -> int:
        """Cycles that one window takes: an output pixel, or a group of packed ones."""
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
        return self.out_height * self.out_width * (self.filters // self.out_lanes)

    @property
    def compute_cycles(self) -> int:
        """Cycles of multiply-accumulates of one frame."""
        return self.window.out_height * self.window.out_width * self.window_cycles

    @property
    def interval(self) -> int:
        """Cycles per frame if no window ever waits: compute, input or output beats."""
        return max(self.input_beats, self.compute_cycles, self.output_beats)

    @property
    def window(self) -> Window:
        """What the core goes through: windows, or groups of them side by side.

        A core of rows takes groups of neighbouring columns of the padded rows; the padding on the
        right grows until the groups are whole.
        """
        if not self.packed:
            return Window(self.height, self.width, self.kernel, self.stride, self.padding)
        top, left, bottom, right = self.padding
        rows, stride = self.kernel[0], self.stride[1]
        step = self.pixels * stride
        if self.by_rows:
            span, groups = self.pixels, -(-(self.width + left + right) // self.pixels)
        else:
            span = (self.pixels - 1) * stride + self.kernel[1]
            groups = -(-self.out_width // self.pixels)
        whole = (groups - 1) * step + span - self.width - left
        return Window(
            self.height,
            self.width,
            (rows, span),
            (self.stride[0], step),
            (top, left, bottom, whole),
        )

    @property
    def buffer_pixels(self) -> int:
        """Pixels of the line buffer: what the windows need, in whole rows of its banks."""
        banks = self.pixels * self.stride[1] if self.packed else 1
        return -(-self.window.buffer_pixels // banks) * banks

    @property
    def silent_groups(self) -> int:
        """Groups at the beginning of a row that end no window."""
        return (self.kernel[1] - 1) // self.pixels if self.by_rows else 0

    @property
    def order_places(self) -> int:
        """Folds that wait to be read pixel by pixel.

        The last pixel of a group frees its folds; those of the next group that are done until the
        pixels before it have been read need places besides.
        """
        before = (self.pixels - 1) * (self.filters // self.out_lanes)
        return self.output_folds + min(self.output_folds, -(-before // self.fold_taps) + 1)

    @property
    def requant_lanes(self) -> int:
        """Requantizers: the fewest that keep up with the results of a fold per ``fold_taps``.

        The pixels of a filter share its parameters, so lanes and pixels divide each other.
        """
        results = self.pe * self.pixels
        return next(
            lanes
            for lanes in range(1, results + 1)
            if results % lanes == 0
            and results // lanes <= self.fold_taps
            and (lanes % self.pixels == 0 or self.pixels % lanes == 0)
        )

    @property
    def latency(self) -> int:
        """Cycles from the last tap of a fold to its codes in the output queue."""
        steps = self.pe * self.pixels // self.requant_lanes + int(self.has_table)
        return (
            FIXED_LATENCY
            + core_latency(self.core, self.simd, self.cascade)
            + steps
            + FACTOR_LATENCY[self.factors]
            + OFFSET_LATENCY * int(self.has_offset)
        )

    @property
    def queue_beats(self) -> int:
        """Places of the output queue, counted by credits: the beats under way and one more."""
        return 1 + -(-self.latency // self.fold_taps)


def conv_geometry(
    node: Conv,
    in_shape: tuple[int, int, int],
    folding: Folding,
    source: TensorFormat | None = None,
) -> ConvGeometry:
    """Return the sizes of ``node`` folded by ``folding``.

    Args:
        node: The convolution.
        in_shape: (C, H, W) of its source.
        folding: PE, SIMD and core. PE divides the filters of a group and SIMD its channels; for
            depthwise layers PE divides the channels and SIMD is 1. With a packed core PE divides
            the filters of a group only if there are several groups.
        source: Format of its input codes; a packed core's proof needs it.

    Returns:
        The geometry.

    Raises:
        PlanError: The folding does not fit, or asks for what the cell does not have.
    """
    channels, height, width = in_shape
    filters, group_channels, kh, kw = node.weights.shape
    name = node.name
    core = folding.core
    depthwise = group_channels == 1 and filters == channels and node.groups > 1
    if folding.pixels_per_beat not in (1, PIXELS[core]):
        raise PlanError(
            f"'{name}' is planned with {folding.pixels_per_beat} pixels per beat; core "
            f"'{core}' takes {PIXELS[core]}; use pixels_per_beat={PIXELS[core]}"
        )
    if max(node.padding[0], node.padding[2]) >= kh or max(node.padding[1], node.padding[3]) >= kw:
        raise PlanError(
            f"'{name}' pads {node.padding} around a {kh}x{kw} kernel; the window takes padding "
            "below the kernel; crop the model's padding"
        )
    per_group = " per group" if node.groups > 1 else ""
    packed = core in PACKED_CORES
    if depthwise:
        _need_divisor(name, "channels", channels, "PE", folding.pe)
        _need_divisor(name, "channel per group", 1, "SIMD", folding.simd)
    else:
        if not packed or node.groups > 1:
            _need_divisor(name, f"filters{per_group}", filters // node.groups, "PE", folding.pe)
        _need_divisor(name, f"channels{per_group}", group_channels, "SIMD", folding.simd)
    cascade, has_offset = 1, False
    if packed:
        proof = _packed_proof(node, source, folding)
        cascade, has_offset = proof.cascade, _has_offset(node)
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
        core=core,
        has_table=node.table is not None,
        factors=factor_place(node.weights),
        cascade=cascade,
        has_offset=has_offset,
    )


def built_cores(node: Conv, source: TensorFormat, simd: int) -> dict[Core, LaneProof | str]:
    """Return per packed core the proof of the cell that it builds, or the reason why not.

    Args:
        node: The convolution.
        source: Format of its input codes.
        simd: Channels of a tap; divides the channels of a group.
    """
    found: dict[Core, LaneProof | str] = {}
    for core in PACKED_CORES:
        try:
            found[core] = _packed_proof(node, source, Folding(2, simd, PIXELS[core], core))
        except PlanError as error:
            found[core] = str(error)
    return found


def _packed_proof(node: Conv, source: TensorFormat | None, folding: Folding) -> LaneProof:
    """Return the proof that the packed core of ``folding`` is exact, or refuse it."""
    if source is None:
        raise PlanError(
            f"'{node.name}' is planned with core '{folding.core}', whose proof needs the format of "
            "its input; give source"
        )
    if folding.core == "outer4" and folding.pe % 2:
        raise PlanError(
            f"'{node.name}' is planned with PE={folding.pe}; core 'outer4' computes filters in "
            "pairs; use an even PE"
        )
    if factor_place(node.weights) != "none":
        raise PlanError(
            f"'{node.name}' has group multipliers; the cell of core '{folding.core}' takes none; "
            "use plain_lut or plain_dsp"
        )
    return layer_proof(node, source, folding.core, folding.simd)


@lru_cache(maxsize=4096)
def layer_proof(node: Conv, source: TensorFormat, core: Core, simd: int) -> LaneProof:
    """Return ``prove_core``, remembered: a plan asks for the same layer many times.

    Raises:
        PlanError: The core does not build this layer, or no chain keeps its lanes.
    """
    return prove_core(node, source, core, simd)


@lru_cache(maxsize=1024)
def _has_offset(node: Conv) -> bool:
    _, offsets = packed_operands(node)
    return bool(offsets.any())


def _need_divisor(name: str, what: str, count: int, lanes: str, value: int) -> None:
    if count % value:
        near = ", ".join(str(d) for d in divisors_near(count, value))
        raise PlanError(
            f"'{name}' has {count} {what}, not a multiple of {lanes}={value}; "
            f"divisors near {value}: {near}"
        )

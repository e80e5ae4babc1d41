# SPDX-License-Identifier: Apache-2.0
"""Small seeded nodes and graphs that use every corner of the arithmetic contract.

Used by the tests of every engine, by ``nibbleflow doctor`` and by the examples: no training, no
torch, the same integers on every machine.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quant.formats import IntArray, RowRange, TensorFormat
from quant.graph import QGraph
from quant.nodes import (
    MAX_SHIFT,
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Node,
    Output,
    Requantize,
    Requantizer,
    Split,
    Upsample,
)
from quant.weights import ENTRY_LIMIT, Granularity, Scheme, Weights

_SCALE = 1.0 / 64
# Largest accumulator a sample may reach: half of the 32-bit limit leaves room for the bias.
_ACCUMULATOR_ROOM = 1 << 30
_MULTIPLIER_BITS = {
    Granularity.LAYER: 0,
    Granularity.FILTER: 0,
    Granularity.C_SHAPE: 5,
    Granularity.F_SHAPE: 8,
    Granularity.CHANNEL: 8,
}


def sample_weights(
    seed: int,
    shape: tuple[int, int, int, int],
    *,
    weight_bits: int = 4,
    granularity: Granularity = Granularity.FILTER,
    scheme: Scheme = "affine",
    max_decoded: int = 255,
) -> Weights:
    """Return random stored weights.

    Args:
        seed: Seed; equal arguments give equal weights.
        shape: OIHW, with I = C/groups.
        weight_bits: Stored bits of a code, 1..8 (PWLQ: 4 or 5, its region bit included).
        granularity: Which weights share a table and a multiplier.
        scheme: How the decode tables look; all but ``symmetric`` use several tables.
        max_decoded: Largest activation that will meet them; bounds the group multipliers so that
            the accumulator fits 32 bits.
    """
    rng = np.random.default_rng([seed, weight_bits, *shape])
    groups = granularity.group_shape(shape)
    tables = _tables(rng, weight_bits, scheme, int(np.prod(groups)))
    products = shape[1] * shape[2] * shape[3] * max_decoded * int(np.abs(tables).max())
    largest = min((1 << _MULTIPLIER_BITS[granularity]) - 1, _ACCUMULATOR_ROOM // products)
    return Weights(
        codes=rng.integers(0, 1 << weight_bits, shape, dtype=np.uint8),
        bits=weight_bits,
        tables=tables,
        selectors=rng.integers(0, len(tables), groups).astype(np.uint8),
        multipliers=rng.integers(1, max(1, largest) + 1, groups).astype(np.uint8),
        scale=np.full(1, _SCALE / 8, np.float32),
        granularity=granularity,
        scheme=scheme,
    )


def sample_conv(
    seed: int,
    channels: int,
    filters: int,
    kernel: int | tuple[int, int] = 3,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int, int, int] = 1,
    groups: int = 1,
    weight_bits: int = 4,
    act_bits: int = 8,
    table: bool = False,
    granularity: Granularity = Granularity.FILTER,
    scheme: Scheme = "affine",
    *,
    codebook: bool = False,
    output: TensorFormat | None = None,
    source: TensorFormat | None = None,
    weights: Weights | None = None,
    names: tuple[str, str] = ("conv", "x"),
) -> tuple[Conv, TensorFormat]:
    """Return a random convolution and the format of its input.

    Uniformly random input codes give outputs that use the whole code range and saturate at both
    ends. With eight or more filters the last one is dead (``m = 0``).

    Args:
        seed: Seed; equal arguments give equal nodes.
        channels: Input channels C.
        filters: Output channels F.
        kernel: KH = KW, or (KH, KW).
        stride: Both ways, or (vertical, horizontal).
        padding: On all sides, or (top, left, bottom, right).
        groups: Channel groups; C and F are multiples of it (depthwise: ``groups = channels``).
        weight_bits: Stored bits of a weight code, 1..8.
        act_bits: Bits of the input and output codes, 4..8.
        table: Whether the convolution owns a (non-monotone) activation table.
        granularity: Quantization group of the weights.
        scheme: Look of the decode tables.
        codebook: Whether the input is a two-region codebook instead of plain codes.
        output: Format of the output; made from ``act_bits`` when absent.
        source: Format of the input; made from ``act_bits`` and ``codebook`` when absent.
        weights: Stored weights of the shape that the other arguments give; random when absent.
        names: Name of the node and of the tensor that it reads.

    Returns:
        The node and the format of the tensor that it reads.
    """
    if source is None:
        source = sample_format(channels, act_bits, codebook=codebook, zero=(1 << act_bits) // 3)
    if output is None:
        output = sample_format(filters, act_bits, zero=(1 << act_bits) // 2 if not table else 9)
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    if weights is None:
        weights = sample_weights(
            seed,
            (filters, channels // groups, kh, kw),
            weight_bits=weight_bits,
            granularity=granularity,
            scheme=scheme,
            max_decoded=source.max_decoded,
        )
    bias, requant, entries = _layer(seed, weights, source, output, table)
    node = Conv(
        name=names[0],
        source=names[1],
        weights=weights,
        bias=bias,
        stride=(stride, stride) if isinstance(stride, int) else stride,
        padding=(padding,) * 4 if isinstance(padding, int) else padding,
        groups=groups,
        requant=requant,
        table=entries,
        output=output,
    )
    return node, source


def sample_format(
    channels: int, bits: int, *, codebook: bool = False, zero: int = 0
) -> TensorFormat:
    """Return a format of ``bits``-bit codes with the zero point at code ``zero``.

    A codebook has two regions: step 1 for the lower three quarters of the codes, step 3 above.
    """
    if not codebook:
        return TensorFormat.plain(bits, _SCALE, zero, channels)
    knee = 3 << bits >> 2
    book = tuple(q if q < knee else knee + 3 * (q - knee) for q in range(1 << bits))
    return TensorFormat(bits, (RowRange(channels, _SCALE, book[zero]),), book)


def sample_codes(
    seed: int, shape: Sequence[int], bits: int
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Return uniformly random codes of ``bits`` bits, uint8 (uint16 above 8 bits)."""
    rng = np.random.default_rng([seed, bits, *shape])
    codes = rng.integers(0, 1 << bits, tuple(shape))
    return codes.astype(np.uint8) if bits <= 8 else codes.astype(np.uint16)


def sample_graph(seed: int, *, act_bits: int = 8, weight_bits: int = 4) -> QGraph:
    """Return a small graph (3x16x20 input, about 20 nodes) that contains every node kind.

    Dense, grouped, depthwise, strided and 1x1 convolutions, four granularities, a codebook tensor,
    activation tables, a ReLU clip, asymmetric padding, an output with row ranges, and a linear
    output of 12 bits.

    Args:
        seed: Seed; equal arguments give equal graphs (equal digests).
        act_bits: Bits of every tensor but the input and the linear output, 4..8.
        weight_bits: Stored bits of the weights, 2..8.
    """
    half = 1 << (act_bits - 1)
    plain = sample_format(8, act_bits, zero=half // 2)
    relu = sample_format(8, act_bits)
    book = sample_format(8, act_bits, codebook=True, zero=half // 4)
    rows = TensorFormat(
        act_bits, (RowRange(4, _SCALE, half), RowRange(5, _SCALE / 4, 3), RowRange(12, _SCALE, 0))
    )
    image = Input("image", (3, 16, 20), sample_format(3, 8))
    formats = {"image": image.output}
    nodes: list[Node] = [image]

    def conv(
        name: str,
        source: str,
        output: TensorFormat,
        *,
        filters: int = 8,
        kernel: int = 3,
        stride: int = 1,
        padding: int | tuple[int, int, int, int] = 1,
        groups: int = 1,
        table: bool = False,
        granularity: Granularity = Granularity.FILTER,
        scheme: Scheme = "affine",
    ) -> None:
        node, _ = sample_conv(
            seed * 100 + len(nodes),
            formats[source].channels,
            filters,
            kernel,
            stride,
            padding,
            groups,
            weight_bits,
            act_bits,
            table,
            granularity,
            scheme,
            output=output,
            source=formats[source],
            names=(name, source),
        )
        put(node, output)

    def put(node: Node, output: TensorFormat) -> None:
        nodes.append(node)
        formats[node.name] = output

    conv("stem", "image", plain, stride=2, table=True)
    conv("depthwise", "stem", relu, groups=8)
    conv("point", "depthwise", plain, kernel=1, padding=0, granularity=Granularity.C_SHAPE)
    put(Add("sum", ("stem", "point"), (70000, 41234), 17, 0, 2 * half - 1, plain), plain)
    conv("grouped", "sum", book, groups=2, padding=(2, 1, 0, 1), table=True, scheme="symmetric")
    conv("long", "grouped", plain, stride=2, granularity=Granularity.F_SHAPE, scheme="codebook")
    put(Upsample("up", "long", 2), plain)
    put(MaxPool("pool", "sum", (5, 5), (1, 1), (2, 2, 2, 2)), plain)
    put(Concat("cat", ("up", "pool", "sum")), plain.with_channels(24))
    put(Split("slice", "cat", 4, 20), plain.with_channels(16))
    retargeted = sample_format(16, act_bits, zero=half)
    put(
        Requantize("retarget", "slice", _single(0.75, retargeted), retargeted),
        retargeted,
    )
    bent = _bend(act_bits, half, retargeted)
    put(Lookup("bend", "retarget", bent, retargeted), retargeted)
    conv("head", "bend", rows, filters=12, kernel=1, padding=0, granularity=Granularity.CHANNEL)
    mean = sample_format(8, act_bits, zero=half // 2)
    put(AvgPool("mean", "grouped", (2, 5), (2, 5), _single(1.6 / 10, mean), mean), mean)
    nodes.append(_linear(seed, "mean", mean, (8, 4, 2), weight_bits))
    nodes += [Output("boxes", "head"), Output("scores", "linear")]
    return QGraph(f"sample-{seed}", tuple(nodes))


def _tables(
    rng: np.random.Generator, bits: int, scheme: Scheme, groups: int
) -> npt.NDArray[np.int16]:
    codes = np.arange(1 << bits)
    half, limit = 1 << (bits - 1), ENTRY_LIMIT[bits]
    count = min(groups, 1 << bits, 16)
    match scheme:
        case "symmetric":
            rows = [codes - half]
        case "affine":
            zeros = rng.permutation(1 << bits)[:count]
            rows = [codes - z for z in np.sort(zeros)]
        case "pwlq":
            # Centre of step 2, breakpoint at half a step beyond its last code, tails of step k.
            region = 1 << (bits - 2)
            tail = np.arange(region)
            largest = (limit - 2 * region + 1) // max(1, region - 1)
            steps = np.unique(rng.integers(1, largest + 1, count))
            centre = 2 * np.arange(-region, region)
            rows = [
                np.concatenate([centre, 2 * region - 1 + k * tail, 1 - 2 * region - k * tail])
                for k in steps
            ]
        case "codebook":
            rows = [
                np.sort(rng.choice(np.arange(-limit, limit + 1), 1 << bits, replace=False))
                for _ in range(min(count, 4))
            ]
    return np.stack(rows).astype(np.int16)


def _layer(
    seed: int, weights: Weights, source: TensorFormat, output: TensorFormat, table: bool
) -> tuple[IntArray, Requantizer, npt.NDArray[np.uint16] | None]:
    """Return bias, requantizer and table that spread the accumulators over the code range."""
    rng = np.random.default_rng([seed, 1])
    integers = weights.integers().astype(np.int64).reshape(weights.shape[0], -1)
    largest = source.max_decoded
    spread = np.sqrt((integers**2).sum(axis=1)) * largest / 3.5 + 1
    offset = np.round(rng.uniform(-0.5, 0.5, len(spread)) * spread).astype(np.int64)
    # The zero point term plus a shift of the mean: random codes then centre on the zero point.
    bias = offset - integers.sum(axis=1) * (largest + 1) // 2
    bits = min(16, output.decoded_bits + 2) if table else output.bits
    span = (1 << bits) - 1
    zero = np.full(len(spread), span // 2) if table else output.zero_point_per_row
    multiplier, shift = _fixed_point(span / 3.0 / spread)
    if len(spread) >= 8:
        multiplier[-1], shift[-1] = 0, 1
    clipped = not table and output.uniform and output.zero_point == 0
    requant = Requantizer(
        multiplier=multiplier,
        shift=shift,
        zero_point=zero.astype(np.int32),
        low=0,
        high=(span * 7 // 8 if clipped else span),
        bits=bits,
    )
    return bias, requant, _bend(bits, span // 2, output) if table else None


def _bend(bits: int, zero: int, output: TensorFormat) -> npt.NDArray[np.uint16]:
    """Return a hard-swish table in integer arithmetic: not monotone, the same everywhere."""
    x = np.arange(1 << bits) - zero
    unit = max(1, (1 << bits) // 12)
    bent = x * np.clip(x + 3 * unit, 0, 6 * unit) // (6 * unit)
    a = output.zero_point + bent * output.max_decoded // (1 << bits) * 3 // 2
    if output.codebook is None:
        return np.clip(a, 0, output.max_decoded).astype(np.uint16)
    return np.minimum(np.searchsorted(output.codebook, a), (1 << output.bits) - 1).astype(np.uint16)


def _fixed_point(
    real: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    mantissa, exponent = np.frexp(real)
    multiplier = np.minimum(np.round(mantissa * (1 << 17)), (1 << 17) - 1)
    shift = 17 - exponent
    dead = shift > MAX_SHIFT
    return (
        np.where(dead, 0, multiplier).astype(np.uint32),
        np.where(dead, 1, shift).astype(np.uint8),
    )


def _single(real: float, output: TensorFormat) -> Requantizer:
    multiplier, shift = _fixed_point(np.array([real]))
    high = (1 << output.bits) - 1
    return Requantizer(
        multiplier, shift, np.array([output.zero_point], np.int32), 0, high, output.bits
    )


def _linear(
    seed: int, source: str, fmt: TensorFormat, shape: tuple[int, int, int], weight_bits: int
) -> Linear:
    output = TensorFormat.plain(12, _SCALE / 8, 2048, 10)
    weights = sample_weights(
        seed, (10, shape[0] * shape[1] * shape[2], 1, 1), weight_bits=weight_bits
    )
    bias, requant, _ = _layer(seed, weights, fmt, output, table=False)
    return Linear("linear", source, weights, bias, requant, None, output)

# SPDX-License-Identifier: Apache-2.0
"""The integer graph as QONNX: codes in float32, requantization as float64 Mul, Add, Floor, Clip.

``IntQuant`` only states widths here: what enters it is an integer of that width already, scale 1,
zero point 0. QONNX's own rounding is never used, as its half-up rounds negative ties down.
"""

import json
from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np
import numpy.typing as npt
import onnx

from quant.formats import IntArray, TensorFormat
from quant.graph import QGraph
from quant.nodes import (
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
    sources_of,
)
from quant.weights import signed_bits
from quant.widths import accumulator_interval
from reports.export.builder import (
    DOUBLE,
    FLOAT,
    INT64,
    QONNX_DOMAIN,
    ModelBuilder,
    Shape,
    Tensor,
)
from reports.export.exactsum import exact_factors, exact_pieces
from reports.export.moves import concat, max_pool, slice_channels, upsample
from reports.export.nodefigures import PREFIX

# QONNX reads a signed width of one bit as -1 and +1.
_LEAST_WEIGHT_BITS = 2


def integer_model(
    graph: QGraph, figures: Mapping[str, Mapping[str, str]], model: Mapping[str, str]
) -> onnx.ModelProto:
    """Return the integer graph as a QONNX model that computes the same integers.

    Args:
        graph: The integer graph.
        figures: Texts for the metadata of nodes, by their names.
        model: Texts for the metadata of the model.

    Returns:
        A checked model. Input and outputs are codes in float32, [1, C, H, W]; what a code means is
        in the metadata, ``nibbleflow.format.NAME``: bits, codebook, and scale and zero point up
        to each channel.

    Raises:
        GraphError: Floating point would not be exact for a node, which is named.
    """
    builder = ModelBuilder((node.name for node in graph.nodes), figures)
    tensors: dict[str, Tensor] = {}
    for node in graph.nodes:
        sources = [tensors[name] for name in sources_of(node)]
        formats = [graph.formats[name] for name in sources_of(node)]
        shape = (1, *graph.shapes[node.name])
        tensors[node.name] = _node(builder, node, sources, formats, shape)
    ports = (graph.input.name, *(node.name for node in graph.outputs))
    meaning = {f"{PREFIX}format.{name}": _format_text(graph.formats[name]) for name in ports}
    outputs = [tensors[node.name] for node in graph.outputs]
    entry = Tensor(graph.input.name, (1, *graph.input.shape), FLOAT)
    return builder.model(graph.name, entry, outputs, {**model, **meaning}, qonnx=True)


def _node(
    b: ModelBuilder, node: Node, sources: list[Tensor], formats: list[TensorFormat], shape: Shape
) -> Tensor:
    name = node.name
    match node:
        case Input():
            entry = Tensor(name, shape, FLOAT)
            return _stated(b, name, entry, node.output.bits, signed=False)
        case Conv():
            weights = node.weights.integers().astype(np.int64)
            sums = _sums(
                *(b, name, sources[0], formats[0], weights, shape),
                stride=node.stride,
                padding=node.padding,
                groups=node.groups,
            )
            return _finished(b, node, sums, formats[0])
        case Linear():
            plane = (len(node.bias), *sources[0].shape[1:])
            weights = node.weights.integers().astype(np.int64).reshape(plane)
            sums = _sums(b, name, sources[0], formats[0], weights, shape)
            return _finished(b, node, sums, formats[0])
        case MaxPool():
            return max_pool(b, sources[0], node, shape)
        case AvgPool():
            count = node.kernel[0] * node.kernel[1]
            ones = np.ones((shape[1], 1, *node.kernel), np.int64)
            sums = _sums(
                *(b, name, sources[0], formats[0], ones, shape),
                stride=node.stride,
                groups=shape[1],
            )
            biased = _biased(b, name, sums, np.array([-count * formats[0].zero_point]))
            reach = np.array([count * formats[0].max_decoded])
            return _coded(b, name, biased, node.requant, reach, None, node.output)
        case Add():
            return _addition(b, node, sources, formats)
        case Concat():
            return concat(b, name, sources, shape)
        case Split():
            return slice_channels(b, name, sources[0], node.begin, node.end)
        case Upsample():
            return upsample(b, name, sources[0], node.factor)
        case Requantize():
            values = _double(b, name, _decoded(b, name, sources[0], formats[0]))
            biased = _biased(b, name, values, np.array([-formats[0].zero_point]))
            reach = np.array([formats[0].max_decoded])
            return _coded(b, name, biased, node.requant, reach, None, node.output)
        case Lookup():
            codes = _looked_up(b, name, sources[0], node.table)
            return _stated(b, name, codes, node.output.bits, signed=False, last=True)
        case Output():
            return b.node(name, "Identity", sources, shape, last=True)
        case _:
            assert_never(node)


def _sums(
    b: ModelBuilder,
    name: str,
    source: Tensor,
    fmt: TensorFormat,
    weights: IntArray,
    shape: Shape,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    groups: int = 1,
) -> Tensor:
    """Return the sums of products before the bias, float64; pads carry the zero point."""
    values = _decoded(b, name, source, fmt)
    if any(padding) and fmt.zero_point:
        top, left, bottom, right = padding
        n, c, h, w = values.shape
        pads = b.constant(name, "pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        zero = b.constant(name, "zero_point", np.array(fmt.zero_point, np.float32))
        padded = (n, c, h + top + bottom, w + left + right)
        values = b.node(name, "Pad", [values, pads, zero], padded)
        padding = (0, 0, 0, 0)
    bits = max(_LEAST_WEIGHT_BITS, signed_bits(int(weights.min()), int(weights.max())))
    total: Tensor | None = None
    for piece in exact_pieces(name, weights, fmt.max_decoded):
        stored = b.constant(name, "weight", piece.astype(np.float32))
        stated = _stated(b, name, stored, bits, signed=True)
        made = b.node(
            *(name, "Conv", [values, stated], shape),
            kernel_shape=weights.shape[2:],
            strides=stride,
            pads=padding,
            group=groups,
        )
        wide = _double(b, name, made)
        total = wide if total is None else b.node(name, "Add", [total, wide], shape)
    if total is None:
        raise AssertionError(f"'{name}' has no weights")
    return total


def _finished(b: ModelBuilder, node: Conv | Linear, sums: Tensor, source: TensorFormat) -> Tensor:
    """Return the codes of a layer from its sums."""
    low, high = accumulator_interval(node, source)
    biased = _biased(b, node.name, sums, node.bias)
    reach = np.maximum(high, -low)
    return _coded(b, node.name, biased, node.requant, reach, node.table, node.output)


def _biased(b: ModelBuilder, name: str, sums: Tensor, bias: npt.NDArray[np.integer]) -> Tensor:
    added = b.constant(name, "bias", _per_channel(bias.astype(np.float64)))
    return b.node(name, "Add", [sums, added], sums.shape)


def _coded(
    b: ModelBuilder,
    name: str,
    sums: Tensor,
    requant: Requantizer,
    reach: IntArray,
    table: npt.NDArray[np.uint16] | None,
    output: TensorFormat,
) -> Tensor:
    """Return the output codes of accumulators, float32."""
    ratio, offset = exact_factors(
        *(name, reach, requant.multiplier, requant.shift, requant.zero_point)
    )
    scaled = b.node(name, "Mul", [sums, b.constant(name, "ratio", _per_channel(ratio))], sums.shape)
    shifted = b.node(
        name, "Add", [scaled, b.constant(name, "offset", _per_channel(offset))], sums.shape
    )
    codes = _clipped(b, name, shifted, requant.low, requant.high)
    if table is not None:
        codes = _looked_up(b, name, codes, table)
    return _stated(b, name, codes, output.bits, signed=False, last=True)


def _addition(
    b: ModelBuilder, node: Add, sources: Sequence[Tensor], formats: Sequence[TensorFormat]
) -> Tensor:
    """Return the codes of an addition; both zero points are in the one offset."""
    name, shape, scale = node.name, sources[0].shape, 2.0**-node.shift
    terms = []
    for source, fmt, multiplier in zip(sources, formats, node.multipliers, strict=True):
        values = _double(b, name, _decoded(b, name, source, fmt))
        ratio = b.constant(name, "ratio", np.array(multiplier * scale))
        terms.append(b.node(name, "Mul", [values, ratio], shape))
    total = b.node(name, "Add", terms, shape)
    weighted = [f.zero_point * m for f, m in zip(formats, node.multipliers, strict=True)]
    reach = [f.max_decoded * m for f, m in zip(formats, node.multipliers, strict=True)]
    # The sum of both terms is the accumulator, with a multiplier of 1.
    one, shift = np.array([1]), np.array([node.shift])
    zero = np.array([node.output.zero_point])
    _, offset = exact_factors(name, np.array([sum(reach) + sum(weighted)]), one, shift, zero)
    added = b.constant(name, "offset", np.array(offset[0] - sum(weighted) * scale))
    shifted = b.node(name, "Add", [total, added], shape)
    codes = _clipped(b, name, shifted, node.low, node.high)
    return _stated(b, name, codes, node.output.bits, signed=False, last=True)


def _clipped(b: ModelBuilder, name: str, shifted: Tensor, low: int, high: int) -> Tensor:
    floor = b.node(name, "Floor", [shifted], shifted.shape)
    limits = [
        b.constant(name, what, np.array(float(value)))
        for what, value in (("low", low), ("high", high))
    ]
    clipped = b.node(name, "Clip", [floor, *limits], shifted.shape)
    return b.node(name, "Cast", [clipped], shifted.shape, kind=FLOAT, to=FLOAT)


def _decoded(b: ModelBuilder, name: str, source: Tensor, fmt: TensorFormat) -> Tensor:
    """Return the decoded values of codes, float32; the codes themselves in a plain format."""
    if fmt.codebook is None:
        return source
    return _looked_up(b, name, source, np.array(fmt.codebook))


def _looked_up(b: ModelBuilder, name: str, codes: Tensor, table: npt.NDArray[np.integer]) -> Tensor:
    index = b.node(name, "Cast", [codes], codes.shape, kind=INT64, to=INT64)
    values = b.constant(name, "table", table.astype(np.float32))
    return b.node(name, "Gather", [values, index], codes.shape, axis=0)


def _double(b: ModelBuilder, name: str, source: Tensor) -> Tensor:
    return b.node(name, "Cast", [source], source.shape, kind=DOUBLE, to=DOUBLE)


def _stated(
    b: ModelBuilder, name: str, source: Tensor, bits: int, *, signed: bool, last: bool = False
) -> Tensor:
    """Return the same values behind an ``IntQuant`` that states their width."""
    given = [
        b.constant(name, what, np.array(value, np.float32))
        for what, value in (("step", 1), ("zero", 0), ("bits", bits))
    ]
    return b.node(
        *(name, "IntQuant", [source, *given], source.shape),
        last=last,
        domain=QONNX_DOMAIN,
        signed=int(signed),
        narrow=0,
        rounding_mode="ROUND",
    )


def _per_channel(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values.reshape(1, -1, 1, 1)


def _format_text(fmt: TensorFormat) -> str:
    return json.dumps(
        {
            "bits": fmt.bits,
            "codebook": fmt.codebook,
            "ranges": [
                {"channels_up_to": r.stop, "scale": r.scale, "zero_point": r.zero_point}
                for r in fmt.ranges
            ],
        },
        allow_nan=False,
    )

# SPDX-License-Identifier: Apache-2.0
"""What makes a node legal, given the shapes and formats of its sources (arithmetic contract)."""

from typing import assert_never

import numpy as np

from quant.errors import GraphError
from quant.formats import TensorFormat
from quant.nodes import (
    MAX_SHIFT,
    MULTIPLIER_HIGH,
    MULTIPLIER_LOW,
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
from quant.widths import ACCUMULATOR_LIMIT_BITS, accumulator_bits

Shape = tuple[int, int, int]


def check_node(node: Node, shapes: list[Shape], formats: list[TensorFormat]) -> None:
    """Check one node against its sources.

    Args:
        node: The node.
        shapes: (C, H, W) of each source, in port order.
        formats: Format of each source, in port order.

    Raises:
        GraphError: The node breaks the contract; the message names it and the limit.
    """
    match node:
        case Input():
            if node.output.bits != 8 or node.output.codebook is not None:
                raise GraphError(f"input '{node.name}' must have plain 8-bit codes")
            if min(node.shape) < 1:
                raise GraphError(f"input '{node.name}' has shape {node.shape}; all >= 1 needed")
        case Conv():
            _check_conv(node, shapes[0], formats[0])
        case Linear():
            c, h, w = shapes[0]
            if node.weights.shape[1:] != (c * h * w, 1, 1):
                raise GraphError(
                    f"linear '{node.name}' has weights {node.weights.shape} for {c * h * w} inputs"
                )
            _check_layer(node, formats[0])
        case MaxPool():
            _need_uniform(node.name, formats)
            _check_window(node.name, shapes[0], node.kernel, node.stride, node.padding)
            kh, kw = node.kernel
            if max(node.padding[0], node.padding[2]) >= kh or max(node.padding[1::2]) >= kw:
                raise GraphError(f"'{node.name}' pads {node.padding}, not less than {node.kernel}")
        case AvgPool():
            _check_window(node.name, shapes[0], node.kernel, node.stride, (0, 0, 0, 0))
            _check_single(node.name, node.requant, node.output, formats[0])
        case Add():
            _check_add(node, shapes, formats)
        case Concat():
            _check_concat(node, shapes, formats)
        case Split():
            if not 0 <= node.begin < node.end <= shapes[0][0]:
                raise GraphError(
                    f"'{node.name}' takes channels {node.begin}..{node.end} of {shapes[0][0]}"
                )
            _need_uniform(node.name, formats)
        case Upsample():
            if node.factor < 2:
                raise GraphError(f"'{node.name}' upsamples by {node.factor}; at least 2")
            _need_uniform(node.name, formats)
        case Requantize():
            _check_single(node.name, node.requant, node.output, formats[0])
        case Lookup():
            _need_uniform(node.name, formats)
            _check_table(node.name, node.table, formats[0].bits, node.output)
        case Output():
            pass
        case _:
            assert_never(node)


def _check_conv(node: Conv, shape: Shape, source: TensorFormat) -> None:
    f, c, kh, kw = node.weights.shape
    if node.groups < 1 or shape[0] != c * node.groups or f % node.groups:
        raise GraphError(
            f"'{node.name}' has weights {node.weights.shape} in {node.groups} groups for "
            f"{shape[0]} channels"
        )
    _check_window(node.name, shape, (kh, kw), node.stride, node.padding)
    _check_layer(node, source)


def _check_layer(node: Conv | Linear, source: TensorFormat) -> None:
    filters = node.weights.shape[0]
    _need_uniform(node.name, [source])
    if node.bias.shape != (filters,) or node.requant.multiplier.shape != (filters,):
        raise GraphError(
            f"'{node.name}' has {filters} filters but bias {node.bias.shape} and requantizer "
            f"{node.requant.multiplier.shape}"
        )
    bits = accumulator_bits(node, source)
    if bits > ACCUMULATOR_LIMIT_BITS:
        raise GraphError(
            f"'{node.name}' needs a {bits}-bit accumulator; limit {ACCUMULATOR_LIMIT_BITS}; "
            "use fewer weight or activation bits for this layer"
        )
    if node.table is not None:
        _check_table(node.name, node.table, node.requant.bits, node.output)
        if len(np.unique(node.requant.zero_point)) > 1:
            raise GraphError(f"'{node.name}' has a table and several pre-activation zero points")
        return
    if node.requant.bits != node.output.bits:
        raise GraphError(
            f"'{node.name}' requantizes to {node.requant.bits} bits but its output has "
            f"{node.output.bits}"
        )
    if node.output.codebook is not None:
        raise GraphError(f"'{node.name}' has a codebook output, which needs a table")
    if not np.array_equal(node.requant.zero_point, node.output.zero_point_per_row):
        raise GraphError(f"'{node.name}' requantizes to another zero point than its format's")


def _check_window(
    name: str,
    shape: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> None:
    top, left, bottom, right = padding
    if min(kernel) < 1 or min(stride) < 1 or min(padding) < 0:
        raise GraphError(f"'{name}' has kernel {kernel}, stride {stride}, padding {padding}")
    if shape[1] + top + bottom < kernel[0] or shape[2] + left + right < kernel[1]:
        raise GraphError(
            f"'{name}': kernel {kernel} is larger than the padded input "
            f"{shape[1] + top + bottom}x{shape[2] + left + right}"
        )


def _check_single(
    name: str, requant: Requantizer, output: TensorFormat, source: TensorFormat
) -> None:
    _need_uniform(name, [source, output])
    if requant.multiplier.shape != (1,) or requant.bits != output.bits:
        raise GraphError(f"'{name}' needs one requantizer entry of {output.bits} bits")
    if output.codebook is not None:
        raise GraphError(f"'{name}' has a codebook output, which needs a lookup node")
    if int(requant.zero_point[0]) != output.zero_point:
        raise GraphError(f"'{name}' requantizes to another zero point than its format's")


def _check_add(node: Add, shapes: list[Shape], formats: list[TensorFormat]) -> None:
    _need_uniform(node.name, [*formats, node.output])
    if shapes[0] != shapes[1]:
        raise GraphError(f"'{node.name}' adds {shapes[0]} and {shapes[1]}; equal shapes needed")
    largest = max(node.multipliers)
    if min(node.multipliers) < 0 or not MULTIPLIER_LOW <= largest < MULTIPLIER_HIGH:
        raise GraphError(
            f"'{node.name}' has multipliers {node.multipliers}; the larger must be in "
            f"[{MULTIPLIER_LOW}, {MULTIPLIER_HIGH})"
        )
    if not 1 <= node.shift <= MAX_SHIFT:
        raise GraphError(f"'{node.name}' has shift {node.shift}; limit 1..{MAX_SHIFT}")
    if not 0 <= node.low <= node.high < 1 << node.output.bits:
        raise GraphError(f"'{node.name}' clips to {node.low}..{node.high}")
    if node.output.codebook is not None:
        raise GraphError(f"'{node.name}' has a codebook output; put a lookup node after it")


def _check_concat(node: Concat, shapes: list[Shape], formats: list[TensorFormat]) -> None:
    if len(node.sources) < 2:
        raise GraphError(f"'{node.name}' concatenates {len(node.sources)} tensor; at least 2")
    for name, shape, fmt in zip(node.sources, shapes, formats, strict=True):
        if shape[1:] != shapes[0][1:]:
            raise GraphError(f"'{node.name}' joins {shapes[0]} and '{name}' {shape}")
        if not fmt.same_codes(formats[0]):
            raise GraphError(
                f"'{node.name}' joins '{node.sources[0]}' and '{name}' of different formats; "
                "lowering must retarget one or insert a requantize node"
            )


def _check_table(name: str, table: np.ndarray, bits: int, output: TensorFormat) -> None:
    _need_uniform(name, [output])
    if table.shape != (1 << bits,):
        raise GraphError(f"'{name}' has a table of {table.shape} for {bits}-bit codes")
    if int(table.max()) >> output.bits:
        raise GraphError(f"'{name}' has table entry {table.max()} for {output.bits}-bit outputs")


def _need_uniform(name: str, formats: list[TensorFormat]) -> None:
    if not all(f.uniform for f in formats):
        raise GraphError(f"'{name}' reads or makes row ranges; only graph outputs may have them")

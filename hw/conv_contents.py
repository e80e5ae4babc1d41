# SPDX-License-Identifier: Apache-2.0
"""What fills a convolution cell: parameters of ``nf_conv``, memory images, words to load."""

from dataclasses import dataclass

import numpy as np

from hw.cell import LoadImage, Parameter, WeightStream
from hw.geometry import ConvGeometry
from hw.group_words import GroupOrder, group_order, group_words, sum_bits
from hw.groups import group_tables, table_bits
from hw.memories import (
    filter_words,
    is_affine,
    lanes_text,
    load_words,
    mem_text,
    requant_text,
    shift_range,
    weight_words,
    word_bytes,
)
from hw.packed_memories import (
    offset_bits,
    operand_bits,
    operand_words,
    packed_accumulator_bits,
    window_bits,
)
from hw.packing import packed_operands
from quant.formats import IntArray, TensorFormat
from quant.nodes import Conv
from quant.remember import remembered
from quant.weights import Weights, signed_bits
from quant.widths import accumulator_bits


def conv_files(
    node: Conv, source: TensorFormat, geometry: ConvGeometry, prefix: str
) -> dict[str, str]:
    """Return the memory images of the cell: file name, beginning with ``prefix``, to text."""
    g = geometry
    texts = _packed_files(node, g) if g.packed else _plain_files(node, g)
    texts["requant.mem"] = requant_text(node.requant, node.bias, _acc_bits(node, source, g), g)
    if source.codebook is not None:
        texts["codebook.mem"] = mem_text([(source.codebook, source.decoded_bits)])
    if node.table is not None:
        texts["table.mem"] = mem_text([(node.table.astype(np.int64), node.output.bits)])
    return {prefix + name: text for name, text in texts.items()}


def weight_files(g: ConvGeometry) -> tuple[str, ...]:
    """Return the names of the weight memories' images, without prefix."""
    if not g.packed:
        return ("weights.mem",)
    return tuple(f"weights{place}.mem" for place in range(g.cascade))


def conv_file_parameters(files: dict[str, str], prefix: str) -> dict[str, Parameter]:
    """Return the parameters that name the memory files; empty where there is none.

    A packed core's weight memories have one name, to which the cell adds each one's number.
    """
    names = ("decode", "select", "factor", "offset", "requant", "codebook", "table")
    found: dict[str, Parameter] = {
        f"{name.capitalize()}File": (
            f"{prefix}{name}.mem" if f"{prefix}{name}.mem" in files else ""
        )
        for name in names
    }
    weights = f"{prefix}weights"
    whole = f"{weights}.mem" if f"{weights}.mem" in files else ""
    return {"WeightFile": weights if f"{weights}0.mem" in files else whole} | found


def conv_parameters(node: Conv, source: TensorFormat, g: ConvGeometry) -> dict[str, Parameter]:
    """Return the parameters of ``nf_conv`` besides the file names, in the module's order."""
    shift_low, shift_high = shift_range(node.requant)
    top, left, bottom, right = g.padding
    return {
        "Channels": g.channels,
        "Height": g.height,
        "Width": g.width,
        "Filters": g.filters,
        "Groups": g.groups,
        "KernelH": g.kernel[0],
        "KernelW": g.kernel[1],
        "StrideH": g.stride[0],
        "StrideW": g.stride[1],
        "PadTop": top,
        "PadLeft": left,
        "PadBottom": bottom,
        "PadRight": right,
        "Depthwise": int(g.depthwise),
        "Pe": g.pe,
        "Simd": g.simd,
        "Core": g.core if g.packed else "plain",
        "UseDsp": int(g.core == "plain_dsp"),
        "Cascade": g.cascade,
        "OutLanes": g.out_lanes,
        "OrderPlaces": g.order_places if g.packed else 1,
        "QueueDepth": g.queue_beats,
        "RequantLanes": g.requant_lanes,
        "BufferPixels": g.buffer_pixels,
        "InBits": source.bits,
        "ActBits": source.decoded_bits if source.codebook is not None else source.bits,
        "ZeroCode": source.zero_code,
        **(_packed_parameters(node, source) if g.packed else _plain_parameters(node, source, g)),
        "AccBits": _acc_bits(node, source, g),
        "ShiftLow": shift_low,
        "ShiftHigh": shift_high,
        "PreBits": node.requant.bits,
        "Low": node.requant.low,
        "High": node.requant.high,
        "OutBits": node.output.bits,
    }


def conv_load_image(node: Conv, g: ConvGeometry) -> LoadImage:
    """Return the words that fill the weight memory through the load stream."""
    words, bits = _whole_words(node, g)
    return LoadImage(words.shape[1] * bits, words.shape[0], load_words(words, bits))


def conv_weight_stream(node: Conv, g: ConvGeometry) -> WeightStream:
    """Return the words that a cell without a weight memory takes from outside."""
    words, bits = _whole_words(node, g)
    repeats = g.window.out_height * g.window.out_width
    return WeightStream(words.shape[1] * bits, repeats, word_bytes(words, bits))


def _whole_words(node: Conv, g: ConvGeometry) -> tuple[IntArray, int]:
    """Return the words of weights, int64 [words, lanes], and the bits of a lane.

    Those of a packed core are the words of all its memories side by side.
    """
    if g.packed:
        return np.concatenate(operand_words(node, g), axis=1), operand_bits(node)
    return weight_words(node.weights, g), node.weights.bits


def _acc_bits(node: Conv, source: TensorFormat, g: ConvGeometry) -> int:
    return packed_accumulator_bits(node, source, g) if g.packed else accumulator_bits(node, source)


def _plain_files(node: Conv, g: ConvGeometry) -> dict[str, str]:
    weights = node.weights
    select = _selection(weights)
    texts = {"weights.mem": lanes_text(weight_words(weights, g), weights.bits)}
    if select.bits:
        texts["select.mem"] = lanes_text(group_words(select.values, g).values, select.bits)
    if not select.affine:
        # Unused table numbers repeat the last table: any value would do.
        rows = np.minimum(np.arange(1 << select.bits), len(select.tables) - 1)
        texts["decode.mem"] = mem_text([(select.tables[rows].reshape(-1), table_bits(weights))])
    if weights.multiplier_bits:
        factors = group_words(weights.multipliers, g)
        texts["factor.mem"] = lanes_text(factors.values, weights.multiplier_bits)
    return texts


def _packed_files(node: Conv, g: ConvGeometry) -> dict[str, str]:
    words = operand_words(node, g)
    texts = {
        name: lanes_text(memory, operand_bits(node))
        for name, memory in zip(weight_files(g), words, strict=True)
    }
    if g.has_offset:
        _, offsets = packed_operands(node)
        texts["offset.mem"] = lanes_text(filter_words(offsets, g), offset_bits(node))
    return texts


def _plain_parameters(node: Conv, source: TensorFormat, g: ConvGeometry) -> dict[str, Parameter]:
    weights = node.weights
    select = _selection(weights)
    return {
        "WeightBits": weights.bits,
        "SelectBits": select.bits,
        "AffineSelect": int(select.affine),
        **_word_parameters("Select", select.order, g),
        "FactorBits": weights.multiplier_bits,
        **_word_parameters("Factor", _factor_order(weights), g),
        "PartBits": sum_bits(node, source),
        "OperandBits": table_bits(weights),
    }


def _packed_parameters(node: Conv, source: TensorFormat) -> dict[str, Parameter]:
    _, offsets = packed_operands(node)
    return {
        "OffsetBits": offset_bits(node) if offsets.any() else 0,
        "WindowBits": window_bits(node, source),
        "OperandBits": operand_bits(node),
    }


def _word_parameters(what: str, order: GroupOrder, g: ConvGeometry) -> dict[str, Parameter]:
    return {
        f"{what}ByChannel": int(order.by_channel),
        f"{what}Taps": order.taps(g),
        f"{what}Depth": order.depth(g),
    }


@remembered
def _factor_order(weights: Weights) -> GroupOrder:
    return group_order(weights.multipliers)


@dataclass(frozen=True, eq=False)
class _Selection:
    """How a weight finds its decode table.

    Attributes:
        tables: int64 [T, 2**bits], the distinct tables.
        bits: Stored bits of a selection; 0 for a single table, which is constant logic.
        affine: Whether a selection is an offset, which the cell adds, else a table's number.
        values: Selections in the shape of the groups.
        order: Order in which they are read.
    """

    tables: IntArray
    bits: int
    affine: bool
    values: IntArray
    order: GroupOrder


@remembered
def _selection(weights: Weights) -> _Selection:
    tables, numbers = group_tables(weights)
    if len(tables) == 1:
        return _Selection(tables, 0, False, numbers, group_order(numbers))
    if is_affine(tables):
        bits = signed_bits(int(tables[:, 0].min()), int(tables[:, 0].max()))
        offsets = tables[numbers, 0]
        return _Selection(tables, bits, True, offsets, group_order(offsets))
    bits = (len(tables) - 1).bit_length()
    return _Selection(tables, bits, False, numbers, group_order(numbers))

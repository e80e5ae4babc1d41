# SPDX-License-Identifier: Apache-2.0
"""The convolution and the linear layer as cells: parameters, memory images, token-level model."""

from dataclasses import dataclass

import numpy as np

from hw.cell import Cell, LoadImage, Parameter, Stream
from hw.geometry import ConvGeometry, conv_geometry
from hw.group_words import GroupWords, group_words, sum_bits
from hw.groups import group_tables, kernel_weights, table_bits
from hw.memories import (
    is_affine,
    lanes_text,
    load_words,
    mem_text,
    requant_text,
    shift_range,
    weight_words,
)
from hw.process import Process
from hw.window import Window
from quant.formats import IntArray, TensorFormat
from quant.nodes import Conv, Linear
from quant.schedule import Folding, MemoryStyle
from quant.weights import Weights, signed_bits
from quant.widths import accumulator_bits


def conv_cell(
    node: Conv,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
    weight_memory: MemoryStyle = "auto",
    *,
    load: bool = False,
) -> Cell:
    """Return the cell of a convolution.

    Args:
        node: The convolution.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        folding: PE and SIMD.
        prefix: Begins the names of the memory files.
        weight_memory: Style of the weight memory.
        load: Whether its words come through the load stream at start; only with ``ultra``.

    Returns:
        A cell of module ``nf_conv``.

    Raises:
        PlanError: The folding does not fit, or the cell does not build this layer.
    """
    geometry = conv_geometry(node, in_shape, folding)
    files = conv_files(node, source, geometry, prefix)
    if load:
        del files[f"{prefix}weights.mem"]
    shape = (geometry.filters, geometry.out_height, geometry.out_width)
    memory: dict[str, Parameter] = {"WeightStyle": weight_memory, "LoadWeights": int(load)}
    return Cell(
        module="nf_conv",
        parameters=conv_parameters(node, source, geometry)
        | conv_file_parameters(files, prefix)
        | memory,
        inputs=(Stream(in_shape, geometry.in_lanes, source.bits),),
        output=Stream(shape, geometry.pe, node.output.bits),
        stages=(conv_process(geometry),),
        files=files,
        load=_load_image(node, geometry) if load else None,
    )


def linear_cell(
    node: Linear,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
    weight_memory: MemoryStyle = "auto",
    *,
    load: bool = False,
) -> Cell:
    """Return the cell of a linear layer: a convolution whose kernel is the whole picture.

    Arguments, result and errors as ``conv_cell``.
    """
    conv = linear_as_conv(node, in_shape)
    return conv_cell(conv, in_shape, source, folding, prefix, weight_memory, load=load)


def linear_as_conv(node: Linear, in_shape: tuple[int, int, int]) -> Conv:
    """Return the convolution with a kernel of the size of the picture that equals ``node``.

    Args:
        node: The linear layer.
        in_shape: (C, H, W) of the picture.
    """
    return Conv(
        name=node.name,
        source=node.source,
        weights=kernel_weights(node.weights, in_shape),
        bias=node.bias,
        stride=(1, 1),
        padding=(0, 0, 0, 0),
        groups=1,
        requant=node.requant,
        table=node.table,
        output=node.output,
    )


def conv_process(g: ConvGeometry) -> Process:
    """Return the token-level model of a convolution cell: one step per output beat.

    A window waits for its last pixel and gives its places back after its last output fold.
    """
    window = Window(g.height, g.width, g.kernel, g.stride, g.padding)
    port = window.port(g.channel_folds, g.output_folds, g.buffer_pixels)
    return Process(
        cycles=g.fold_taps,
        ports=(port,),
        emits=np.ones(g.output_beats, np.bool_),
        latency=g.latency,
        queue=g.queue_beats,
    )


def conv_files(
    node: Conv, source: TensorFormat, geometry: ConvGeometry, prefix: str
) -> dict[str, str]:
    """Return the memory images of the cell: file name, beginning with ``prefix``, to text."""
    weights = node.weights
    select = _selection(weights)
    bits = accumulator_bits(node, source)
    texts = {
        "weights.mem": lanes_text(weight_words(weights, geometry), weights.bits),
        "requant.mem": requant_text(node.requant, node.bias, bits, geometry),
    }
    if select.bits:
        words = group_words(select.values, geometry)
        texts["select.mem"] = lanes_text(words.values, select.bits)
    if not select.affine:
        # Unused table numbers repeat the last table: any value would do.
        rows = np.minimum(np.arange(1 << select.bits), len(select.tables) - 1)
        texts["decode.mem"] = mem_text([(select.tables[rows].reshape(-1), table_bits(weights))])
    if weights.multiplier_bits:
        factors = group_words(weights.multipliers, geometry)
        texts["factor.mem"] = lanes_text(factors.values, weights.multiplier_bits)
    if source.codebook is not None:
        texts["codebook.mem"] = mem_text([(source.codebook, source.decoded_bits)])
    if node.table is not None:
        texts["table.mem"] = mem_text([(node.table.astype(np.int64), node.output.bits)])
    return {prefix + name: text for name, text in texts.items()}


def conv_file_parameters(files: dict[str, str], prefix: str) -> dict[str, Parameter]:
    """Return the parameters that name the memory files; empty where there is none."""
    names = ("weights", "decode", "select", "factor", "requant", "codebook", "table")
    return {
        f"{name.capitalize().removesuffix('s')}File": (
            f"{prefix}{name}.mem" if f"{prefix}{name}.mem" in files else ""
        )
        for name in names
    }


def conv_parameters(node: Conv, source: TensorFormat, g: ConvGeometry) -> dict[str, Parameter]:
    """Return the parameters of ``nf_conv`` besides the file names, in the module's order."""
    weights = node.weights
    select = _selection(weights)
    selects = group_words(select.values, g)
    factors = group_words(weights.multipliers, g)
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
        "PixelsPerBeat": 1,
        "UseDsp": int(g.use_dsp),
        "RequantLanes": g.requant_lanes,
        "BufferPixels": g.buffer_pixels,
        "InBits": source.bits,
        "ActBits": source.decoded_bits if source.codebook is not None else source.bits,
        "ZeroCode": source.zero_code,
        "WeightBits": weights.bits,
        "SelectBits": select.bits,
        "AffineSelect": int(select.affine),
        **_word_parameters("Select", selects),
        "FactorBits": weights.multiplier_bits,
        **_word_parameters("Factor", factors),
        "PartBits": sum_bits(node, source),
        "OperandBits": table_bits(weights),
        "AccBits": accumulator_bits(node, source),
        "ShiftLow": shift_low,
        "ShiftHigh": shift_high,
        "PreBits": node.requant.bits,
        "Low": node.requant.low,
        "High": node.requant.high,
        "OutBits": node.output.bits,
    }


def _load_image(node: Conv, g: ConvGeometry) -> LoadImage:
    words = weight_words(node.weights, g)
    bits = node.weights.bits
    return LoadImage(words.shape[1] * bits, words.shape[0], load_words(words, bits))


def _word_parameters(what: str, words: GroupWords) -> dict[str, Parameter]:
    return {
        f"{what}ByChannel": int(words.by_channel),
        f"{what}Taps": words.taps,
        f"{what}Depth": len(words.values),
    }


@dataclass(frozen=True, eq=False)
class _Selection:
    """How a weight finds its decode table.

    Attributes:
        tables: int64 [T, 2**bits], the distinct tables.
        bits: Stored bits of a selection; 0 for a single table, which is constant logic.
        affine: Whether a selection is an offset, which the cell adds, else a table's number.
        values: Selections in the shape of the groups.
    """

    tables: IntArray
    bits: int
    affine: bool
    values: IntArray


def _selection(weights: Weights) -> _Selection:
    tables, numbers = group_tables(weights)
    if len(tables) == 1:
        return _Selection(tables, 0, False, numbers)
    if is_affine(tables):
        bits = signed_bits(int(tables[:, 0].min()), int(tables[:, 0].max()))
        return _Selection(tables, bits, True, tables[numbers, 0])
    return _Selection(tables, (len(tables) - 1).bit_length(), False, numbers)

# SPDX-License-Identifier: Apache-2.0
"""Convolution of every form: blocks of rows as exact matrix products, requantized in place."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.golden.decode import Codes, code_dtype
from sim.golden.layer import Layer
from sim.golden.requantize import requantize
from sim.golden.scratch import Scratch

# Bytes of gathered activations per block: what a second-level cache holds beside the weights.
_BLOCK_BYTES = 1 << 20

FloatArray = npt.NDArray[Any]


def output_size(layer: Layer, height: int, width: int) -> tuple[int, int]:
    """Return (H, W) of the layer's output for a source of ``height`` x ``width``."""
    top, left, bottom, right = layer.padding
    rows = (height + top + bottom - layer.kernel[0]) // layer.stride[0] + 1
    columns = (width + left + right - layer.kernel[1]) // layer.stride[1] + 1
    return rows, columns


def evaluate_layer(
    layer: Layer,
    codes: Codes,
    scratch: Scratch,
    accumulators: npt.NDArray[np.int32] | None = None,
) -> Codes:
    """Evaluate a layer on one frame.

    Args:
        layer: The prepared layer.
        codes: Source codes [C, H, W].
        scratch: Work memory.
        accumulators: int32 [F, OH, OW] to fill with the sums, bias included; ``None`` to skip.

    Returns:
        Output codes [F, OH, OW], uint8 (uint16 above 8 bits).
    """
    rows, columns = output_size(layer, codes.shape[1], codes.shape[2])
    result = np.empty((layer.filters, rows, columns), code_dtype(layer.output_bits))
    if layer.kernel == (1, 1) and layer.stride == (1, 1) and not any(layer.padding):
        # Without a window the plane is one long row: no borders, no unused columns.
        rows, columns = 1, rows * columns
        planes, pitch = codes.reshape(codes.shape[0], 1, 1, -1), columns
    else:
        planes, pitch = _phases(layer, codes, rows, scratch)
    target = result.reshape(layer.filters, rows, columns)
    sums = None if accumulators is None else accumulators.reshape(target.shape)
    depth = layer.groups * layer.matrix.shape[2]
    # Per pixel: the gathered activations, and the float64 sums that are requantized.
    pixel_bytes = max(depth * layer.matrix.itemsize, layer.filters * 8)
    step = max(1, _BLOCK_BYTES // pixel_bytes)
    if rows == 1:
        blocks = [(0, 1, x, min(step, columns - x)) for x in range(0, columns, step)]
    else:
        high = max(1, step // pitch)
        blocks = [(y, min(high, rows - y), 0, columns) for y in range(0, rows, high)]
    for y, high, x, wide in blocks:
        length = wide if rows == 1 else high * pitch
        start = y * pitch + x
        dots = _product(layer, planes, pitch, start, length, scratch)
        # Columns between the output width and the pitch are by-products of the flat layout.
        place = (slice(None), slice(y, y + high), slice(x, x + wide))
        if sums is not None:
            kept = dots.reshape(layer.filters, high, -1)[:, :, :wide]
            sums[place] = kept.astype(np.int64) + layer.bias[:, None, None]
        _finish(layer, dots, high, target[place], scratch)
    return result


def _phases(layer: Layer, codes: Codes, rows: int, scratch: Scratch) -> tuple[FloatArray, int]:
    """Return the decoded, padded source split by stride phase, [C, SH, SW, L], and its row pitch.

    Element (ph, pw) at ``i * pitch + j`` is the padded pixel (i*SH + ph, j*SW + pw), so that every
    kernel position reads one contiguous run per channel, whatever the stride.
    """
    channels, height, width = codes.shape
    top, left, bottom, right = layer.padding
    vertical, horizontal = layer.stride
    pitch = -(-(width + left + right) // horizontal)
    # One row more: the last run of a kernel position to the right ends beyond the last row.
    high = max(-(-(height + top + bottom) // vertical), rows) + 1
    shape = (channels, vertical, horizontal, high, pitch)
    planes = scratch.take("planes", shape, layer.matrix.dtype)
    planes[...] = layer.zero
    for ph in range(vertical):
        first_row = (ph - top) % vertical
        for pw in range(horizontal):
            first_column = (pw - left) % horizontal
            part = codes[:, first_row::vertical, first_column::horizontal]
            i, j = (first_row + top) // vertical, (first_column + left) // horizontal
            place = planes[:, ph, pw, i : i + part.shape[1], j : j + part.shape[2]]
            place[...] = part if layer.plain else layer.values[part]
    return planes.reshape(channels, vertical, horizontal, high * pitch), pitch


def _runs(
    layer: Layer, planes: FloatArray, pitch: int, start: int, length: int
) -> list[FloatArray]:
    """Return, for every kernel position, the activations [C, length] that meet its weights."""
    vertical, horizontal = layer.stride
    runs = []
    for row in range(layer.kernel[0]):
        for column in range(layer.kernel[1]):
            begin = start + row // vertical * pitch + column // horizontal
            runs.append(planes[:, row % vertical, column % horizontal, begin : begin + length])
    return runs


def _product(
    layer: Layer, planes: FloatArray, pitch: int, start: int, length: int, scratch: Scratch
) -> FloatArray:
    """Return dot products [F, length] as one matrix product per group."""
    groups, per_group, depth = layer.matrix.shape
    dtype = layer.matrix.dtype
    runs = _runs(layer, planes, pitch, start, length)
    gathered = scratch.take("gathered", (groups, len(runs), depth // len(runs), length), dtype)
    for position, run in enumerate(runs):
        grouped = run.reshape(groups, -1, length)
        if planes.dtype == dtype or layer.plain:
            gathered[:, position] = grouped
        else:
            gathered[:, position] = layer.values[grouped]
    dots = scratch.take("dots", (groups, per_group, length), dtype)
    np.matmul(layer.matrix, gathered.reshape(groups, depth, length), out=dots)
    return dots.reshape(layer.filters, length)


def _finish(
    layer: Layer, dots: FloatArray, high: int, target: npt.NDArray[Any], scratch: Scratch
) -> None:
    """Requantize a block of dot products [F, high * pitch] into ``target`` [F, high, OW]."""
    wide = target.shape[2]
    codes: npt.NDArray[Any]
    if layer.fused is not None:
        values = scratch.take("values", dots.shape, np.float64)
        values[...] = dots
        layer.fused.apply(values)
        codes = values
    else:
        codes = requantize(dots.astype(np.int64) + layer.bias[:, None], layer.requant)
    block = codes.reshape(layer.filters, high, -1)[:, :, :wide]
    if layer.table is None:
        np.copyto(target, block, casting="unsafe")
        return
    index = scratch.take("index", target.shape, np.int32)
    np.copyto(index, block, casting="unsafe")
    found = scratch.take("found", target.shape, layer.table.dtype)
    # mode="clip" only avoids a copy: every index is inside the table by the requantizer's clip.
    np.take(layer.table, index, out=found, mode="clip")
    np.copyto(target, found, casting="unsafe")

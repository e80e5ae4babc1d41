# SPDX-License-Identifier: Apache-2.0
"""The C++ header with one layer's constant arrays: packed weight codes, tables, requantizer."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hls.cell import ConvCell

_CHUNK_TYPES = {8: "uint8_t", 16: "uint16_t", 32: "uint32_t", 64: "uint64_t"}
_PER_LINE = 16

UintArray = npt.NDArray[np.uint64]


def chunk_type(cell: ConvCell) -> str:
    """Return the C++ type of one chunk of a weight word."""
    return _CHUNK_TYPES[cell.chunk_bits]


def pack_weights(cell: ConvCell) -> UintArray:
    """Return the weight memory, uint64 [folds * window words, chunks].

    Word ``fold * window_words + k`` holds the PE x SIMD codes of filter fold ``fold`` at window
    word ``k`` (kernel row, kernel column, channel word; channel word fastest); code (p, s) sits at
    bit ``(p * SIMD + s) * weight_bits``; chunk j is bits ``j * chunk_bits`` and up.
    """
    weights = cell.node.weights
    _, channels, kh, kw = weights.shape
    # [fold, p, channel word, s, kh, kw] -> [fold, kh, kw, channel word, p, s]
    split = weights.codes.reshape(cell.folds, cell.pe, channels // cell.simd, cell.simd, kh, kw)
    lanes = split.transpose(0, 4, 5, 2, 1, 3).reshape(-1, cell.pe * cell.simd)
    bits = np.unpackbits(lanes[:, :, None], axis=2, bitorder="little")[:, :, : weights.bits]
    flat = bits.reshape(len(lanes), -1)
    chunks = -(-flat.shape[1] // cell.chunk_bits)
    padded = np.zeros((len(flat), chunks * cell.chunk_bits), np.uint8)
    padded[:, : flat.shape[1]] = flat
    raw = np.packbits(padded, axis=1, bitorder="little")
    return raw.view(f"<u{cell.chunk_bits // 8}").astype(np.uint64)


def data_header(cell: ConvCell, name: str, note: str) -> str:
    """Return the text of the layer's data header.

    Args:
        cell: The folded convolution.
        name: Prefix of every array; a C identifier.
        note: One line of provenance for the head of the file.
    """
    node, requant = cell.node, cell.node.requant
    lanes = (cell.folds, cell.pe)
    # Granularity layer (and groups that agree) broadcast; the cell has one selector per filter.
    selectors = np.broadcast_to(node.weights.selectors, node.weights.shape)[:, 0, 0, 0]
    codebook = cell.source.codebook or (0,)
    table = node.table if node.table is not None else np.zeros(1, np.uint16)
    guard = f"{name.upper()}_DATA_H_"
    weights = pack_weights(cell)
    arrays = [
        _array(chunk_type(cell), f"{name}_weights", weights, "0x{:x}"),
        _array("short", f"{name}_tables", node.weights.tables),
        _array("unsigned char", f"{name}_selectors", selectors.reshape(lanes)),
        _array("int", f"{name}_bias", node.bias.reshape(lanes), "{:d}"),
        _array("int", f"{name}_multipliers", requant.multiplier.reshape(lanes)),
        _array("unsigned char", f"{name}_shifts", requant.shift.reshape(lanes)),
        _array("int", f"{name}_zero_points", requant.zero_point.reshape(lanes)),
        _array("unsigned short", f"{name}_activation", table),
        _array("unsigned short", f"{name}_codebook", np.array(codebook)),
    ]
    return "\n".join(
        [
            "// SPDX-License-Identifier: Apache-2.0",
            f"// {note}",
            f"// Weight word: code (p, s) at bit (p * {cell.simd} + s) * {node.weights.bits}, in "
            f"chunks of {cell.chunk_bits} bits, lowest first.",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#include <stdint.h>",
            "",
            *arrays,
            "#endif",
            "",
        ]
    )


def _array(ctype: str, name: str, values: npt.NDArray[np.generic], form: str = "{:d}") -> str:
    """Return the definition of a constant array of one or two dimensions."""
    extents = "".join(f"[{n}]" for n in values.shape)
    rows = values.reshape(-1, values.shape[-1]).tolist()
    suffix = "ull" if ctype == "uint64_t" else ""
    if values.ndim == 1:
        body = _lines(_cell(v, form, suffix) for v in rows[0])
    elif values.shape[1] == 1:
        body = _lines("{" + _cell(row[0], form, suffix) + "}" for row in rows)
    else:
        body = ",\n".join(
            "{" + ", ".join(_cell(v, form, suffix) for v in row) + "}" for row in rows
        )
    return f"static const {ctype} {name}{extents} = {{\n{body}}};\n"


def _cell(value: int, form: str, suffix: str) -> str:
    # The most negative int has no literal of its own type in C++.
    return "(-2147483647 - 1)" if value == -(1 << 31) else form.format(value) + suffix


def _lines(items: Iterable[str]) -> str:
    values = list(items)
    rows = (values[i : i + _PER_LINE] for i in range(0, len(values), _PER_LINE))
    return ",\n".join(", ".join(row) for row in rows)

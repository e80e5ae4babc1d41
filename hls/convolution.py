# SPDX-License-Identifier: Apache-2.0
"""The kernel of a convolution: packed weight memory, requantizer constants, configuration."""

import numpy as np
import numpy.typing as npt

from hls.cell import ConvCell, constants_of
from hls.kernel import ConstantArray, Kernel
from hls.streams import Stream

_CHUNK_TYPES = {8: "uint8_t", 16: "uint16_t", 32: "uint32_t", 64: "uint64_t"}


def conv_kernel(cell: ConvCell) -> Kernel:
    """Return the kernel ``nf::conv`` of a folded convolution."""
    node, requant = cell.node, cell.node.requant
    weights = node.weights
    lanes = (cell.folds, cell.pe)
    factors = np.ones((1, 1), np.uint8)
    if weights.multiplier_bits:
        factors = cell.group_memory(weights.multipliers)
    table = node.table if node.table is not None else np.zeros(1, np.uint16)
    chunk = _CHUNK_TYPES[cell.chunk_bits]
    return Kernel(
        function="nf::conv",
        header="nf_conv.h",
        inputs=(Stream(cell.in_shape, cell.lanes, cell.source.bits),),
        outputs=(Stream(cell.out_shape, cell.pe, node.output.bits),),
        constants=constants_of(cell),
        interval_cycles=cell.interval_cycles,
        typedefs={"chunk_t": chunk},
        arrays=(
            ConstantArray("weights", chunk, pack_weights(cell), "weights", hexadecimal=True),
            ConstantArray("tables", "short", weights.tables),
            ConstantArray("selectors", "unsigned char", cell.group_memory(weights.selectors)),
            ConstantArray("factors", "unsigned char", factors),
            ConstantArray("bias", "int", node.bias.reshape(lanes)),
            ConstantArray("multipliers", "int", requant.multiplier.reshape(lanes)),
            ConstantArray("shifts", "unsigned char", requant.shift.reshape(lanes)),
            ConstantArray("zeros", "int", requant.zero_point.reshape(lanes)),
            ConstantArray("activation", "unsigned short", table, "lookup"),
            codebook_array(cell.source.codebook),
        ),
    )


def codebook_array(codebook: tuple[int, ...] | None, name: str = "codebook") -> ConstantArray:
    """Return the array of a format's codebook; one unread entry for a plain format."""
    return ConstantArray(name, "unsigned short", np.array(codebook or (0,)), "lookup")


def weight_note(cell: ConvCell) -> str:
    """Return the line that says how weight words are packed."""
    return (
        f"Weight word: code (p, s) at bit (p * {cell.simd} + s) * {cell.node.weights.bits}, in "
        f"chunks of {cell.chunk_bits} bits, lowest first."
    )


def pack_weights(cell: ConvCell) -> npt.NDArray[np.uint64]:
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

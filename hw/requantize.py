# SPDX-License-Identifier: Apache-2.0
"""The requantize node as a cell: decode, then one requantizer of constant parameters per lane."""

from hw.beatwise import beatwise_process
from hw.cell import Cell, Stream
from hw.lanes import equal_lanes
from hw.memories import mem_text
from quant.formats import TensorFormat
from quant.nodes import Requantize
from quant.schedule import Folding

# Cycles from taking a beat to its offer: decoder, seven of the requantizer, queue.
LATENCY = 9


def requantize_cell(
    node: Requantize,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
) -> Cell:
    """Return the cell of a requantize node.

    Args:
        node: The node.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        folding: PE = SIMD, the channels of a beat; divides C.
        prefix: Begins the names of the memory files.

    Returns:
        A cell of module ``nf_requantize``.

    Raises:
        PlanError: The folding does not fit.
    """
    lanes = equal_lanes(node.name, folding, in_shape[0])
    stream = Stream(in_shape, lanes, source.bits)
    requant = node.requant
    files = {}
    if source.codebook is not None:
        files[f"{prefix}codebook.mem"] = mem_text([(source.codebook, source.decoded_bits)])
    return Cell(
        module="nf_requantize",
        parameters={
            "Lanes": lanes,
            "InBits": source.bits,
            "ActBits": source.decoded_bits if files else source.bits,
            "ZeroIn": source.zero_point,
            "Multiplier": int(requant.multiplier[0]),
            "Shift": int(requant.shift[0]),
            "ZeroOut": int(requant.zero_point[0]),
            "Low": requant.low,
            "High": requant.high,
            "OutBits": requant.bits,
            "CodebookFile": next(iter(files), ""),
        },
        inputs=(stream,),
        output=Stream(in_shape, lanes, requant.bits),
        stages=(beatwise_process(stream.beats, 1, LATENCY, LATENCY + 1),),
        files=files,
    )

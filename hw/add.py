# SPDX-License-Identifier: Apache-2.0
"""The addition as a cell: both inputs decoded, scaled, summed and requantized beat by beat."""

from collections.abc import Sequence

from hw.beatwise import beatwise_process
from hw.cell import Cell, Parameter, Stream
from hw.lanes import equal_lanes
from hw.memories import mem_text
from quant.formats import TensorFormat
from quant.nodes import Add
from quant.schedule import Folding

# Cycles from taking a beat to its offer: decoder, two of the products, sum, shift, clip, queue.
LATENCY = 7


def add_cell(
    node: Add,
    in_shapes: Sequence[tuple[int, int, int]],
    sources: Sequence[TensorFormat],
    folding: Folding,
    prefix: str,
) -> Cell:
    """Return the cell of an addition.

    Args:
        node: The addition.
        in_shapes: (C, H, W) of both inputs, which are equal.
        sources: Formats of their codes, which may differ in everything.
        folding: PE = SIMD, the channels of a beat; divides C.
        prefix: Begins the names of the memory files.

    Returns:
        A cell of module ``nf_add``.

    Raises:
        PlanError: The folding does not fit.
    """
    shape = in_shapes[0]
    lanes = equal_lanes(node.name, folding, shape[0])
    streams = tuple(Stream(shape, lanes, source.bits) for source in sources)
    files: dict[str, str] = {}
    names: dict[str, Parameter] = {}
    for k, source in enumerate(sources):
        names[f"CodebookFile{k}"] = ""
        if source.codebook is not None:
            names[f"CodebookFile{k}"] = file = f"{prefix}codebook{k}.mem"
            files[file] = mem_text([(source.codebook, source.decoded_bits)])
    decoded = [s.bits if s.codebook is None else s.decoded_bits for s in sources]
    return Cell(
        module="nf_add",
        parameters={
            "Lanes": lanes,
            "InBits0": sources[0].bits,
            "InBits1": sources[1].bits,
            "ActBits0": decoded[0],
            "ActBits1": decoded[1],
            "Zero0": sources[0].zero_point,
            "Zero1": sources[1].zero_point,
            "Multiplier0": node.multipliers[0],
            "Multiplier1": node.multipliers[1],
            "Shift": node.shift,
            "ZeroOut": node.output.zero_point,
            "Low": node.low,
            "High": node.high,
            "OutBits": node.output.bits,
            **names,
        },
        inputs=streams,
        output=Stream(shape, lanes, node.output.bits),
        stages=(beatwise_process(streams[0].beats, 2, LATENCY, LATENCY + 1),),
        files=files,
    )

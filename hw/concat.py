# SPDX-License-Identifier: Apache-2.0
"""The concatenation as a cell: the beats of a pixel source by source."""

from collections.abc import Sequence

import numpy as np

from hw.cell import Cell, Stream
from hw.lanes import equal_lanes
from hw.memories import mem_text
from hw.process import Port, Process
from quant.formats import TensorFormat
from quant.nodes import Concat
from quant.schedule import Folding

# Cycles from taking a beat to its offer: the queue.
LATENCY = 1


def concat_cell(
    node: Concat,
    in_shapes: Sequence[tuple[int, int, int]],
    sources: Sequence[TensorFormat],
    folding: Folding,
    prefix: str,
) -> Cell:
    """Return the cell of a concatenation.

    Args:
        node: The concatenation, of two or more tensors.
        in_shapes: (C, H, W) of every input; H and W are equal.
        sources: Formats of their codes, which are equal.
        folding: PE = SIMD, the channels of a beat; divides every C.
        prefix: Begins the names of the memory files.

    Returns:
        A cell of module ``nf_concat``.

    Raises:
        PlanError: The folding does not fit.
    """
    lanes = equal_lanes(node.name, folding, *(shape[0] for shape in in_shapes))
    bits = sources[0].bits
    streams = tuple(Stream(shape, lanes, bits) for shape in in_shapes)
    _, height, width = in_shapes[0]
    output = Stream((sum(shape[0] for shape in in_shapes), height, width), lanes, bits)
    last = np.array([stream.folds - 1 for stream in streams])
    count_bits = max(1, int(last.max()).bit_length())
    file = f"{prefix}beats.mem"
    # Which source each step of a frame reads.
    turns = np.tile(np.repeat(np.arange(len(streams)), last + 1), height * width)
    ports = tuple(
        Port(beats=stream.beats, capacity=0, needed=np.cumsum(turns == k))
        for k, stream in enumerate(streams)
    )
    return Cell(
        module="nf_concat",
        parameters={
            "Sources": len(streams),
            "BeatBits": output.beat_bits,
            "CountBits": count_bits,
            "BeatsFile": file,
        },
        inputs=streams,
        output=output,
        stages=(Process(1, ports, np.ones(output.beats, np.bool_), LATENCY, LATENCY + 1),),
        files={file: mem_text([(last, count_bits)])},
    )

# SPDX-License-Identifier: Apache-2.0
"""What stands on an edge between two nodes as cells: the FIFO and the width converter."""

from typing import Literal, assert_never

import numpy as np

from hw.beatwise import beatwise_process
from hw.cell import Cell, Stream
from hw.divisors import divisors_near
from hw.process import Port, Process
from quant.errors import PlanError

FifoStyle = Literal["shift", "distributed", "block", "ultra"]
"""What a FIFO keeps its beats in."""

SHIFT_DEPTH = 32
"""Places of the largest shift register that one LUT makes."""

SHIFT_BITS = 16
"""Widest beat for shift registers. A LUT is one bit of a shift register or almost two of a memory
of 32 words, whose pointers cost as much as that saves up to here; and simulation moves every bit.
"""

BLOCK_LATENCY = 4
"""Cycles through an empty FIFO in block or ultra memory: two of the memory, two of the queue."""

BLOCK_AHEAD = 4
"""Places of the queue behind the memory, which are part of the FIFO's depth."""

# LUTs of one 64x7 memory in logic, and those LUTs that a block of 18 Kbit is worth: what the
# UltraScale+ parts have of the one for each of the other.
_LUTS_PER_RAM64 = 8
_LUTS_PER_BLOCK = 160

# Shapes of a block of 18 Kbit with one read and one write port: (words, bits).
_BLOCK_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


def fifo_style(depth: int, beat_bits: int) -> FifoStyle:
    """Return what a FIFO of ``depth`` beats of ``beat_bits`` bits is best kept in.

    A shift register up to 32 narrow beats; else memory in logic while it takes fewer LUTs than the
    blocks of memory that it spares are worth. Ultra memory is never chosen: a plan asks for it.
    """
    if depth <= SHIFT_DEPTH and beat_bits <= SHIFT_BITS:
        return "shift"
    luts = -(-depth // 64) * -(-beat_bits // 7) * _LUTS_PER_RAM64
    words = max(2, depth - BLOCK_AHEAD + 1)
    blocks = min(-(-words // rows) * -(-beat_bits // bits) for rows, bits in _BLOCK_SHAPES)
    return "distributed" if luts <= _LUTS_PER_BLOCK * blocks else "block"


def fifo_cell(stream: Stream, depth: int, style: FifoStyle | Literal["auto"] = "auto") -> Cell:
    """Return a FIFO of exactly ``depth`` places.

    Full throughput takes a depth above the latency: 2 for ``shift`` and ``distributed``, 5 for
    ``block`` and ``ultra``.

    Args:
        stream: The stream through it.
        depth: Beats that it holds, output registers included; >= 1.
        style: What it keeps them in; ``auto``: ``fifo_style``.

    Returns:
        A cell of module ``nf_stream_fifo``.

    Raises:
        PlanError: The depth is below 1.
    """
    if depth < 1:
        raise PlanError(
            f"a FIFO of {depth} beats cannot be built; at least 1, or leave it out for a wire"
        )
    kept = fifo_style(depth, stream.beat_bits) if style == "auto" else style
    match kept:
        case "shift" | "distributed":
            latency = 1
        case "block" | "ultra":
            latency = BLOCK_LATENCY
        case _:
            assert_never(kept)
    return Cell(
        module="nf_stream_fifo",
        parameters={"BeatBits": stream.beat_bits, "Depth": depth, "Style": kept},
        inputs=(stream,),
        output=stream,
        stages=(beatwise_process(stream.beats, 1, latency, depth),),
    )


def width_cell(stream: Stream, lanes: int) -> Cell:
    """Return the converter of a stream to other lanes.

    Args:
        stream: The stream that comes in.
        lanes: Channels of a beat that leaves; divides the channels, differs from the stream's.

    Returns:
        A cell of module ``nf_width``.

    Raises:
        PlanError: The lanes do not divide the channels, or nothing is to convert.
    """
    channels, height, width = stream.shape
    if channels % lanes:
        near = ", ".join(str(d) for d in divisors_near(channels, lanes))
        raise PlanError(
            f"a stream of {channels} channels cannot have {lanes} lanes; divisors near {lanes}: "
            f"{near}"
        )
    if lanes == stream.lanes:
        raise PlanError(f"a stream of {lanes} lanes needs no converter to {lanes}; use a wire")
    output = Stream(stream.shape, lanes, stream.bits)
    # A pixel ends with nothing left over, so the steps of one pixel repeat. The side of fewer lanes
    # moves a beat in every step.
    steps = np.arange(1, max(stream.folds, output.folds) + 1)
    if lanes < stream.lanes:
        taken = -(-steps * lanes // stream.lanes)
        given = steps
    else:
        taken = steps
        given = steps * stream.lanes // lanes
    pixels = np.arange(height * width)[:, None]
    needed = (pixels * stream.folds + taken).reshape(-1)
    emits = np.tile(np.diff(given, prepend=0) > 0, height * width)
    return Cell(
        module="nf_width",
        parameters={"CodeBits": stream.bits, "LanesIn": stream.lanes, "LanesOut": lanes},
        inputs=(stream,),
        output=output,
        stages=(Process(1, (Port(stream.beats, 0, needed),), emits, 1, 2),),
    )

# SPDX-License-Identifier: Apache-2.0
"""Compare the beats of one stream with the golden tensor of its node."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from hw.cell import Stream
from quant.graph import QGraph
from quant.nodes import (
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
    Split,
    Upsample,
)
from sim.golden import GoldenModel
from sim.stream import BeatArray, pack_beats, unpack_beats

Codes = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Place:
    """One wrong code.

    Attributes:
        frame: Position of the frame in its run.
        channel: Output channel.
        row: Output row.
        column: Output column.
        expected: Golden code.
        got: The hardware's code.
        beat: Beat of the frame that carried it.
    """

    frame: int
    channel: int
    row: int
    column: int
    expected: int
    got: int
    beat: int


@dataclass(frozen=True)
class Comparison:
    """One stream of one run against its golden tensors.

    Attributes:
        values: Codes compared.
        mismatches: Wrong ones; codes that never came, and codes too many, count as wrong.
        missing: Beats that never came.
        surplus: Beats after the last frame.
        first: The first wrong code in stream order, or ``None``; not a code that never came.
    """

    values: int
    mismatches: int
    missing: int
    surplus: int
    first: Place | None


def compare_stream(beats: BeatArray, stream: Stream, golden: list[Codes]) -> Comparison:
    """Compare recorded beats with golden frames.

    Args:
        beats: uint8 [n, bytes], the frames of a run one after the other; the last ones may lack.
        stream: Shape, lanes and bits.
        golden: Codes [C, H, W] per frame of the run.
    """
    mismatches, missing, first = 0, 0, None
    for index, codes in enumerate(golden):
        got = np.asarray(beats[index * stream.beats : (index + 1) * stream.beats])
        expected = pack_beats(codes, stream.bits, stream.lanes)
        lack = stream.beats - len(got)
        missing += lack
        mismatches += lack * stream.lanes
        if np.array_equal(got, expected[: len(got)]):
            continue
        whole = np.concatenate([got, expected[len(got) :]])
        answer = unpack_beats(whole, stream.shape, stream.bits, stream.lanes)
        wrong = (answer != codes).transpose(1, 2, 0)
        mismatches += int(wrong.sum())
        if first is None:
            row, column, channel = (int(axis[0]) for axis in np.nonzero(wrong))
            _, _, width = stream.shape
            first = Place(
                index,
                channel,
                row,
                column,
                int(codes[channel, row, column]),
                int(answer[channel, row, column]),
                (row * width + column) * stream.folds + channel // stream.lanes,
            )
    surplus = max(0, len(beats) - len(golden) * stream.beats)
    values = len(golden) * stream.beats * stream.lanes
    return Comparison(values, mismatches + surplus * stream.lanes, missing, surplus, first)


def saturated_codes(node: Node, codes: Codes, bits: int) -> int:
    """Return how many golden codes of a node lie at the ends of the range that it can give.

    Args:
        node: The node.
        codes: Its golden codes, any shape.
        bits: Bits of a code.
    """
    match node:
        case Conv() | Linear():
            table = node.table
            low, high = (
                (node.requant.low, node.requant.high)
                if table is None
                else (int(table.min()), int(table.max()))
            )
        case AvgPool() | Requantize():
            low, high = node.requant.low, node.requant.high
        case Add():
            low, high = node.low, node.high
        case Lookup():
            low, high = int(node.table.min()), int(node.table.max())
        case Input() | MaxPool() | Concat() | Split() | Upsample() | Output():
            low, high = 0, (1 << bits) - 1
        case _:
            assert_never(node)
    return int(np.sum((codes == low) | (codes == high)))


def golden_accumulator(graph: QGraph, name: str, codes: Codes, place: Place) -> int | None:
    """Return the golden sum behind one code; ``None`` for nodes that have none.

    Args:
        graph: The integer graph.
        name: Node.
        codes: Input codes [C, H, W] of the frame.
        place: Where the code is.
    """
    if not isinstance(graph.node(name), Conv | Linear | AvgPool):
        return None
    run = GoldenModel(graph).run(codes[None], keep=(), accumulators=(name,))
    return int(run.accumulators[name][0, place.channel, place.row, place.column])

# SPDX-License-Identifier: Apache-2.0
"""Recorded beats against golden tensors: the first wrong code, missing and surplus beats."""

import numpy as np
import pytest

from hw.cell import Stream
from quant.nodes import AvgPool, Conv
from quant.samples import sample_codes, sample_graph
from sim.golden import GoldenModel
from sim.stream import pack_beats
from sim.verify.tensors import (
    Comparison,
    Place,
    compare_stream,
    golden_accumulator,
    saturated_codes,
)

STREAM = Stream((6, 4, 5), 3, 5)
FRAMES = [sample_codes(seed, STREAM.shape, STREAM.bits) for seed in (1, 2)]
VALUES = 2 * 6 * 4 * 5


def beats_of(frames):
    return np.concatenate([pack_beats(f, STREAM.bits, STREAM.lanes) for f in frames])


def test_equal():
    assert compare_stream(beats_of(FRAMES), STREAM, FRAMES) == Comparison(VALUES, 0, 0, 0, None)


def test_first_wrong_code_in_stream_order():
    wrong = [frame.copy() for frame in FRAMES]
    wrong[1][0, 3, 1] ^= 4  # a later row, an earlier channel
    wrong[1][5, 2, 4] ^= 1
    found = compare_stream(beats_of(wrong), STREAM, FRAMES)
    expected = int(FRAMES[1][5, 2, 4])
    assert found == Comparison(
        VALUES, 2, 0, 0, Place(1, 5, 2, 4, expected, expected ^ 1, beat=(2 * 5 + 4) * 2 + 1)
    )


def test_beats_that_never_came_and_beats_too_many():
    whole = beats_of(FRAMES)
    assert compare_stream(whole[:-3], STREAM, FRAMES) == Comparison(VALUES, 9, 3, 0, None)
    assert compare_stream(whole[:0], STREAM, FRAMES) == Comparison(VALUES, VALUES, 80, 0, None)
    more = np.concatenate([whole, whole[:2]])
    assert compare_stream(more, STREAM, FRAMES) == Comparison(VALUES, 6, 0, 2, None)
    # What came of a frame that was cut short is still compared.
    whole[41, 0] ^= 1
    found = compare_stream(whole[:-1], STREAM, FRAMES)
    assert (found.mismatches, found.missing) == (4, 1)
    assert (found.first.frame, found.first.beat, found.first.channel) == (1, 1, 3)


@pytest.fixture(scope="module")
def graph():
    return sample_graph(3)


def test_golden_accumulators(graph):
    codes = sample_codes(5, graph.input.shape, 8)
    names = [n.name for n in graph.nodes if isinstance(n, Conv | AvgPool)]
    run = GoldenModel(graph).run(codes[None], keep="all", accumulators=names)
    for name in names:
        sums = run.accumulators[name][0]
        place = Place(0, sums.shape[0] - 1, 1, 0, 0, 0, 0)
        assert golden_accumulator(graph, name, codes, place) == sums[-1, 1, 0]
    assert golden_accumulator(graph, "pool", codes, Place(0, 0, 0, 0, 0, 0, 0)) is None


def test_saturated_codes(graph):
    codes = np.arange(256).reshape(1, 16, 16)
    ends = {"stem": 2, "depthwise": 2, "sum": 2, "pool": 2, "bend": 2, "retarget": 2, "mean": 2}
    for name, count in ends.items():
        assert saturated_codes(graph.node(name), codes, 8) == count, name
    stem, relu = graph.node("stem"), graph.node("depthwise")
    for node, low, high in (
        (stem, stem.table.min(), stem.table.max()),
        (relu, relu.requant.low, relu.requant.high),
    ):
        assert saturated_codes(node, np.array([low, low, high, (low + high) // 2]), 8) == 3

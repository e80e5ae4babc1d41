# SPDX-License-Identifier: Apache-2.0
"""The judge: counts, and the first wrong value in stream order, as one line."""

import json

import numpy as np
import pytest

from quant.samples import sample_conv
from sim.golden import run_conv
from sim.verify import Case, judge

REPLAY = "nibbleflow verify build --nodes p3.cv1 --rtl --seed 1"


@pytest.fixture(scope="module")
def case():
    node, source = sample_conv(5, 6, 12, 3, table=True, names=("p3.cv1", "x"))
    frames = np.random.default_rng(2).integers(0, 256, (2, 6, 9, 10), dtype=np.uint8)
    expected, sums = run_conv(node, source, frames)
    return Case(node, source, "9x10 sub-map", frames, expected, sums)


def judged(case, outputs, **more):
    return judge(case, "rtl", outputs, replay=REPLAY, seconds=1.5, **more)


def test_equal(case):
    verdict = judged(case, case.expected.copy(), cycles=1234)
    assert verdict.ok
    assert (verdict.mismatches, verdict.first, verdict.failure) == (0, None, None)
    assert verdict.values == case.expected.size == 2 * 12 * 90
    assert verdict.distinct == len(set(case.expected.ravel().tolist())) > 10
    assert verdict.saturated == case.saturated
    assert (verdict.name, verdict.engine, verdict.case) == ("p3.cv1", "rtl", "9x10 sub-map")
    assert (verdict.cycles, verdict.seconds) == (1234, 1.5)


def test_other_types_compare_by_value(case):
    assert judged(case, case.expected.astype(np.int64)).ok
    wrapped = case.expected.astype(np.int64)
    wrapped[0, 0, 0, 0] += 256  # equal only modulo 8 bits
    verdict = judged(case, wrapped)
    assert verdict.mismatches == 1
    assert verdict.first.got == verdict.first.expected + 256


# Each before all later ones in stream order; memory order [N, F, H, W] would say otherwise.
STREAM = [(0, 11, 0, 0), (0, 3, 0, 1), (0, 2, 4, 9), (0, 7, 4, 9), (0, 0, 5, 0), (1, 0, 0, 0)]


@pytest.mark.parametrize("start", range(len(STREAM)))
def test_first_in_stream_order(case, start):
    outputs = case.expected.copy()
    for place in STREAM[start:]:
        outputs[place] ^= 1
    first = judged(case, outputs).first
    assert (first.frame, first.channel, first.row, first.column) == STREAM[start]
    assert first.wrong == len(STREAM) - start
    assert first.values == case.expected.size
    assert first.expected == case.expected[STREAM[start]]
    assert first.got == case.expected[STREAM[start]] ^ 1
    assert first.accumulator == case.accumulators[STREAM[start]]


def test_message(case):
    outputs = case.expected.astype(np.int64)
    outputs[0, 5, 3, 7] = 300
    outputs[1] += 1
    cycles = np.arange(outputs.size).reshape(outputs.shape) + 18_204
    verdict = judged(case, outputs, beat_cycles=cycles)
    assert not verdict.ok
    assert str(verdict.first) == (
        f"'p3.cv1'[0, 5, 3, 7]: rtl 300, golden {case.expected[0, 5, 3, 7]}, accumulator "
        f"{case.accumulators[0, 5, 3, 7]} (1,081 of 2,160 differ; at cycle "
        f"{cycles[0, 5, 3, 7]:,}); replay: {REPLAY}"
    )
    assert str(judged(case, outputs).first) == (
        f"'p3.cv1'[0, 5, 3, 7]: rtl 300, golden {case.expected[0, 5, 3, 7]}, accumulator "
        f"{case.accumulators[0, 5, 3, 7]} (1,081 of 2,160 differ); replay: {REPLAY}"
    )


def test_no_answer_counts_as_all_wrong(case):
    verdict = judged(case, None, failure="stalled at cycle 7")
    assert not verdict.ok
    assert verdict.mismatches == verdict.values
    assert (verdict.first, verdict.failure) == (None, "stalled at cycle 7")
    assert judged(case, None).failure == "gave outputs of shape None, expected (2, 12, 9, 10)"


def test_foreign_shape_is_a_failure(case):
    verdict = judged(case, case.expected[:1])
    assert verdict.failure == "gave outputs of shape (1, 12, 9, 10), expected (2, 12, 9, 10)"
    assert verdict.mismatches == verdict.values


def test_failure_with_right_values_is_not_ok(case):
    verdict = judged(case, case.expected, failure="interval counted 101 cycles, planned 100")
    assert verdict.mismatches == 0
    assert not verdict.ok


def test_json(case):
    outputs = case.expected.copy()
    outputs[0, 1, 2, 3] ^= 8
    value = json.loads(json.dumps(judged(case, outputs).to_json()))
    assert value["mismatches"] == 1
    assert value["first"]["channel"] == 1
    assert value["first"]["replay"] == REPLAY
    assert set(value) >= {"name", "engine", "values", "mismatches", "distinct", "saturated"}

# SPDX-License-Identifier: Apache-2.0
"""Schedules as JSON: there and back, and what is refused."""

import json
import re

import pytest

from quant.errors import InputFileError, PlanError
from quant.samples import sample_graph
from quant.schedule import Folding, Schedule
from quant.schedulestore import parse_schedule, schedule_text

GRAPH = sample_graph(1)
SCHEDULE = Schedule(
    GRAPH.digest,
    250_000_000,
    {"a": Folding(4, 2), "b": Folding(8, 1, 2, "w4a8")},
    {("a", "b"): 17, ("x", "b"): 0},
    {"a.weights": "ultra", "a->b": "block"},
)


def test_there_and_back():
    found = parse_schedule(schedule_text(SCHEDULE), GRAPH, "schedule.json")
    assert found.graph_digest == SCHEDULE.graph_digest
    assert found.clock_hz == 250_000_000
    assert dict(found.folding) == dict(SCHEDULE.folding)
    assert dict(found.fifo_depth) == dict(SCHEDULE.fifo_depth)
    assert dict(found.memory) == dict(SCHEDULE.memory)
    assert schedule_text(found) == schedule_text(SCHEDULE)


def changed(**entries):
    return json.dumps(json.loads(schedule_text(SCHEDULE)) | entries)


FOLDING = {"pe": 1, "simd": 1, "pixels_per_beat": 1, "core": "plain_lut"}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", InputFileError, "s.json is not JSON (line 1: Expecting property name enclosed in "
         "double quotes)"),
        ("[]", InputFileError, "s.json is no schedule; it needs the keys clock_hz, fifo_depth, "
         "folding, graph_digest, memory"),
        (changed(graph_digest="0" * 64), PlanError, "s.json belongs to graph 000000000000, not to "
         f"'{GRAPH.name}' {GRAPH.digest[:12]}; plan this graph again"),
        (changed(clock_hz=-1), InputFileError,
         "s.json: clock_hz is -1; it must be a whole number >= 0"),
        (changed(folding=[]), InputFileError, "s.json: folding must map names to values"),
        (changed(folding={"a": {"pe": 1}}), InputFileError,
         "s.json: the folding of 'a' needs the keys core, pe, pixels_per_beat, simd"),
        (changed(folding={"a": FOLDING | {"core": "x"}}), InputFileError,
         "s.json: 'a' has core 'x'; known are plain_lut, plain_dsp, outer4, pack6, pack12, w4a8"),
        (changed(folding={"a": FOLDING | {"pe": True}}), InputFileError,
         "s.json: pe of 'a' is True; it must be a whole number >= 0"),
        (changed(folding={"a": FOLDING | {"pe": 0}}), PlanError,
         "folding PE=0 SIMD=1 pixels=1 must be >= 1"),
        (changed(fifo_depth={}), InputFileError,
         "s.json: fifo_depth must be a list of [producer, consumer, beats]"),
        (changed(fifo_depth=[["a", 1]]), InputFileError,
         "s.json: FIFO ['a', 1] is not [producer, consumer, beats]"),
        (changed(fifo_depth=[["a", "b", 1.5]]), InputFileError,
         "s.json: FIFO 'a' to 'b' is 1.5; it must be a whole number >= 0"),
        (changed(memory={"a.weights": "big"}), InputFileError,
         "s.json: memory 'a.weights' has style 'big'; known are auto, distributed, block, "
             "ultra, external"),
    ],
)  # fmt: skip
def test_refused(text, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        parse_schedule(text, GRAPH, "s.json")

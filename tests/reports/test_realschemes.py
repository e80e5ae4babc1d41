# SPDX-License-Identifier: Apache-2.0
"""The bench of real layers: its networks and the frames that reach the accumulators' ends."""

import numpy as np
import pytest

from quant.floatgraph import FloatConv
from quant.nodes import Conv
from reports.bench import schemes
from reports.bench.granularity import SCHEMES
from reports.bench.realschemes import CORNERS, counted, extreme_frame, network_of
from reports.bench.runner import Runner
from reports.bench.schemes import GRANULARITIES
from sim.verify import Verdict


def conv(filters, channels, kernel, stride, groups):
    rng = np.random.default_rng(filters)
    weight = rng.laplace(size=(filters, channels // groups, kernel, kernel)).astype(np.float32)
    pad = (kernel // 2,) * 4
    bias = np.zeros(filters, np.float32)
    return FloatConv("c", "x", weight, bias, (stride, stride), pad, groups)


FLOATS = {
    "3x3": conv(4, 8, 3, 1, 1),
    "3x3 stride 2": conv(8, 8, 3, 2, 1),
    "1x1": conv(8, 16, 1, 1, 1),
    "depthwise": conv(8, 8, 3, 1, 8),
}


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_frames_reach_both_ends_of_every_layer(granularity):
    network = network_of(granularity, FLOATS)
    convs = [n for n in network.graph.nodes if isinstance(n, Conv)]
    assert [n.name for n in convs] == [f"{s} {k}" for s in SCHEMES for k in FLOATS]
    for node in convs:
        frame, reached = extreme_frame(node, network.graph.input.shape)
        assert frame.shape == network.graph.input.shape
        # One accumulator per corner at least.
        assert reached >= len(CORNERS), node.name
    used = {str(n.weights.granularity) for n in convs}
    if granularity == "mixture":
        assert used <= {"filter", "f-shape", "c-shape"}
    else:
        assert used == {granularity}


def test_failures_are_counted_and_named():
    def verdict(mismatches, failure):
        return Verdict("n", "rtl", "whole", 10, mismatches, 5, 2, 100, 50, 50, 0.1, failure, None)

    assert counted("rtl", [verdict(0, None), verdict(2, "stood still")]) == {
        "rtl_values": 20,
        "rtl_mismatches": 2,
        "rtl_failure": "stood still",
    }


def test_a_granularity_is_verified_once(tmp_path, monkeypatch):
    calls = []

    def module(_self, name, *arguments, one_core):
        calls.append(arguments)
        assert (name, one_core) == ("reports.bench.realschemes", True)
        return {"pairs": [{"scheme": s, "granularity": arguments[1]} for s in SCHEMES]}

    monkeypatch.setattr(Runner, "module", module)
    runner = Runner(tmp_path, tmp_path, say=print)
    rows = schemes.run(runner)
    assert [(r["granularity"], r["scheme"]) for r in rows] == [
        (g, s) for g in GRANULARITIES for s in SCHEMES
    ]
    assert schemes.run(runner) == rows
    assert len(calls) == 6

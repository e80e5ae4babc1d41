# SPDX-License-Identifier: Apache-2.0
"""The golden model against torch on the lowered integers: two writings of one contract."""

from dataclasses import replace

import numpy as np
import pytest

from quant.nodes import Conv, Requantizer
from quant.samples import sample_codes, sample_graph
from sim.golden import run_golden

lowered = pytest.importorskip("quant.ptq.lowered", reason="torch is not installed")


def both(graph, frames):
    return run_golden(graph, frames, keep="all").tensors, lowered.run_lowered(graph, frames)


@pytest.mark.parametrize("seed", range(8))
def test_every_code_of_every_node_is_equal(seed):
    graph = sample_graph(seed, act_bits=4 + seed % 5, weight_bits=(4, 5, 8, 2)[seed % 4])
    golden, torch_codes = both(graph, sample_codes(seed, (2, 3, 16, 20), 8))
    assert list(golden) == list(torch_codes)
    for name, codes in golden.items():
        assert np.array_equal(codes, torch_codes[name]), name


@pytest.mark.parametrize("value", [0, 255])
def test_constant_frames_are_equal(value):
    golden, torch_codes = both(sample_graph(2), np.full((1, 3, 16, 20), value, np.uint8))
    for name, codes in golden.items():
        assert np.array_equal(codes, torch_codes[name]), name


def test_ties_are_equal():
    # Multiplier 2**16: with a shift of 17 every odd accumulator of the layer is a tie.
    graph = sample_graph(5)

    def halved(node):
        if not isinstance(node, Conv) or node.name != "point":
            return node
        rq = node.requant
        filters = len(rq.multiplier)
        ties = Requantizer(
            np.full(filters, 65536), np.full(filters, 17), rq.zero_point, rq.low, rq.high, rq.bits
        )
        return replace(node, requant=ties, bias=node.bias // 8)

    nodes = tuple(halved(n) for n in graph.nodes)
    changed, frames = replace(graph, nodes=nodes), sample_codes(1, (2, 3, 16, 20), 8)
    golden, torch_codes = both(changed, frames)
    sums = run_golden(changed, frames, accumulators=("point",)).accumulators["point"]
    inside = (golden["point"] > 0) & (golden["point"] < 255)
    assert np.count_nonzero(inside & (sums % 2 == 1) & (sums < 0)) > 3
    for name, codes in golden.items():
        assert np.array_equal(codes, torch_codes[name]), name

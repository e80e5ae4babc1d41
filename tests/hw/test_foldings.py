# SPDX-License-Identifier: Apache-2.0
"""Folding plan: targets met with the fewest multipliers, the same every time."""

import pytest

from hw.cycles import conv_cycles
from hw.foldings import plan_foldings
from quant.errors import PlanError
from quant.graph import QGraph, macs_of
from quant.samples import sample_conv, sample_graph
from quant.schedule import Folding


def intervals(graph: QGraph, schedule) -> dict[str, int]:
    return {
        node.name: conv_cycles(
            node, graph.shapes[node.source], schedule.folding[node.name]
        ).interval_cycles
        for node in graph.convs
    }


def cost(schedule) -> int:
    return sum(f.pe * f.simd for f in schedule.folding.values())


def test_target_interval_is_met_by_every_convolution():
    graph = sample_graph(1)
    slow = plan_foldings(graph, target_interval_cycles=40_000)
    fast = plan_foldings(graph, target_interval_cycles=2_000)
    assert max(intervals(graph, slow).values()) <= 40_000
    # The sample's maps are tiny: a line's bubbles at the frame border are a few cycles.
    assert max(intervals(graph, fast).values()) <= 2_000
    assert cost(slow) < cost(fast)
    for node in graph.convs:
        f = slow.folding[node.name]
        assert macs_of(graph, node.name) <= 40_000 * f.pe * f.simd


def test_budget_is_kept_and_used():
    graph = sample_graph(1)
    small = plan_foldings(graph, max_macs_per_cycle=12)
    large = plan_foldings(graph, max_macs_per_cycle=60)
    assert cost(small) <= 12
    assert cost(large) <= 60
    assert max(intervals(graph, large).values()) < max(intervals(graph, small).values())


def test_equal_arguments_equal_plans():
    first = plan_foldings(sample_graph(1), max_macs_per_cycle=40)
    again = plan_foldings(sample_graph(1), max_macs_per_cycle=40)
    assert dict(first.folding) == dict(again.folding)
    assert first.graph_digest == sample_graph(1).digest


def test_targets_out_of_reach():
    graph = sample_graph(1)
    with pytest.raises(PlanError) as caught:
        plan_foldings(graph, max_macs_per_cycle=3)
    assert str(caught.value) == (
        "6 convolutions do not fit 3 multiply-accumulates per cycle; the smallest plan has 6; "
        "raise the budget"
    )
    with pytest.raises(PlanError) as caught:
        plan_foldings(graph, target_interval_cycles=500)
    assert str(caught.value) == (
        "'stem' cannot take a frame in 500 cycles; fully parallel it needs 720; "
        "raise the target interval"
    )
    with pytest.raises(PlanError, match="a plan needs one target; give either"):
        plan_foldings(graph)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "folding"),
    [(1, 1, 0, (4, 8)), (3, 1, 1, (8, 8)), (3, 2, 1, (4, 2)), (6, 2, 2, (1, 8)), (5, 1, 2, (2, 4))],
)
def test_interval_is_the_work_when_compute_bound(kernel, stride, padding, folding):
    """Reception hides behind compute: the interval is taps times windows, nothing else."""
    node, _ = sample_conv(3, 8, 16, kernel, stride, padding)
    pe, simd = folding
    size = (20 + 2 * padding - kernel) // stride + 1
    work = size * size * (16 // pe) * (8 // simd) * kernel * kernel
    cycles = conv_cycles(node, (8, 20, 20), Folding(pe, simd))
    assert cycles.interval_cycles == work
    assert cycles.latency_cycles > work


def test_interval_is_the_input_when_input_bound():
    """A strided 1x1 layer computes a quarter of what it receives."""
    node, _ = sample_conv(3, 8, 8, 1, 2, 0)
    assert conv_cycles(node, (8, 20, 20), Folding(8, 4)).interval_cycles == 20 * 20 * 2

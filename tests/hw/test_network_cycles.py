# SPDX-License-Identifier: Apache-2.0
"""Cycles of cells alone and of a network; FIFO depths that keep its throughput."""

import pytest

from hw.conv_process import conv_process
from hw.cycles import geometry_cycles
from hw.fifo_depths import plan_fifos
from hw.geometry import ConvGeometry
from hw.network import build_network
from hw.network_cycles import network_cycles
from hw.plan_network import plan_network
from hw.timing import Times, simulate_settled
from hw.tokens import Reader, Sink, Source, TokenGraph, Unit, token_graph
from quant.samples import sample_graph

CASES = [
    # C, H, W, F, groups, kernel, stride, padding, pe, simd
    (4, 6, 7, 8, 1, (3, 3), (1, 1), (1, 1, 1, 1), 4, 2),
    (4, 9, 8, 6, 1, (3, 3), (2, 2), (1, 1, 1, 1), 2, 4),
    (3, 8, 8, 4, 1, (6, 6), (2, 2), (2, 2, 2, 2), 4, 3),
    (8, 5, 5, 8, 1, (1, 1), (1, 1), (0, 0, 0, 0), 8, 8),
    (6, 7, 5, 6, 6, (3, 3), (1, 2), (1, 0, 1, 1), 2, 1),
    (4, 3, 4, 4, 1, (5, 5), (1, 1), (2, 2, 2, 2), 1, 1),
]


@pytest.mark.parametrize("case", CASES)
def test_one_convolution_is_its_own_recurrence(case):
    channels, height, width, filters, groups, kernel, stride, padding, pe, simd = case
    geometry = ConvGeometry(
        channels, height, width, filters, groups, kernel, stride, padding, pe, simd,
        depthwise=groups > 1, core="plain_lut", has_table=False, factors="none",
    )  # fmt: skip
    process = conv_process(geometry)
    units = (
        Unit("in", "in", Source(geometry.input_beats), (Reader(1, 0, None),)),
        Unit("conv", "conv", process, (Reader(2, 0, None),)),
        Unit("out", "out", Sink(geometry.output_beats)),
    )
    times = simulate_settled(TokenGraph(units, (), {"conv": (1, 1)}, {}))
    expected = geometry_cycles(geometry)
    assert isinstance(times, Times)
    assert times.interval_cycles == times.node_interval("conv") == expected.interval_cycles
    assert times.latency_cycles == times.node_latency("conv") == expected.latency_cycles


def test_throughput_depths_are_as_fast_as_the_slowest_cell():
    graph = sample_graph(1)
    schedule = plan_network(graph, target_interval_cycles=3000)
    network = build_network(graph, schedule)
    plan = plan_fifos(network)
    fast = plan.throughput
    assert fast.reason == ""
    assert fast.interval_cycles == fast.target_cycles
    assert plan.minimal_bits < plan.throughput_bits < plan.tensor_bits
    assert all(row.minimal <= row.throughput for row in plan.rows)
    tokens = token_graph(network)
    slow = simulate_settled(tokens, plan.minimal.depths)
    assert isinstance(slow, Times)
    assert slow.interval_cycles > fast.interval_cycles


def test_rows_of_every_node():
    graph = sample_graph(1)
    schedule = plan_network(graph, target_interval_cycles=3000)
    network = build_network(graph, schedule)
    depths = plan_fifos(network).throughput.depths
    deep = type(schedule)(
        schedule.graph_digest, schedule.clock_hz, schedule.folding, depths, schedule.memory
    )
    cycles = network_cycles(graph, deep)
    assert list(cycles.nodes) == list(network.cells)
    assert cycles.settled
    slowest = cycles.nodes[cycles.bottleneck]
    assert cycles.interval_cycles == slowest.alone_cycles
    for node in cycles.nodes.values():
        assert node.network_cycles == cycles.interval_cycles
        assert node.alone_cycles <= cycles.interval_cycles
        assert 0 < node.utilisation <= 1
        assert node.latency_cycles < cycles.latency_cycles

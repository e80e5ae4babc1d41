# SPDX-License-Identifier: Apache-2.0
"""The explorer on a small network: fastest, cheapest, FIFO sizes, shortages."""

from dataclasses import replace
from itertools import cycle
from typing import get_args

import pytest

from hw.devices import find_device
from hw.edges import FifoStyle
from hw.explore import (
    Budget,
    Exploration,
    NoPlan,
    Uses,
    cheapest_plan,
    fastest_plan,
    nearest,
    network_tables,
    schedule_of,
    shortages,
)
from hw.explore.edges import WIRE
from hw.explore.fifo_sizes import fifo_sizes, raised
from hw.explore.search import bandwidth_interval
from hw.explore.variants import with_image, with_weight_bits
from hw.fifo_depths import plan_fifos
from hw.network import build_network
from quant.errors import GraphError, PlanError
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Output, sources_of
from quant.samples import sample_conv, sample_graph

pytest.importorskip("ortools", reason="OR-tools is not installed")

GRAPH = sample_graph(1)
BOARD = replace(find_device("zcu104"), lut=9000, ff=12_000, dsp=40, bram36=20, uram=0)


def test_fastest_plan_fits_and_no_faster_one_does():
    network = network_tables(GRAPH, Budget(BOARD))
    found = fastest_plan(network)
    assert isinstance(found, Exploration)
    assert found.fastest_proved
    assert found.interval_bound == found.selection.interval
    assert found.selection.uses.within(network.budget.limit)
    faster = [n for n in network.problem.intervals if n < found.selection.interval]
    assert faster  # else the board limits nothing
    assert cheapest_plan(network, faster[-1]) == NoPlan(faster[-1], proved=True)


def test_a_slower_plan_is_not_dearer():
    network = network_tables(GRAPH, Budget(None))
    intervals = network.problem.intervals
    costs = [cheapest_plan(network, n).selection.cost for n in (intervals[0], intervals[-1])]
    assert costs[0] > costs[1]
    assert cheapest_plan(network, intervals[0] - 1) == NoPlan(intervals[0] - 1, proved=True)


def test_schedule_builds():
    network = network_tables(GRAPH, Budget(BOARD))
    found = fastest_plan(network)
    schedule = schedule_of(network, found.selection, 100_000_000)
    assert schedule.clock_hz == 100_000_000
    built = build_network(GRAPH, schedule)
    slowest = max(cell.interval for cell in built.cells.values())
    assert slowest <= found.selection.interval
    lying = dict(zip(found.selection.fifos, cycle(get_args(FifoStyle)), strict=False))
    fifos = {k: replace(f, style=lying[k]) for k, f in found.selection.fifos.items()}
    memory = schedule_of(network, replace(found.selection, fifos=fifos), 1).memory
    kept = {key: memory.get(f"{key[0]}->{key[1]}", "shift") for key in fifos}
    assert kept == lying
    assert set(lying.values()) == {"shift", "distributed", "block", "ultra"}


def test_sizes_hold_real_fifos():
    sizes = fifo_sizes(GRAPH)
    network = network_tables(GRAPH, Budget(None))
    for interval in (network.problem.intervals[0], network.problem.intervals[-1]):
        plan = cheapest_plan(network, interval).selection
        schedule = replace(schedule_of(network, plan, 1), fifo_depth={})
        rows = plan_fifos(build_network(GRAPH, schedule)).rows
        real = {row.key: row.throughput * row.beat_bits for row in rows}
        beats = {row.key: 2 * row.beat_bits for row in rows}
        # Two beats are always there.
        over = {k for k, bits in sizes.items() if real[k] > max(bits, beats[k])}
        assert not over, {k: (real[k], sizes[k]) for k in over}


def test_fifos_stand_where_inputs_meet_or_bursts_come():
    sizes = fifo_sizes(GRAPH)
    nodes = {node.name: node for node in GRAPH.nodes}
    steady = {
        n.name
        for n in GRAPH.nodes
        if isinstance(n, Input | Linear) or (isinstance(n, Conv) and n.stride == (1, 1))
    }
    seen = set()
    for node in GRAPH.nodes:
        edges = {(source, node.name) for source in sources_of(node)}
        wires = edges - set(sizes)
        if isinstance(node, Output):
            assert wires == edges
        elif isinstance(node, Conv | Linear):
            assert wires == {edge for edge in edges if edge[0] in steady}
            seen |= {type(nodes[source]) for source, _ in edges - wires}
        else:
            assert len(wires) == min(1, len(edges)), node.name
    assert len(seen) > 2


def test_wires_take_nothing():
    network = network_tables(GRAPH, Budget(None))
    for edge in network.problem.edges:
        found = {fifo for fifos in edge.fifos.values() for fifo in fifos}
        assert (found == {WIRE}) == (edge.key not in network.fifo_bits)


def test_raised():
    assert raised({("a", "b"): 5, ("b", "c"): 7}, {("a", "b"): 9, ("b", "c"): 1}) == {
        ("a", "b"): 9,
        ("b", "c"): 7,
    }


def test_shortage_names_resource_and_layers():
    small = replace(BOARD, lut=2000)
    network = network_tables(GRAPH, Budget(small))
    found = fastest_plan(network)
    assert found == NoPlan(max(network.problem.intervals), proved=True)
    lacks = shortages(network, found.interval)
    assert [s.resource for s in lacks] == ["lookup tables"]
    assert lacks[0].limit == 1600
    assert lacks[0].proved
    assert lacks[0].least > 1600
    assert len(lacks[0].layers) == 3
    least = lacks[0].least
    assert str(lacks[0]).startswith(
        f"lookup tables: at least {least:,}, there are 1,600, {least - 1600:,} too few; most at "
    )


def test_nearest_is_slower_or_larger():
    network = network_tables(GRAPH, Budget(BOARD))
    fastest = fastest_plan(network).selection.interval
    wanted = max(n for n in network.problem.intervals if n < fastest)
    found = list(nearest(network, BOARD.clock_hz, wanted))
    assert found[0].change == "fewer frames"
    assert found[0].interval == fastest
    assert any(n.change.startswith("board ") and n.interval <= wanted for n in found)


def test_bandwidth_limits_the_rate():
    slow = replace(BOARD, external_bytes_per_second=1_000)
    network = network_tables(GRAPH, Budget(slow))
    channels, height, width = GRAPH.input.shape
    moved = channels * height * width
    for node in GRAPH.outputs:
        c, h, w = GRAPH.shapes[node.source]
        moved += c * h * w * -(-GRAPH.formats[node.source].bits // 8)
    least = bandwidth_interval(network)
    assert least == moved * slow.clock_hz // 1000
    assert cheapest_plan(network, least - 1) == NoPlan(least - 1, proved=True)
    assert fastest_plan(network).selection.interval == least
    without = network_tables(GRAPH, Budget(replace(BOARD, external_bytes_per_second=0)))
    assert bandwidth_interval(without) == 0


def test_other_sizes():
    node, source = sample_conv(1, 8, 8, 3, act_bits=8, names=("conv", "image"))
    graph = QGraph("one", (Input("image", (8, 8, 8), source), node, Output("out", "conv")))
    assert with_image(graph, 16, 24).shapes["conv"][1:] == (16, 24)
    with pytest.raises(GraphError) as caught:
        with_image(GRAPH, 2 * GRAPH.input.shape[1], 2 * GRAPH.input.shape[2])
    assert str(caught.value) == "linear 'linear' has weights (10, 64, 1, 1) for 256 inputs"
    narrow = with_weight_bits(GRAPH, 3)
    assert {n.weights.bits for n in narrow.nodes if isinstance(n, Conv)} == {3}
    assert [n.name for n in narrow.nodes] == [n.name for n in GRAPH.nodes]


def test_fill():
    assert Budget(BOARD, 50).limit == Uses(4500, 6000, 40, 40, 0)
    with pytest.raises(PlanError) as caught:
        Budget(BOARD, 0)
    assert str(caught.value) == "a plan cannot take 0 % of a board's tables; give 1 to 100"

# SPDX-License-Identifier: Apache-2.0
"""Plan of a whole network: one interval for every node, few converters, memory styles."""

import pytest

from hw.choices import converter_cost, lanes_of, node_choices
from hw.devices import find_device
from hw.foldings import plan_foldings
from hw.network import build_network
from hw.plan_network import plan_network
from hw.weight_memory import weight_shape, weight_styles
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Output, Upsample
from quant.samples import sample_conv, sample_format, sample_graph
from quant.schedule import Folding

GRAPH = sample_graph(1)


def macs(schedule) -> int:
    layers = [n for n in GRAPH.nodes if isinstance(n, Conv | Linear)]
    return sum(schedule.folding[n.name].pe * schedule.folding[n.name].simd for n in layers)


def slowest(schedule) -> int:
    network = build_network(GRAPH, schedule)
    return max([network.input.beats, *(cell.interval for cell in network.cells.values())])


@pytest.mark.parametrize("target", [1500, 3000, 40_000])
def test_every_node_keeps_the_target_with_the_fewest_multipliers(target):
    schedule = plan_network(GRAPH, target_interval_cycles=target)
    assert set(schedule.folding) == {n.name for n in GRAPH.nodes if not isinstance(n, Output)}
    assert slowest(schedule) <= target
    convs = plan_foldings(GRAPH, target_interval_cycles=target)
    for node in GRAPH.convs:
        mine, theirs = schedule.folding[node.name], convs.folding[node.name]
        assert mine.pe * mine.simd == theirs.pe * theirs.simd


def test_frames_per_second():
    schedule = plan_network(GRAPH, fps=50_000, clock_hz=100_000_000)
    same = plan_network(GRAPH, target_interval_cycles=2000, clock_hz=100_000_000)
    assert dict(schedule.folding) == dict(same.folding)
    assert schedule.clock_hz == 100_000_000
    assert plan_network(GRAPH, fps=50_000).clock_hz == 200_000_000
    assert plan_network(GRAPH, fps=50_000, device=find_device("PYNQ-Z2")).clock_hz == 100_000_000


def test_budget_is_kept_and_used():
    small = plan_network(GRAPH, max_macs_per_cycle=16)
    large = plan_network(GRAPH, max_macs_per_cycle=60)
    assert macs(small) <= 16
    assert macs(large) <= 60
    assert slowest(large) < slowest(small)


def test_no_network_is_faster_than_its_slowest_node():
    """The upsampling gives 256 beats at its widest: multipliers beyond that would wait."""
    plain = sample_format(2, 8)
    conv, _ = sample_conv(1, 2, 2, 1, 1, 0, source=plain, output=plain, names=("conv", "image"))
    nodes = (Input("image", (2, 4, 4), plain), conv, Upsample("up", "conv", 4), Output("o", "up"))
    graph = QGraph("wide", nodes)
    schedule = plan_network(graph, max_macs_per_cycle=100)
    assert schedule.folding["up"] == Folding(2, 2)
    assert schedule.folding["conv"].pe * schedule.folding["conv"].simd == 1
    assert build_network(graph, schedule).cells["up"].interval == 256


def test_equal_arguments_equal_plans():
    first = plan_network(GRAPH, target_interval_cycles=3000)
    again = plan_network(sample_graph(1), target_interval_cycles=3000)
    assert dict(first.folding) == dict(again.folding)
    assert dict(first.memory) == dict(again.memory)


def test_neighbours_agree_on_lanes():
    """Two layers of 4x4 multipliers each: of the equal products those that need no converter."""
    plain = sample_format(16, 8)
    image = Input("image", (16, 8, 8), plain)
    first, _ = sample_conv(1, 16, 16, 1, 1, 0, source=plain, output=plain, names=("a", "image"))
    second, _ = sample_conv(2, 16, 16, 1, 1, 0, source=plain, output=plain, names=("b", "a"))
    graph = QGraph("pair", (image, first, second, Output("out", "b")))
    schedule = plan_network(graph, target_interval_cycles=64 * 16)
    assert schedule.folding["a"].pe * schedule.folding["a"].simd == 16
    assert all(edge.width is None for edge in build_network(graph, schedule).edges)


def test_lanes_that_divide_every_count_of_channels():
    assert lanes_of(GRAPH, GRAPH.node("cat")) == (1, 2, 4, 8)
    assert lanes_of(GRAPH, GRAPH.node("slice")) == (1, 2, 4)
    assert lanes_of(GRAPH, GRAPH.node("image")) == (1, 3)


def test_converters_are_dear_when_lanes_do_not_divide():
    assert converter_cost(4, 4, 8) == 0
    assert converter_cost(4, 8, 8) < converter_cost(4, 6, 8)


def test_choices_keep_to_the_fewest_multipliers():
    choices = node_choices(GRAPH, GRAPH.node("head"), 3000)
    assert len({c.folding.pe * c.folding.simd for c in choices}) == 1
    assert [c.cost for c in choices] == sorted(c.cost for c in choices)
    assert all((c.in_lanes, c.out_lanes) == (c.folding.simd, c.folding.pe) for c in choices)


def test_memory_styles_follow_depth_and_size():
    node, source = sample_conv(1, 64, 64, 3, act_bits=8, names=("big", "image"))
    image = Input("image", (64, 8, 8), source)
    graph = QGraph("one", (image, node, Output("out", "big")))
    # 4096 words of 36 bits in words of 72, half empty; 2048 words of 72; 64 words of 2304 bits.
    half, full, shallow = Folding(1, 8), Folding(16, 16), Folding(64, 8)
    board = find_device("zcu104")
    assert weight_shape(graph, node, half) == (32, 4608)
    assert weight_shape(graph, node, full) == (1024, 144)

    def style(folding, device=board):
        return weight_styles(graph, {"big": folding}, device)["big.weights"]

    assert style(half) == "block"
    assert style(full) == "block"
    assert weight_shape(graph, node, shallow) == (2048, 72)
    assert style(Folding(64, 16)) == "distributed"
    wide, wide_source = sample_conv(2, 64, 512, 3, weight_bits=8, act_bits=8, names=("w", "image"))
    large = QGraph("two", (Input("image", (64, 8, 8), wide_source), wide, Output("out", "w")))
    folding = {"w": Folding(1, 8)}
    assert weight_shape(large, wide, folding["w"]) == (64, 36_864)
    assert weight_styles(large, folding, board)["w.weights"] == "ultra"
    assert weight_styles(large, folding, find_device("zcu102"))["w.weights"] == "block"
    assert weight_styles(large, folding, None)["w.weights"] == "block"


def test_targets_out_of_reach():
    for arguments in ({}, {"fps": 30, "max_macs_per_cycle": 8}):
        with pytest.raises(PlanError) as caught:
            plan_network(GRAPH, **arguments)
        assert str(caught.value) == (
            "a plan needs one target; give max_macs_per_cycle, target_interval_cycles or fps"
        )
    with pytest.raises(PlanError) as caught:
        plan_network(GRAPH, target_interval_cycles=100)
    assert str(caught.value) == (
        "'image' cannot take a frame in 100 cycles; fully parallel it needs 320; raise the target "
        "interval"
    )
    with pytest.raises(PlanError) as caught:
        plan_network(GRAPH, fps=0)
    assert str(caught.value) == "0 frames per second at 200000000 Hz; give 1 or more of both"

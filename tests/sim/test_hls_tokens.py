# SPDX-License-Identifier: Apache-2.0
"""Depths of HLS streams, judged by the engines of the RTL planner: no deadlock, full speed."""

import pytest

from hls import HlsNetwork, emit_network
from hw.fifo_minimum import count_frame
from hw.plan_network import plan_network
from hw.timing import Times, simulate_settled
from hw.tokens import Deadlock
from quant.samples import sample_graph
from sim.hls_tokens import hls_tokens
from tests.hls.network_graphs import corners, every_kind


def planned(macs: int):
    graph = sample_graph(2)
    return graph, plan_network(graph, max_macs_per_cycle=macs)


CASES = {
    "hand-made": every_kind,
    "corners": corners,
    "narrow": lambda: planned(16),
    "wide": lambda: planned(64),
}


def stands_still(network: HlsNetwork) -> Deadlock | None:
    tokens = hls_tokens(network)
    return count_frame(tokens, tokens.depths)


def interval(network: HlsNetwork) -> int | None:
    times = simulate_settled(hls_tokens(network, timed=True))
    if not isinstance(times, Times):
        return None
    assert times.settled
    return times.interval_cycles


def least(network: HlsNetwork) -> HlsNetwork:
    return network.with_depths({s: 2 for layer in network.layers for s in layer.outputs})


@pytest.mark.parametrize("name", CASES)
def test_frames_pass_at_the_pace_of_the_slowest_process(name: str) -> None:
    network = emit_network(*CASES[name]())
    assert stands_still(network) is None
    assert interval(network) == network.interval_cycles


@pytest.mark.parametrize("name", ["hand-made", "narrow", "wide"])  # "corners" needs no more
def test_without_that_room_it_is_slower_or_stands_still(name: str) -> None:
    network = least(emit_network(*CASES[name]()))
    slower = interval(network)
    assert (slower is None) == (stands_still(network) is not None)
    assert slower is None or slower > network.interval_cycles


def test_depths_of_the_rtl_plan_are_not_enough() -> None:
    """What a plan for cells needs on the skip edge lets HLS processes stand still; who waits."""
    network = emit_network(*every_kind())
    waits = stands_still(network.with_depths({"sum_to_cat_2": 65}))
    assert waits is not None
    assert "'sum_fork' cannot hand beat 64 of 160 of frame 0 to 'cat' (FIFO of 64)" in str(waits)
    # In C++, which is less strict by a beat, 65 pass and 64 do not (tests/hls/test_bounded.py).
    assert stands_still(network.with_depths({"sum_to_cat_2": 66})) is None

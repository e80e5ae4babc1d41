# SPDX-License-Identifier: Apache-2.0
"""Weights from the memory on the board: options, bandwidth, and the proof of the fastest plan."""

from dataclasses import replace

import pytest

from hw.devices import find_device
from hw.explore import (
    Budget,
    Exploration,
    NoPlan,
    Uses,
    cheapest_plan,
    fastest_plan,
    network_tables,
    schedule_of,
    shortages,
)
from hw.explore.options import node_options
from hw.explore.streaming import moving_cycles
from hw.network import build_network
from hw.traffic import network_traffic
from quant.graph import QGraph
from quant.nodes import Input, Output
from quant.samples import sample_conv, sample_format
from reports.exactplan import settled_plan

pytest.importorskip("ortools", reason="OR-tools is not installed")

KIB = 1024
# Two layers of 36 and 16 KiB of weights; a board with room for neither.
BOARD = replace(
    find_device("zcu104"),
    lut=6000,
    ff=12_000,
    dsp=200,
    bram36=4,
    uram=0,
    external_bytes_per_second=400_000_000,
)


def deep():
    image = Input("image", (64, 6, 6), sample_format(64, 8))
    middle, last = sample_format(128, 4, zero=8), sample_format(256, 4, zero=8)
    wide, _ = sample_conv(
        1, 64, 128, 3, output=middle, source=image.output, scheme="symmetric",
        names=("wide", "image"),
    )  # fmt: skip
    long, _ = sample_conv(
        2, 128, 256, 1, padding=0, output=last, source=middle, scheme="symmetric",
        names=("long", "wide"),
    )  # fmt: skip
    return QGraph("deep", (image, wide, long, Output("out", "long")))


GRAPH = deep()


@pytest.fixture(scope="module")
def stored():
    return network_tables(GRAPH, Budget(BOARD))


@pytest.fixture(scope="module")
def fastest(stored):
    network = stored.streaming
    found = fastest_plan(network)
    assert isinstance(found, Exploration)
    return network, found


def test_options_take_what_their_streams_bring():
    node = GRAPH.node("long")
    found = node_options(GRAPH, node, BOARD, streaming=True)
    outside = [o for o in found if o.style == "external"]
    assert 3 * len(outside) == len(found)
    assert len(node_options(GRAPH, node, BOARD)) == 2 * len(outside)
    bare = replace(BOARD, external_bytes_per_second=0)
    assert node_options(GRAPH, node, bare, streaming=True) == node_options(GRAPH, node, bare)
    for option in outside:
        if option.folding.core != "plain_lut":
            continue
        word = -(-option.folding.pe * option.folding.simd * node.weights.bits // 8)
        words = 256 * 128 // (option.folding.pe * option.folding.simd)
        assert option.uses.external_kib == -(-word * words * 36 // KIB)
    assert all(o.uses.external_kib == 0 for o in found if o.style != "external")


def test_limit_and_price_follow_the_interval():
    budget = Budget(BOARD, streaming=True)
    # 400 MB/s at 200 MHz are 2 bytes a cycle.
    at = budget.at(1_024_000, 3 * KIB + 1)
    assert at.limit.external_kib == 2000 - 4
    assert at.prices[-1] == 10**9 // 2000
    assert at.cost(Uses(external_kib=1000)) == 10**9 // 2
    assert budget.at(1024, 3 * KIB).limit.external_kib == 0
    # Without an interval nothing limits it; on the chip there is nothing to limit.
    assert budget.limit.external_kib > 10**9
    assert Budget(BOARD).at(1_024_000, 0).limit.external_kib == 0
    assert moving_cycles(budget, 100) == 50
    assert moving_cycles(budget, 3 * KIB + 1, 1996) == 1_024_000
    assert moving_cycles(Budget(None), 100, 5) == 0


def test_what_does_not_fit_the_chip_fits_beside_it(stored, fastest):
    assert fastest_plan(stored) == NoPlan(max(stored.problem.intervals), proved=True)
    network, found = fastest
    styles = {name: option.style for name, option in found.selection.nodes.items()}
    assert "external" in styles.values()
    assert found.optimal
    interval = found.selection.interval
    assert found.interval_bound == interval
    uses = found.selection.uses
    assert uses.within(network.budget_at(interval).limit)
    assert not uses.within(network.budget_at(interval - 1).limit)
    # Only the bandwidth decides, between the intervals that options have.
    assert interval == moving_cycles(network.budget, network.picture_bytes, uses.external_kib)
    assert interval not in network.problem.intervals
    assert cheapest_plan(network, interval - 1) == NoPlan(interval - 1, proved=True)
    again = cheapest_plan(network, interval)
    assert again.selection.cost == found.selection.cost == found.cost_bound


def test_half_the_bandwidth_takes_twice_as_long(fastest):
    _, found = fastest
    slow = replace(BOARD, external_bytes_per_second=200_000_000)
    other = fastest_plan(network_tables(GRAPH, Budget(slow, streaming=True)))
    assert other.fastest_proved
    assert other.selection.interval == 2 * found.selection.interval


def test_bandwidth_can_be_what_lacks(fastest):
    network, found = fastest
    asked = found.selection.interval - 1
    lacks = {lack.resource: lack for lack in shortages(network, asked)}
    assert "block RAMs of 18 Kibit" in lacks  # with more of them fewer weights come from outside
    lack = lacks["KiB of weights from outside in a frame"]
    assert lack.proved
    assert lack.limit == network.budget_at(asked).limit.external_kib
    assert lack.least == found.selection.uses.external_kib
    assert lack.layers[0][1] > 0


def test_the_plan_moves_what_the_tables_say(fastest):
    network, found = fastest
    clock_hz = BOARD.clock_hz
    built = build_network(GRAPH, schedule_of(network, found.selection, clock_hz))
    moved = network_traffic(built)
    assert moved.picture_bytes == network.picture_bytes
    kib = sum(-(-part.frame_bytes // KIB) for part in moved.weights)
    assert kib == found.selection.uses.external_kib
    exact = settled_plan(network, found, None, clock_hz, pytest.fail)
    assert exact.uses.external_kib == kib
    assert exact.cycles.interval_cycles <= found.selection.interval

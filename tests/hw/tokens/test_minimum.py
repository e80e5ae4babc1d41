# SPDX-License-Identifier: Apache-2.0
"""Minimal depths: a frame passes, and with one beat less anywhere the literal model stops."""

import pytest

from hw.fifo_minimum import ASSUMPTION, count_frame, minimal_depths
from hw.timing import Times, simulate
from hw.tokens import Deadlock, Sink


def stops(oracle, tokens, depths):
    times = oracle(tokens, depths)
    try:
        for u, unit in enumerate(tokens.units):
            if isinstance(unit.behaviour, Sink):
                times.memo("taken", u, 0, unit.out_beats - 1)
    except oracle.Deadlock:
        return True
    return False


@pytest.mark.parametrize("block", range(4))
def test_no_fifo_can_lose_a_beat(block, oracle, random_network):
    stored = 0
    for seed in range(25 * block, 25 * block + 25):
        tokens = random_network(seed)
        found = minimal_depths(tokens)
        assert not stops(oracle, tokens, found.depths), f"seed {seed}"
        assert isinstance(simulate(tokens, 3, found.depths), Times), f"seed {seed}"
        stored += sum(found.depths.values())
        assert set(found.stalls) == {key for key, depth in found.depths.items() if depth}
        for key, depth in found.depths.items():
            if depth == 0:
                continue
            less = {**found.depths, key: depth - 1}
            assert stops(oracle, tokens, less), f"seed {seed}: {key}"
            assert isinstance(simulate(tokens, 1, less), Deadlock), f"seed {seed}: {key}"
            assert isinstance(count_frame(tokens, less), Deadlock), f"seed {seed}: {key}"
    assert stored > 10


@pytest.mark.parametrize("seed", range(20))
def test_both_engines_stop_alike(seed, random_network):
    tokens = random_network(seed)
    for depth in range(4):
        depths = {edge.key: depth for edge in tokens.edges}
        timed = simulate(tokens, 1, depths)
        assert isinstance(timed, Deadlock) == isinstance(count_frame(tokens, depths), Deadlock)


def test_the_proof_counts_a_whole_frame(random_network):
    tokens = random_network(0)
    proof = minimal_depths(tokens).proof
    assert proof.input_beats == tokens.units[0].out_beats
    sinks = [u.out_beats for u in tokens.units if isinstance(u.behaviour, Sink)]
    assert proof.output_beats == sum(sinks)
    assert proof.moved_beats == sum(u.out_beats for u in tokens.units)
    assert proof.left_beats == 0
    assert proof.assumption == ASSUMPTION == "every output is drained independently of the others"

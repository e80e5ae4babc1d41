# SPDX-License-Identifier: Apache-2.0
"""Event times against a literal evaluation, deadlocks among them."""

import numpy as np
import pytest

from hw.timing import Times, simulate
from hw.tokens import Deadlock, Sink

FRAMES = 3


def expected_of(oracle, tokens, depths, pace):
    """Return the literal ends [units, frames] and first cycles, or None for a deadlock."""
    times = oracle(tokens, depths, pace)
    try:
        ends = [
            [
                times.memo("taken", u, 0, f * unit.out_beats + unit.out_beats - 1)
                if isinstance(unit.behaviour, Sink)
                else times.memo("given", u, f * unit.out_beats + unit.out_beats - 1)
                for f in range(FRAMES)
            ]
            for u, unit in enumerate(tokens.units)
        ]
        first = [
            min((times.memo("taken", u, k, 0) for k in range(len(unit.in_beats))), default=0)
            for u, unit in enumerate(tokens.units)
        ]
    except oracle.Deadlock:
        return None
    return np.array(ends), np.array(first)


@pytest.mark.parametrize("block", range(4))
def test_random_networks_against_literal_times(block, oracle, random_network):
    deadlocks = 0
    for seed in range(25 * block, 25 * block + 25):
        tokens = random_network(seed)
        rng = np.random.default_rng(seed)
        # From wires, where most of them stop, to FIFOs of whole frames.
        roomy = seed % 3
        depths = {edge.key: int(rng.integers(0, 4)) if roomy else 0 for edge in tokens.edges}
        if roomy == 2:
            depths = {edge.key: 4 * edge.beats for edge in tokens.edges}
        pace = int(rng.integers(0, 40)) * (seed % 2)
        expected = expected_of(oracle, tokens, depths, pace)
        result = simulate(tokens, FRAMES, depths, pace_cycles=pace)
        if expected is None:
            deadlocks += 1
            assert isinstance(result, Deadlock), f"seed {seed}"
            continue
        assert isinstance(result, Times), f"seed {seed}: {result}"
        assert np.array_equal(result.ends, expected[0]), f"seed {seed}"
        assert np.array_equal(result.first, expected[1]), f"seed {seed}"
    assert 2 < deadlocks < 23

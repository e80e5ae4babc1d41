# SPDX-License-Identifier: Apache-2.0
"""Packed cores in Verilator on their DSP48E2 path: every accumulator, every fold in its cycle."""

import numpy as np
import pytest

from sim.packed import PackedCore, check_core, expected
from sim.packed.stimulus import Stimulus
from sim.rtl import Pattern

pytestmark = pytest.mark.rtl

# Narrow where the word of three weights has no room for the corner.
NARROW = np.array([-7, -8, -8]), np.array([7, 7, 7])

CORES = {
    "outer4": PackedCore("outer4", pe=8, simd=8, cascade=8),
    "outer4, three chains, six bits": PackedCore("outer4", 2, 6, 2, act_bits=6, acc_bits=20),
    "pack6": PackedCore("pack6", pe=4, simd=8, cascade=4, folds=3),
    "pack6, one fold": PackedCore("pack6", 2, 4, 4),
    "pack6, one bit, long chain": PackedCore("pack6", 1, 32, 32, folds=2, act_bits=1),
    "w4a8": PackedCore("pack6", pe=2, simd=8, cascade=4, folds=2, act_bits=8, acc_bits=20),
    "w4a5": PackedCore("pack6", 1, 4, 2, act_bits=5),
    "pack12": PackedCore("pack12", pe=4, simd=2, cascade=1, folds=2),
    "pack12, odd": PackedCore("pack12", 1, 3, 1, act_bits=3, acc_bits=32),
}


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    return tmp_path_factory.mktemp("builds")


@pytest.mark.parametrize("name", CORES)
def test_every_accumulator_in_its_cycle(name, builds, tmp_path):
    core = CORES[name]
    limits = NARROW if core.kind == "pack12" else None
    full = check_core(core, tmp_path, builds, outputs=6000, seed=3, limits=limits)
    assert (full.mismatches, full.trouble) == (0, None)
    assert full.latencies == (core.latency,)
    assert full.outputs >= 6000
    assert full.distinct > 250
    gaps = check_core(
        core, tmp_path, builds, outputs=3000, seed=4, limits=limits, idle=Pattern.random(0.4)
    )
    assert (gaps.mismatches, gaps.trouble) == (0, None)


def test_beyond_the_proved_limit_lanes_mix(builds, tmp_path):
    """One block more than hw.packing allows at the corner of the operands."""
    core = PackedCore("outer4", pe=2, simd=9, cascade=9)
    assert check_core(core, tmp_path, builds, outputs=2000, seed=5).mismatches > 0


def test_expected_is_a_row_convolution():
    """Folds of one tap, one channel: windows of three along two rows, written out."""
    core = PackedCore("pack6", pe=1, simd=1, cascade=1)
    row = np.arange(1, 9).reshape(4, 2, 1)
    weights = np.broadcast_to(np.array([2, -3, 7]), (8, 1, 1, 3))
    begins = np.arange(8) % 4 == 0
    every = np.ones(8, np.bool_)
    given = Stimulus(np.concatenate([row, row + 20]), weights, every, every, begins)
    found = expected(core, given).reshape(2, 8)
    for index, pixels in enumerate((np.arange(1, 9), np.arange(21, 29))):
        padded = np.concatenate([[0, 0], pixels])
        windows = [2 * padded[x] - 3 * padded[x + 1] + 7 * padded[x + 2] for x in range(8)]
        assert found[index].tolist() == windows

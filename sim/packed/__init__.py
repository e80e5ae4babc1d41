# SPDX-License-Identifier: Apache-2.0
"""Packed multiply-accumulate cores alone in Verilator, against sums written out in integers.

::

    core = PackedCore("pack6", pe=4, simd=8, cascade=4, folds=3)
    run = check_core(core, folder, cache, outputs=100_000, seed=1)
    run.mismatches, run.outputs, run.distinct
"""

from sim.packed.check import CoreRun, check_core
from sim.packed.core import PackedCore
from sim.packed.stimulus import Stimulus, expected, random_stimulus

__all__ = ["CoreRun", "PackedCore", "Stimulus", "check_core", "expected", "random_stimulus"]

# SPDX-License-Identifier: Apache-2.0
"""What the relaxation calls impossible has no plan."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hw.devices import find_device
from hw.explore import Budget, Uses
from hw.explore.options import NodeOption
from hw.explore.problem import Problem
from hw.explore.relaxation import surely_impossible
from quant.schedule import Folding

BOARD = replace(find_device("zcu104"), lut=100, ff=100, dsp=10, bram36=5, uram=0)


def problem_of(*tables):
    """One node per table of uses, no edges."""
    return Problem(
        {
            str(k): tuple(NodeOption(Folding(1, 1), None, 1, 1, 1, uses) for uses in table)
            for k, table in enumerate(tables)
        },
        (),
        Uses(),
    )


@pytest.mark.parametrize("seed", range(40))
def test_never_refuses_what_fits(seed):
    rng = np.random.default_rng(seed)
    tables = [
        [Uses(*(int(n) for n in rng.integers(0, (90, 90, 9, 9, 1)))) for _ in range(4)]
        for _ in range(3)
    ]
    budget = Budget(BOARD, 100)
    fits = any(
        first.plus(second).plus(third).within(budget.limit)
        for first, second, third in product(*tables)
    )
    refused = surely_impossible(problem_of(*tables), budget)
    assert not (fits and refused)
    if all(min(u.lut for u in table) > 50 for table in tables):
        assert refused


def test_resources_together():
    """Of every resource alone there is enough; tables and blocks together are too few."""
    table = [Uses(lut=80), Uses(dsp=8)]
    assert not surely_impossible(problem_of(table, table), Budget(BOARD, 100))
    assert surely_impossible(problem_of(table, table, table), Budget(BOARD, 100))


def test_limits_are_reached():
    budget = Budget(BOARD, 100)
    exact = problem_of([Uses(100, 100, 10, 10, 0)])
    above = problem_of([Uses(100, 101, 10, 10, 0)])
    assert not surely_impossible(exact, budget)
    assert surely_impossible(above, budget)


def test_nothing_to_choose_from():
    assert surely_impossible(problem_of([]), Budget(None))
    assert not surely_impossible(problem_of([Uses(lut=10**6)]), Budget(None))

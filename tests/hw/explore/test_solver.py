# SPDX-License-Identifier: Apache-2.0
"""The integer programme against trying every plan, on small random tables."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hw.devices import find_device
from hw.explore.edges import EdgeTable, FifoOption
from hw.explore.options import NodeOption
from hw.explore.problem import Problem
from hw.explore.reduction import reduced
from hw.explore.resources import Budget, Uses
from hw.explore.solver import solve
from quant.schedule import Folding

pytest.importorskip("ortools", reason="OR-tools is not installed")

EDGES = (("a", "b"), ("b", "c"), ("a", "c"))
BOARD = replace(find_device("zcu104"), lut=700, ff=700, dsp=6, bram36=4, uram=2)
LANES = (1, 2, 4)


def uses(rng, most=60):
    return Uses(*(int(n) for n in rng.integers(0, (most, most, 3, 3, 2))))


def random_problem(seed):
    """Three nodes, a fork and a join; every option, FIFO and converter of random size."""
    rng = np.random.default_rng(seed)
    options = {
        name: tuple(
            NodeOption(Folding(out, lanes), None, lanes, out, int(rng.integers(1, 9)), uses(rng))
            for lanes, out in product(LANES, LANES)
            if rng.random() < 0.7 or (lanes, out) == (1, 1)
        )
        for name in "abc"
    }
    edges = tuple(
        EdgeTable(
            key,
            1,
            {
                n: tuple(FifoOption(style, 2 * n, uses(rng)) for style in ("shift", "block"))
                for n in LANES
            },
            {(n, m): uses(rng, 90) for n in LANES for m in LANES if n != m},
        )
        for key in EDGES
    )
    return Problem(options, edges, Uses(lut=3))


def every_plan(problem, budget, interval):
    """Yield the cost of every plan within the budget."""
    names = list(problem.options)
    for picks in product(*(problem.options[n] for n in names)):
        chosen = dict(zip(names, picks, strict=True))
        if max(o.interval for o in picks) > interval:
            continue
        base = problem.fixed
        for option in picks:
            base = base.plus(option.uses)
        for edge in problem.edges:
            pair = chosen[edge.key[0]].out_lanes, chosen[edge.key[1]].in_lanes
            base = base.plus(edge.converters.get(pair, Uses()))
        fifos = [edge.fifos[chosen[edge.key[0]].out_lanes] for edge in problem.edges]
        for styles in product(*fifos):
            total = base
            for fifo in styles:
                total = total.plus(fifo.uses)
            if budget.limit is None or total.within(budget.limit):
                yield budget.cost(total)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("device", [None, BOARD])
def test_as_good_as_the_best_of_all_plans(seed, device):
    problem, budget = random_problem(seed), Budget(device, 100)
    small = reduced(problem, budget, 6)
    assert sum(map(len, small.options.values())) <= sum(map(len, problem.options.values()))
    answer = solve(small, budget, effort=5)
    best = min(every_plan(problem, budget, 6), default=None)
    if best is None:
        assert answer.verdict == "impossible"
        assert answer.selection is None
        return
    assert answer.verdict == "optimal"
    assert answer.selection.cost == answer.bound == best
    assert answer.selection.interval <= 6
    assert budget.limit is None or answer.selection.uses.within(budget.limit)


def test_nothing_is_fast_enough():
    problem, budget = random_problem(1), Budget(None)
    assert solve(reduced(problem, budget, 0), budget, effort=1).verdict == "impossible"


def test_least_of_one_resource():
    problem, free = random_problem(2), Budget(BOARD, 100, lifted=0)
    answer = solve(reduced(problem, free, 9), free, effort=5, least=0)
    tables = min(
        total.lut for total in every_total(problem) if total._replace(lut=0).within(free.limit)
    )
    assert answer.selection.uses.lut == tables


def every_total(problem):
    names = list(problem.options)
    for picks in product(*(problem.options[n] for n in names)):
        chosen = dict(zip(names, picks, strict=True))
        base = problem.fixed
        for option in picks:
            base = base.plus(option.uses)
        for edge in problem.edges:
            pair = chosen[edge.key[0]].out_lanes, chosen[edge.key[1]].in_lanes
            base = base.plus(edge.converters.get(pair, Uses()))
        for styles in product(*(e.fifos[chosen[e.key[0]].out_lanes] for e in problem.edges)):
            total = base
            for fifo in styles:
                total = total.plus(fifo.uses)
            yield total


def test_equal_problems_give_equal_plans():
    budget = Budget(BOARD, 100)
    first, again = (
        solve(reduced(random_problem(3), budget, 7), budget, effort=5).selection for _ in range(2)
    )
    assert (first.nodes, first.fifos) == (again.nodes, again.fifos)

# SPDX-License-Identifier: Apache-2.0
"""Plans that are too large once they are exact give way to smaller ones."""

from dataclasses import replace

import pytest

from hw.devices import find_device
from hw.explore import Budget, Uses, fastest_plan, network_tables
from quant.errors import PlanError
from quant.samples import sample_graph
from reports import exactplan
from reports.exactplan import exact_plan, settled_plan

pytest.importorskip("ortools", reason="OR-tools is not installed")
BOARD = replace(find_device("zcu104"), lut=30_000, ff=60_000, dsp=200, bram36=60, uram=0)
LIMIT = 30_000 * 80 // 100


def settled(monkeypatch, more):
    """Settle the fastest plan of a board whose exact plans take ``more`` lookup tables."""
    network = network_tables(sample_graph(1), Budget(BOARD))
    first = fastest_plan(network)

    def larger(*given):
        exact = exact_plan(*given)
        return replace(exact, uses=exact.uses.plus(Uses(lut=more)))

    monkeypatch.setattr(exactplan, "exact_plan", larger)
    said = []
    return first, settled_plan(network, first, None, BOARD.clock_hz, said.append), said


def test_what_a_plan_takes_too_much_is_kept_back(monkeypatch):
    plain, exact, said = settled(monkeypatch, 0)
    assert (exact.rounds, exact.reserved, said) == (1, Uses(), [])
    more = LIMIT - exact.uses.lut + 500
    _, small, said = settled(monkeypatch, more)
    assert small.uses.lut <= LIMIT
    assert small.exploration.selection.uses.lut < plain.selection.uses.lut
    assert small.rounds == len(said) + 1 > 1
    assert said[-1] == (
        f"plan {len(said)} is too large with exact FIFOs and cycles; it is cut off and solved "
        f"again, {small.reserved.lut:,} lookup tables kept back"
    )


def test_nothing_fits_what_is_always_larger(monkeypatch):
    with pytest.raises(PlanError) as caught:
        settled(monkeypatch, LIMIT)
    assert str(caught.value) == (
        "no plan of 'sample-1' fits once FIFOs and cycles are exact; ask for fewer frames per "
        "second, or for a larger board"
    )

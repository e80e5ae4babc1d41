# SPDX-License-Identifier: Apache-2.0
"""One network explored: the best plan by the tables, then made exact, and solved again if need be.

The tables count FIFOs as upper bounds and intervals of cells as if nothing ever waited. A plan is
finished with the real depths and the exact cycles; where an edge needs more than its bound, the
bound rises, where a cell is slower than its table says, that option goes, and the rest is solved
again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

from hw.explore import (
    Exploration,
    Network,
    NoPlan,
    Uses,
    cheapest_plan,
    fastest_plan,
)
from hw.explore.fifo_bounds import raised
from nibbleflow.plans import NetworkPlan
from quant.errors import PlanError
from reports.exactplan import exact_plan

ROUNDS = 4
"""Plans that are finished before giving up."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A plan with exact depths and cycles.

    Attributes:
        exploration: What the tables say, and what is proved.
        plan: The complete plan.
        uses: What it takes with the real depths, estimated.
        rounds: Plans that were finished, this one included.
    """

    exploration: Exploration
    plan: NetworkPlan
    uses: Uses
    rounds: int


def chosen(network: Network, interval: int | None) -> Exploration | NoPlan:
    """Return the cheapest plan of ``interval``, or without one the fastest that fits."""
    return fastest_plan(network) if interval is None else cheapest_plan(network, interval)


def finish(
    network: Network,
    found: Exploration,
    interval: int | None,
    clock_hz: int,
    say: Callable[[str], None],
) -> Finished:
    """Return ``found`` with exact depths and cycles, or the plan that comes after it.

    Args:
        network: Tables of the network.
        found: The plan by the tables.
        interval: The interval asked for; ``None``: the fastest.
        clock_hz: Planned clock.
        say: Told of every plan that is cut off.

    Raises:
        PlanError: No plan fits once it is exact.
    """
    begin = perf_counter()
    for count in range(1, ROUNDS + 1):
        target = found.selection.interval
        exact = exact_plan(network, found, clock_hz)
        plan = NetworkPlan(exact.schedule, exact.fifos, exact.cycles, perf_counter() - begin)
        limit = network.budget.limit
        fits = limit is None or exact.uses.within(limit)
        slow = plan.cycles.interval_cycles > target
        if fits and not slow:
            return Finished(found, plan, exact.uses, count)
        needs = {row.key: row.throughput * row.beat_bits for row in plan.fifos.rows}
        late = frozenset(
            (name, found.selection.nodes[name])
            for name, cycles in plan.fifos.alone.items()
            if cycles > target
        )
        bounds = raised(network.bounds, needs)
        if bounds == network.bounds and not late:
            break
        what = "too slow" if slow else "too large"
        say(f"plan {count} is {what} with exact FIFOs and cycles; it is cut off and solved again")
        network = replace(network, bounds=bounds, banned=network.banned | late)
        again = chosen(network, interval)
        if isinstance(again, NoPlan):
            break
        found = again
    raise PlanError(
        f"no plan of '{network.graph.name}' fits once FIFOs and cycles are exact; ask for fewer "
        "frames per second, or for a larger board"
    )

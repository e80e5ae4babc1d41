# SPDX-License-Identifier: Apache-2.0
"""One network explored: the best plan by the tables, made exact, as a build keeps it."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from hw.explore import Exploration, Network, Uses
from nibbleflow.plans import NetworkPlan
from reports.exactplan import settled_plan


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


def finish(
    network: Network,
    found: Exploration,
    interval: int | None,
    clock_hz: int,
    say: Callable[[str], None],
) -> Finished:
    """Return ``found``, or the plan that comes after it, as ``reports.exactplan`` settles it.

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
    exact = settled_plan(network, found, interval, clock_hz, say)
    seconds = perf_counter() - begin
    device = network.budget.device
    plan = NetworkPlan(exact.schedule, exact.fifos, exact.cycles, seconds, device)
    return Finished(exact.exploration, plan, exact.uses, exact.rounds)

# SPDX-License-Identifier: Apache-2.0
"""Explored plans made exact: real FIFO depths, cycles, and what they then take.

The tables count FIFOs at estimated sizes and intervals of cells as if nothing ever waited. A plan
is finished with the real depths and the exact cycles; where an edge needs more than its size, the
size rises, where a cell is slower than its table says, that option goes, and the rest is solved
again. A plan that is still too large then has other edges beyond their sizes, as every next one
would: from the second one on, what it takes too much is kept back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hw.explore import Exploration, Network, NoPlan, Uses, cheapest_plan, fastest_plan, schedule_of
from hw.explore.fifo_sizes import raised
from hw.explore.resources import KIB, NOTHING
from hw.explore.search import DRAINED_BITS
from hw.fifo_depths import FifoPlan
from hw.network_cycles import NetworkCycles, network_cycles
from hw.planning import complete_schedule
from quant.errors import PlanError
from quant.schedule import Schedule
from reports.hardware import network_estimate

ROUNDS = 8
"""Plans that are finished before giving up."""


@dataclass(frozen=True, eq=False)
class ExactPlan:
    """A complete plan.

    Attributes:
        exploration: What the tables say, and what is proved.
        schedule: Foldings, memory styles and the FIFO depths that keep full throughput.
        fifos: Least and throughput depths, with the proof.
        cycles: Cycles with the throughput depths.
        uses: What it takes, estimated piece by piece.
        rounds: Plans that were finished, this one included.
        reserved: Kept back from the board: proofs are about what it leaves.
    """

    exploration: Exploration
    schedule: Schedule
    fifos: FifoPlan
    cycles: NetworkCycles
    uses: Uses
    rounds: int = 1
    reserved: Uses = NOTHING


def chosen(network: Network, interval: int | None) -> Exploration | NoPlan:
    """Return the cheapest plan of ``interval``, or without one the fastest that fits."""
    return fastest_plan(network) if interval is None else cheapest_plan(network, interval)


def settled_plan(
    network: Network,
    found: Exploration,
    interval: int | None,
    clock_hz: int,
    say: Callable[[str], None],
) -> ExactPlan:
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
    limit = network.budget.limit
    for count in range(1, ROUNDS + 1):
        target = found.selection.interval
        exact = exact_plan(network, found, clock_hz)
        fits = limit is None or exact.uses.within(limit)
        slow = exact.cycles.interval_cycles > target
        if fits and not slow:
            return replace(exact, rounds=count, reserved=network.budget.reserved)
        needs = {row.key: row.throughput * row.beat_bits for row in exact.fifos.rows}
        late = frozenset(
            (name, found.selection.nodes[name])
            for name, cycles in exact.fifos.alone.items()
            if cycles > target
        )
        sizes = raised(network.fifo_bits, needs)
        excess = NOTHING if limit is None else exact.uses.beyond(limit)
        known = sizes == network.fifo_bits and not late
        if known and not any(excess):
            break
        budget = network.budget
        if limit is not None and (known or count > 1):
            reserved = _reserved(limit, found.selection.uses, excess, budget.reserved)
            budget = replace(budget, reserved=reserved)
        what = "too slow" if slow else "too large"
        kept = f", {budget.reserved} kept back" if any(budget.reserved) else ""
        say(
            f"plan {count} is {what} with exact FIFOs and cycles; it is cut off and solved again"
            f"{kept}"
        )
        network = replace(network, fifo_bits=sizes, banned=network.banned | late, budget=budget)
        again = chosen(network, interval)
        if isinstance(again, NoPlan):
            break
        found = again
    raise PlanError(
        f"no plan of '{network.graph.name}' fits once FIFOs and cycles are exact; ask for fewer "
        "frames per second, or for a larger board"
    )


def _reserved(limit: Uses, counted: Uses, excess: Uses, before: Uses) -> Uses:
    """Return what to keep back so that the tables count less than now by what is too much.

    Args:
        limit: Of the whole board.
        counted: What the tables count of a plan.
        excess: What it takes beyond ``limit`` once it is exact.
        before: What was kept back from it.
    """
    each = zip(limit, counted, excess, before, strict=True)
    return Uses(*(most - has + over if over else kept for most, has, over, kept in each))


def exact_plan(network: Network, found: Exploration, clock_hz: int) -> ExactPlan:
    """Return the plan that ``found`` chose from the tables, made exact.

    Args:
        network: Tables of the network.
        found: The plan by the tables.
        clock_hz: Planned clock.

    Raises:
        PlanError: No depths let a frame pass.
    """
    graph, device = network.graph, network.budget.device
    bare = replace(schedule_of(network, found.selection, clock_hz), fifo_depth={})
    complete = complete_schedule(graph, bare)
    small = {
        f"{row.key[0]}->{row.key[1]}"
        for row in complete.fifos.rows
        if row.throughput * row.beat_bits < DRAINED_BITS
    }
    memory = {name: style for name, style in bare.memory.items() if name not in small}
    schedule = replace(complete.schedule, memory=memory)
    cycles = network_cycles(graph, schedule, complete.fifos.alone)
    filled = device is not None and device.ultra_initial_contents
    estimate = network_estimate(graph, schedule, ultra_initial_contents=filled)
    streamed = sum(-(-part.frame_bytes // KIB) for part in estimate.traffic.weights)
    uses = Uses.of(estimate.total)._replace(external_kib=streamed)
    return ExactPlan(found, schedule, complete.fifos, cycles, uses)

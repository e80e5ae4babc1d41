# SPDX-License-Identifier: Apache-2.0
"""An explored plan made exact: real FIFO depths instead of bounds, cycles, and what it then takes."""

from dataclasses import dataclass, replace

from hw.explore import Exploration, Network, Uses, schedule_of
from hw.explore.search import DRAINED_BITS
from hw.fifo_depths import FifoPlan
from hw.network_cycles import NetworkCycles, network_cycles
from hw.planning import complete_schedule
from quant.schedule import Schedule
from reports.hardware import network_estimate


@dataclass(frozen=True, eq=False)
class ExactPlan:
    """A complete plan.

    Attributes:
        schedule: Foldings, memory styles and the FIFO depths that keep full throughput.
        fifos: Least and throughput depths, with the proof.
        cycles: Cycles with the throughput depths.
        uses: What it takes, estimated piece by piece.
    """

    schedule: Schedule
    fifos: FifoPlan
    cycles: NetworkCycles
    uses: Uses


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
    return ExactPlan(schedule, complete.fifos, cycles, Uses.of(estimate.total))

# SPDX-License-Identifier: Apache-2.0
"""Planned cycles of every convolution at the chosen folding. Formulas live in the plan."""

from dataclasses import dataclass

from hw.cycles import conv_cycles
from quant.errors import PlanError
from quant.graph import QGraph
from quant.schedule import Core, Schedule

PLANNED = "planned, not measured"


@dataclass(frozen=True)
class PlannedCycles:
    """Folding and planned speed of one node.

    Attributes:
        pe: Output channels in parallel.
        simd: Input channels in parallel.
        core: What multiplies.
        interval_cycles: Clock cycles between frames, source always valid, sink always ready.
        latency_cycles: From the first input beat to the last output beat of the first frame.
    """

    pe: int
    simd: int
    core: Core
    interval_cycles: int
    latency_cycles: int


def planned_cycles(graph: QGraph, schedule: Schedule) -> dict[str, PlannedCycles]:
    """Return the planned cycles of every convolution by name, in graph order.

    Args:
        graph: The integer graph.
        schedule: Its folding.

    Raises:
        PlanError: The schedule belongs to another graph or lacks a convolution.
    """
    if schedule.graph_digest != graph.digest:
        raise PlanError(
            f"the schedule belongs to graph {schedule.graph_digest[:12]}, not to '{graph.name}' "
            f"{graph.digest[:12]}; plan this graph again"
        )
    plans = {}
    for node in graph.convs:
        folding = schedule.folding.get(node.name)
        if folding is None:
            raise PlanError(f"the schedule has no folding for '{node.name}'; plan the graph again")
        source = graph.formats[node.source]
        cycles = conv_cycles(node, graph.shapes[node.source], folding, source)
        plans[node.name] = PlannedCycles(
            folding.pe, folding.simd, folding.core, cycles.interval_cycles, cycles.latency_cycles
        )
    return plans

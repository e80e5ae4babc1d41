# SPDX-License-Identifier: Apache-2.0
"""The complete plan of a network: foldings, memory styles and FIFO depths."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from hw.devices import Device
from hw.fifo_depths import FifoPlan, plan_fifos
from hw.network import build_network
from hw.plan_network import CoreChoice, plan_network
from quant.graph import QGraph
from quant.schedule import Schedule

FifoAim = Literal["throughput", "minimal"]
"""Depths that keep the network as fast as its slowest node, or the least that let frames pass."""


@dataclass(frozen=True, eq=False)
class CompletePlan:
    """A schedule with FIFO depths, and where they come from.

    Attributes:
        schedule: The complete schedule.
        fifos: Least and throughput depths of every edge, with the proof.
    """

    schedule: Schedule
    fifos: FifoPlan


def plan(
    graph: QGraph,
    *,
    max_macs_per_cycle: int | None = None,
    target_interval_cycles: int | None = None,
    fps: float | None = None,
    clock_hz: int | None = None,
    device: Device | None = None,
    core: CoreChoice = "plain_lut",
    fifos: FifoAim = "throughput",
) -> Schedule:
    """Return the complete schedule of ``graph``: ``plan_network``, then ``complete_schedule``.

    Args:
        graph: The integer graph.
        max_macs_per_cycle: As ``plan_network``; give one of the three targets.
        target_interval_cycles: As ``plan_network``.
        fps: As ``plan_network``.
        clock_hz: As ``plan_network``.
        device: As ``plan_network``.
        core: As ``plan_network``.
        fifos: Which FIFO depths to take.

    Raises:
        PlanError: No or several targets, one that cannot be met, or no depths let a frame pass.
    """
    schedule = plan_network(
        graph,
        max_macs_per_cycle=max_macs_per_cycle,
        target_interval_cycles=target_interval_cycles,
        fps=fps,
        clock_hz=clock_hz,
        device=device,
        core=core,
    )
    return complete_schedule(graph, schedule, fifos).schedule


def complete_schedule(
    graph: QGraph,
    schedule: Schedule,
    fifos: FifoAim = "throughput",
    progress: Callable[[], None] = lambda: None,
) -> CompletePlan:
    """Return ``schedule`` with the FIFO depths that its foldings need; it may have none yet.

    Args:
        graph: The integer graph.
        schedule: Its foldings and memory styles.
        fifos: Which FIFO depths to take.
        progress: Called after each of ``planning_parts`` parts.

    Raises:
        PlanError: The schedule does not fit the graph, or no depths let a frame pass.
    """
    found = plan_fifos(build_network(graph, replace(schedule, fifo_depth={})), progress)
    depths = {
        row.key: row.throughput if fifos == "throughput" else row.minimal for row in found.rows
    }
    kept = {key: depth for key, depth in depths.items() if depth}
    return CompletePlan(replace(schedule, fifo_depth=kept), found)

# SPDX-License-Identifier: Apache-2.0
"""Where a simulated network stands still: what every edge holds, and who waits for whom."""

from dataclasses import dataclass

from hw.network import Edge
from sim.rtl import AxisRun, ProbeLog
from sim.verify.network_run import NetworkBench, arrival_name


@dataclass(frozen=True)
class EdgeState:
    """One edge when nothing moves any more.

    Attributes:
        edge: The edge.
        given: Beats that the producer's cell gave (to every reader).
        taken: Beats that the consumer took, in its own lanes.
        offered: Whether a beat waits at the consumer's port.
        wanted: Whether the consumer would take one.
        blocked: Whether the producer's cell has a beat that some reader does not take.
    """

    edge: Edge
    given: int
    taken: int
    offered: bool
    wanted: bool
    blocked: bool

    @property
    def full(self) -> bool:
        """Whether the edge holds its producer up: a beat waits at either end."""
        return self.blocked and self.offered and not self.wanted

    def __str__(self) -> str:
        """Return one line."""
        edge = self.edge
        if self.full:
            why = f"full: '{edge.producer}' waits for '{edge.consumer}'"
        elif self.wanted and not self.offered:
            why = f"empty: '{edge.consumer}' waits for '{edge.producer}'"
        elif self.offered:
            why = f"'{edge.consumer}' does not take a beat yet"
        else:
            why = "idle"
        fifo = f"FIFO of {edge.depth:,}" if edge.depth else "no FIFO"
        return (
            f"{edge.producer} -> {edge.consumer} ({fifo}): {self.given:,} beats given, "
            f"{self.taken:,} taken; {why}"
        )


def edge_states(bench: NetworkBench, run: AxisRun) -> tuple[EdgeState, ...]:
    """Return the state of every edge at the end of a run, consumers in graph order."""
    logs: dict[str, ProbeLog] = {log.probe.name: log for log in run.probes}
    states = []
    for edge in bench.network.edges:
        producer, arrival = logs[edge.producer], logs[arrival_name(edge)]
        states.append(
            EdgeState(
                edge,
                given=producer.count,
                taken=arrival.count,
                offered=arrival.valid,
                wanted=arrival.ready,
                blocked=producer.valid and not producer.ready,
            )
        )
    return tuple(states)


def stall_report(bench: NetworkBench, run: AxisRun) -> tuple[str, ...]:
    """Return one line per edge that is full or empty while its reader or writer waits."""
    return tuple(str(s) for s in edge_states(bench, run) if s.offered or s.blocked or s.wanted)


def culprit(bench: NetworkBench, run: AxisRun) -> str | None:
    """Return the node that has all its inputs and room for its output, and gives nothing.

    In a deadlock by shallow FIFOs there is none: every node waits for another one.
    """
    states = edge_states(bench, run)
    logs = {log.probe.name: log for log in run.probes}
    for name in bench.probed:
        log = logs[name]
        arriving = [s for s in states if s.edge.consumer == name]
        if not log.valid and all(s.offered and not s.wanted for s in arriving):
            return name
    return None

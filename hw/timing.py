# SPDX-License-Identifier: Apache-2.0
"""Exact event times of a network of processes, and who waits for whom when it stops.

::

    times = simulate(token_graph(network), frames=3)
    match times:
        case Times(): times.interval_cycles, times.latency_cycles
        case Deadlock(): str(times)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.tokens import state as at
from hw.tokens.deadlock import Deadlock, find_deadlock
from hw.tokens.graph import EdgeKey, TokenGraph
from hw.tokens.steps import Sink, Source
from hw.tokens.tables import Tables, timed_tables
from quant.errors import PlanError

# Frames until a network is taken as it is: it fills, then it settles.
MAX_FRAMES = 40


@dataclass(frozen=True, eq=False)
class Times:
    """Cycles of one run; cycle 0 offers the first beat of every source.

    Attributes:
        tokens: The network.
        ends: int64 [units, frames]: cycle in which the last beat of a frame left the unit (was
            taken by every reader); of a sink, in which it arrived.
        first: int64 [units]: cycle in which the unit took its first beat; of a source, in which
            it offered it.
        most_held: Per edge with a FIFO, the most beats in it at once.
    """

    tokens: TokenGraph
    ends: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    most_held: Mapping[EdgeKey, int]

    @property
    def frame_ends(self) -> npt.NDArray[np.int64]:
        """Cycle of the last output beat of every frame, over all outputs, int64 [frames]."""
        sinks = [isinstance(unit.behaviour, Sink) for unit in self.tokens.units]
        ends: npt.NDArray[np.int64] = self.ends[sinks].max(axis=0)
        return ends

    @property
    def interval_cycles(self) -> int:
        """Between the last output beats of the last two frames.

        Raises:
            PlanError: There is only one frame.
        """
        ends = self.frame_ends
        if ends.size < 2:
            raise PlanError("an interval is between two frames; simulate at least 2")
        return int(ends[-1] - ends[-2])

    @property
    def latency_cycles(self) -> int:
        """From the first input beat to the last output beat of the first frame, both counted."""
        return int(self.frame_ends[0]) + 1

    @property
    def settled(self) -> bool:
        """Whether every unit took as long for the last frame as for the one before.

        Counted only once the network is full: the first frame has left before the last two come in.
        """
        if self.ends.shape[1] < 3:
            return False
        sources = [isinstance(unit.behaviour, Source) for unit in self.tokens.units]
        if self.frame_ends[0] > self.ends[sources, -2].min():
            return False
        steps = np.diff(self.ends[:, -3:], axis=1)
        return bool(np.all(steps[:, 0] == steps[:, 1]))

    def node_interval(self, node: str) -> int:
        """Return the cycles between the last output beats of ``node`` in the last two frames."""
        _, last = self.tokens.ends[node]
        return int(self.ends[last, -1] - self.ends[last, -2])

    def node_latency(self, node: str) -> int:
        """Return the cycles from the first beat that ``node`` takes to the last of its frame."""
        first, last = self.tokens.ends[node]
        return int(self.ends[last, 0] - self.first[first]) + 1


def simulate(
    tokens: TokenGraph,
    frames: int,
    depths: Mapping[EdgeKey, int] | None = None,
    *,
    pace_cycles: int = 0,
) -> Times | Deadlock:
    """Run ``frames`` frames through the network; sinks are always ready.

    Args:
        tokens: The network.
        frames: Frames, >= 1.
        depths: FIFO depth per edge, missing edges are wires; ``None``: those of ``tokens``.
        pace_cycles: Cycles over which a source spreads the beats of a frame evenly; 0: its beats
            are always valid.

    Returns:
        The times, or what waits for what.

    Raises:
        PlanError: A depth belongs to no edge or is negative, or there is no frame.
    """
    if frames < 1:
        raise PlanError(f"a simulation has {frames} frames; it needs at least 1")
    tables = timed_tables(tokens, tokens.depths if depths is None else depths)
    return _go_on(tokens, tables, np.zeros((len(tables.units), 0), np.int64), frames, pace_cycles)


def simulate_settled(
    tokens: TokenGraph,
    depths: Mapping[EdgeKey, int] | None = None,
    *,
    pace_cycles: int = 0,
    max_frames: int = MAX_FRAMES,
) -> Times | Deadlock:
    """Run frames until two in a row take every unit equally long, at most ``max_frames``.

    Arguments, result and errors as ``simulate``; ``settled`` of the result says whether it ended
    before the limit.
    """
    tables = timed_tables(tokens, tokens.depths if depths is None else depths)
    ends = np.zeros((len(tables.units), 0), np.int64)
    frames = 3
    while True:
        times = _go_on(tokens, tables, ends, frames, pace_cycles)
        if isinstance(times, Deadlock) or times.settled or frames >= max_frames:
            return times
        ends = times.ends
        frames += 1


def _go_on(
    tokens: TokenGraph,
    tables: Tables,
    ends: npt.NDArray[np.int64],
    frames: int,
    pace_cycles: int,
) -> Times | Deadlock:
    """Simulate up to ``frames`` frames in all; ``ends`` has those done before."""
    from hw.tokens.timing_kernel import run  # the compiler takes half a second to load

    units, ports, table = tables.units, tables.ports, tokens.table
    before = ends.shape[1]
    all_ends = np.zeros((len(units), frames), np.int64)
    all_ends[: len(ends), :before] = ends
    for unit, known, row in zip(tokens.units, table.rows, units, strict=False):
        row[at.LEFT] += (frames - before) * known.periods * known.steps
        if isinstance(unit.behaviour, Source):
            row[at.PACE] = pace_cycles
    run(
        units,
        ports,
        tables.readers,
        table.counts,
        table.emits,
        tables.ring,
        tables.times,
        all_ends,
        np.zeros(len(units), np.int64),
        np.zeros(len(units), np.bool_),
    )
    if bool(units[:, at.LEFT].any()):
        return find_deadlock(tokens, tables)
    count = len(tokens.units)
    first = np.zeros(count, np.int64)
    for index in range(count):
        taken = ports[units[index, at.PORT_LO] : units[index, at.PORT_HI], at.FIRST]
        first[index] = taken.min() if taken.size else 0
    held: dict[EdgeKey, int] = {}
    for edge, fifo in tables.fifos.items():
        key = tokens.edges[edge].key
        held[key] = max(held.get(key, 0), int(units[fifo, at.MOST]))
    return Times(tokens, all_ends[:count], first, held)

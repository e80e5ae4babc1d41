# SPDX-License-Identifier: Apache-2.0
"""A deadlock in words: the cycle of units that wait for each other, with their counts."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hw.tokens import state as at
from hw.tokens.graph import EdgeKey, TokenGraph
from hw.tokens.tables import Tables


@dataclass(frozen=True)
class Wait:
    """One unit that waits.

    Attributes:
        unit: Name of the unit.
        reason: For a beat to read, or for a place for the beat that it offers.
        other: Unit that it waits for.
        beat: The beat waited for or offered, counted through all frames.
        frame_beats: Beats of a frame of that stream.
        edge: Edge between the two nodes; ``None`` inside a cell.
        depth: Depth of the FIFO on that edge; 0: a wire.
    """

    unit: str
    reason: Literal["data", "space"]
    other: str
    beat: int
    frame_beats: int
    edge: EdgeKey | None
    depth: int

    def __str__(self) -> str:
        """Return one line."""
        frame, beat = divmod(self.beat, self.frame_beats)
        which = f"beat {beat:,} of {self.frame_beats:,} of frame {frame}"
        if self.reason == "data":
            return f"'{self.unit}' waits for {which} from '{self.other}'"
        fifo = f" (FIFO of {self.depth:,})" if self.depth else ""
        return f"'{self.unit}' cannot hand {which} to '{self.other}'{fifo}"


@dataclass(frozen=True)
class Deadlock:
    """Why a network stands still.

    Attributes:
        waits: The cycle: every unit waits for the next one, the last for the first.
    """

    waits: tuple[Wait, ...]

    def __str__(self) -> str:
        """Return one line per waiting unit."""
        return "deadlock:\n" + "\n".join(f"  {wait}" for wait in self.waits)


def find_deadlock(tokens: TokenGraph, tables: Tables) -> Deadlock:
    """Return the cycle of waiting units of an engine that has stopped before its end."""
    from hw.tokens.wait_kernel import wait_cycle  # the compiler takes half a second to load

    units, ports, table = tables.units, tables.ports, tokens.table
    path = np.zeros((2 * len(units) + 2, 3), np.int64)
    seen = np.zeros(len(units), np.int64)
    begin, end = wait_cycle(units, ports, tables.readers, table.counts, table.emits, path, seen)
    fifo_edges = {unit: edge for edge, unit in tables.fifos.items()}
    waits = []
    for unit, reason, q in path[begin:end].tolist():
        source = int(ports[q, at.SOURCE])
        if reason == at.FOR_DATA:
            beat, other = int(ports[q, at.ARRIVED]), source
        else:
            beat, other = int(units[source, at.TAKEN]), int(ports[q, at.UNIT])
        edge = int(ports[q, at.EDGE])
        index = edge if edge >= 0 else fifo_edges.get(source, -1)
        key = tokens.edges[index].key if index >= 0 else None
        waits.append(
            Wait(
                unit=_name(tokens, fifo_edges, unit),
                reason="data" if reason == at.FOR_DATA else "space",
                other=_name(tokens, fifo_edges, other),
                beat=beat,
                frame_beats=int(units[source, at.FRAME]),
                edge=key,
                depth=_depth(tokens, tables, q),
            )
        )
    return Deadlock(tuple(waits))


def _name(tokens: TokenGraph, fifo_edges: dict[int, int], unit: int) -> str:
    if unit in fifo_edges:
        return "->".join(tokens.edges[fifo_edges[unit]].key)
    return tokens.units[unit].name


def _depth(tokens: TokenGraph, tables: Tables, q: int) -> int:
    """Return the places of the FIFO that port ``q`` is, or that stands before it."""
    unit = int(tables.ports[q, at.UNIT])
    if unit >= len(tokens.units):
        return int(tables.units[unit, at.QUEUE])
    row = tokens.table.rows[unit].ports[q - int(tables.units[unit, at.PORT_LO])]
    return int(tables.ports[q, at.CAPACITY]) - row.capacity

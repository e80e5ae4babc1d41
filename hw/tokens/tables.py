# SPDX-License-Identifier: Apache-2.0
"""TokenGraph and FIFO depths to the integer tables of the compiled engines, before the first event.

A timed FIFO is a unit of its own. It would take a step per beat and have as many credits as places,
so it takes a beat when there is a place: its places stand at its port, like those of a buffered
port, and it needs no step, as a beat's offer follows from its arrival.
Without time it is nothing but more places before the port, so that it can grow while it runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.tokens import state as at
from hw.tokens.graph import EdgeKey, TokenGraph
from hw.tokens.steps import PortRow, UnitRow
from quant.errors import PlanError

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tables:
    """State of an engine; the arrays change while it runs.

    Attributes:
        units: int64 [units, UNIT_COLUMNS]; those of the graph first, then FIFOs.
        ports: int64 [ports, PORT_COLUMNS].
        readers: int64: ports that read a unit's output, unit after unit.
        ring: int64: offers and takings.
        times: int64: arrivals and free places.
        fifos: Edge index to the unit that is its FIFO.
    """

    units: Int64
    ports: Int64
    readers: Int64
    ring: Int64
    times: Int64
    fifos: Mapping[int, int]


def timed_tables(tokens: TokenGraph, depths: Mapping[EdgeKey, int]) -> Tables:
    """Return the tables of the timed engine.

    Args:
        tokens: The network.
        depths: FIFO depth per edge; missing: a wire.

    Raises:
        PlanError: A depth belongs to no edge or is negative.
    """
    check_depths(tokens, depths)
    rows = list(tokens.table.rows)
    links = [[(r.unit, r.port, r.edge) for r in unit.readers] for unit in tokens.units]
    beats = [unit.out_beats for unit in tokens.units]
    fifos: dict[int, int] = {}
    for branches in tuple(links):
        for k, (unit, port, edge) in enumerate(branches):
            depth = 0 if edge is None else depths.get(tokens.edges[edge].key, 0)
            if edge is None or depth == 0:
                continue
            fifos[edge] = len(rows)
            branches[k] = (len(rows), 0, edge)
            # To see how many are inside, a taking is remembered as long as a beat stays.
            taker = PortRow(1, depth, 0, 0, depth, 2 * depth)
            delay = tokens.edges[edge].latency(depth)
            rows.append(UnitRow(1, tokens.edges[edge].beats, 0, 1, delay, depth, (taker,)))
            links.append([(unit, port, None)])
            beats.append(tokens.edges[edge].beats)
    return _tables(rows, links, beats, fifos)


def counted_tables(tokens: TokenGraph, depths: Mapping[EdgeKey, int]) -> Tables:
    """Return the tables of the engine that counts without time.

    Args:
        tokens: The network.
        depths: FIFO depth per edge; missing: a wire.

    Raises:
        PlanError: A depth belongs to no edge or is negative.
    """
    check_depths(tokens, depths)
    links = [[(r.unit, r.port, r.edge) for r in unit.readers] for unit in tokens.units]
    beats = [unit.out_beats for unit in tokens.units]
    tables = _tables(list(tokens.table.rows), links, beats, {})
    for port in tables.ports:
        if port[at.EDGE] >= 0:
            depth = depths.get(tokens.edges[port[at.EDGE]].key, 0)
            port[at.CAPACITY] += depth
            port[at.LIMIT] += depth
    return tables


def check_depths(tokens: TokenGraph, depths: Mapping[EdgeKey, int]) -> None:
    """Refuse depths of edges that do not exist, and negative ones.

    Raises:
        PlanError: There is one.
    """
    keys = {edge.key for edge in tokens.edges}
    for key, depth in depths.items():
        if key not in keys:
            raise PlanError(
                f"the network has no edge from '{key[0]}' to '{key[1]}'; drop its FIFO of {depth}"
            )
        if depth < 0:
            raise PlanError(
                f"the FIFO from '{key[0]}' to '{key[1]}' has depth {depth}; 0 is a wire"
            )


def _tables(
    rows: list[UnitRow],
    links: list[list[tuple[int, int, int | None]]],
    beats: list[int],
    fifos: Mapping[int, int],
) -> Tables:
    units = np.zeros((len(rows), at.UNIT_COLUMNS), np.int64)
    first_port = np.concatenate(([0], np.cumsum([len(row.ports) for row in rows])))
    ports = np.zeros((int(first_port[-1]), at.PORT_COLUMNS), np.int64)
    first_reader = np.concatenate(([0], np.cumsum([len(branches) for branches in links])))
    readers = np.zeros(int(first_reader[-1]), np.int64)
    passive = set(fifos.values())
    ring_size = time_size = 0
    for index, row in enumerate(rows):
        slots = 0 if index in passive else row.queue  # a FIFO's cycles are at its port
        unit = units[index]
        unit[at.STEPS] = row.steps
        unit[at.EMIT_AT] = row.emit_at
        unit[at.CYCLES] = row.cycles
        unit[at.DELAY] = row.delay
        unit[at.QUEUE] = row.queue
        unit[at.PORT_LO], unit[at.PORT_HI] = first_port[index : index + 2]
        unit[at.READ_LO], unit[at.READ_HI] = first_reader[index : index + 2]
        unit[at.FRAME] = beats[index]
        unit[at.MARK] = beats[index] - 1
        unit[at.LAST] = -1
        unit[at.PASSIVE] = index in passive
        unit[at.RING_AT], unit[at.RING_SIZE] = ring_size, slots
        ring_size += slots
        for k, port_row in enumerate(row.ports):
            port = ports[first_port[index] + k]
            port[at.UNIT] = index
            port[at.CAPACITY] = port[at.LIMIT] = port_row.capacity
            port[at.BEATS] = port_row.beats
            port[at.NEED_AT] = port_row.needed_at
            port[at.FREE_AT] = port_row.freed_at
            port[at.FIRST] = port[at.EDGE] = -1
            for span, place, mask in (
                (port_row.time_span, at.TIME_AT, at.TIME_MASK),
                (port_row.space_span, at.SPACE_AT, at.SPACE_MASK),
            ):
                size = 1 << (span - 1).bit_length()
                port[place], port[mask] = time_size, size - 1
                time_size += size
    for index, branches in enumerate(links):
        for k, (unit_index, port_index, edge) in enumerate(branches):
            q = int(first_port[unit_index]) + port_index
            readers[int(first_reader[index]) + k] = q
            ports[q, at.SOURCE] = index
            ports[q, at.EDGE] = -1 if edge is None else edge
    return Tables(
        units, ports, readers, np.zeros(ring_size, np.int64), np.zeros(time_size, np.int64), fifos
    )

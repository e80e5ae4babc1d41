# SPDX-License-Identifier: Apache-2.0
"""The token counts of many processes in one flat table, as the compiled engines read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from hw.process import Port, Process


@dataclass(frozen=True)
class Source:
    """Where frames come in.

    Attributes:
        beats: Beats of a frame.
    """

    beats: int


@dataclass(frozen=True)
class Sink:
    """Where frames leave; always ready.

    Attributes:
        beats: Beats of a frame.
    """

    beats: int


Behaviour = Process | Source | Sink


@dataclass(frozen=True)
class PortRow:
    """A port in the table; a period is a frame, or one beat where all steps are alike.

    Attributes:
        beats: Beats of a period.
        capacity: Places; 0 for a direct port.
        needed_at: Place of ``needed`` in the counts.
        freed_at: Place of ``freed``; of a direct port ``needed``.
        time_span: Beats whose arrival cycle must be remembered at once.
        space_span: Beats whose place may be free before they arrive.
    """

    beats: int
    capacity: int
    needed_at: int
    freed_at: int
    time_span: int
    space_span: int


@dataclass(frozen=True)
class UnitRow:
    """A unit in the table.

    Attributes:
        steps: Steps of a period.
        periods: Periods of a frame.
        emit_at: Place of its flags.
        cycles: Cycles of a step.
        delay: Cycles from a step's start to the offer of its beat.
        queue: Places at the output.
        ports: Its ports.
    """

    steps: int
    periods: int
    emit_at: int
    cycles: int
    delay: int
    queue: int
    ports: tuple[PortRow, ...]


@dataclass(frozen=True, eq=False)
class StepTable:
    """Token counts of all units.

    Attributes:
        counts: int32: arrays ``needed`` and ``freed``, one after the other; entry 0 is 1, the
            period of a process whose every step takes one beat.
        emits: bool: flags of the steps; entry 0 is true.
        rows: Per unit where its counts stand.
    """

    counts: npt.NDArray[np.int32]
    emits: npt.NDArray[np.bool_]
    rows: tuple[UnitRow, ...]


def step_table(behaviours: Sequence[Behaviour]) -> StepTable:
    """Return the flat table of ``behaviours``; equal arrays are stored once."""
    counts: list[npt.NDArray[np.int32]] = [np.ones(1, np.int32)]
    emits: list[npt.NDArray[np.bool_]] = [np.ones(1, np.bool_)]
    places: dict[bytes, int] = {}
    sizes = {"counts": 1, "emits": 1}

    def place(kind: str, array: npt.NDArray[np.generic]) -> int:
        key = sha256(kind.encode() + array.tobytes()).digest()
        if key not in places:
            places[key] = sizes[kind]
            sizes[kind] += array.size
            if kind == "counts":
                counts.append(array.astype(np.int32))
            else:
                emits.append(array.astype(np.bool_))
        return places[key]

    rows = []
    for behaviour in behaviours:
        if not isinstance(behaviour, Process):
            # A source offers at once and again when its beat has been taken; a sink takes at once.
            port = PortRow(1, 0, 0, 0, 1, 1)
            ports = (port,) if isinstance(behaviour, Sink) else ()
            rows.append(UnitRow(1, behaviour.beats, 0, 1, 0, 1, ports))
            continue
        delay = behaviour.cycles - 1 + behaviour.latency
        if _is_plain(behaviour):
            port = PortRow(1, behaviour.ports[0].capacity, 0, 0, *_plain_spans(behaviour.ports[0]))
            rows.append(
                UnitRow(1, behaviour.steps, 0, behaviour.cycles, delay, behaviour.queue, (port,))
            )
            continue
        found = []
        for p in behaviour.ports:
            needed_at = place("counts", p.needed)
            freed_at = needed_at if p.freed is None else place("counts", p.freed)
            found.append(PortRow(p.beats, p.capacity, needed_at, freed_at, *_spans(p)))
        emit_at = place("emits", behaviour.emits)
        rows.append(
            UnitRow(
                behaviour.steps,
                1,
                emit_at,
                behaviour.cycles,
                delay,
                behaviour.queue,
                tuple(found),
            )
        )
    return StepTable(np.concatenate(counts), np.concatenate(emits), tuple(rows))


def _is_plain(process: Process) -> bool:
    """Whether every step takes one beat of the only port, frees it and emits one."""
    if len(process.ports) != 1 or not process.emits.all():
        return False
    port = process.ports[0]
    each = np.arange(1, process.steps + 1)
    return (
        port.beats == process.steps
        and np.array_equal(port.needed, each)
        and (port.freed is None or np.array_equal(port.freed, each))
    )


def _plain_spans(port: Port) -> tuple[int, int]:
    return (port.capacity, port.capacity) if port.freed is not None else (1, 1)


def _spans(port: Port) -> tuple[int, int]:
    """Return the beats of a buffered port whose arrival, and whose place, is remembered at once.

    Before step s up to ``freed[s - 1] + capacity`` beats have arrived, and beat ``needed[s] - 1``
    is asked for; after it places are free up to ``freed[s] + capacity``.
    """
    if port.freed is None:
        return 1, 1
    before = np.concatenate(([0], port.freed[:-1]))
    time_span = int((before + port.capacity - port.needed).max()) + 1
    space_span = int((port.freed + port.capacity - port.needed).max())
    return max(time_span, 1), max(space_span, 1)

# SPDX-License-Identifier: Apache-2.0
"""TokenGraph: a network as processes and edges, all that timing and deadlock depend on.

It holds no codes and no text: only who reads whom, how many beats, and where a FIFO may stand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from hw.process import Process
from hw.tokens.steps import Behaviour, Sink, Source, StepTable, step_table
from quant.errors import PlanError

EdgeKey = tuple[str, str]
"""Producer and consumer by node name, as in ``Schedule.fifo_depth``."""


@dataclass(frozen=True)
class TokenEdge:
    """A stream between two nodes, on which a FIFO may stand.

    Attributes:
        key: Producer and consumer.
        port: Input of the consumer.
        beats: Beats of a frame.
        beat_bits: Bits of a beat.
        latency: Depth (>= 1) to the cycles from a beat's entry into the FIFO to its offer.
    """

    key: EdgeKey
    port: int
    beats: int
    beat_bits: int
    latency: Callable[[int], int]

    @property
    def frame_bits(self) -> int:
        """Bits of the whole tensor."""
        return self.beats * self.beat_bits


@dataclass(frozen=True)
class Reader:
    """One branch of a unit's output.

    Attributes:
        unit: Index of the unit that reads.
        port: Its port.
        edge: Index of the edge crossed; ``None`` inside a cell.
    """

    unit: int
    port: int
    edge: int | None


@dataclass(frozen=True, eq=False)
class Unit:
    """One machine of the network.

    Attributes:
        node: Node that it belongs to; for a width converter, that of the edge's consumer.
        name: Name in messages.
        behaviour: What it does.
        readers: Who reads its output, one entry per branch of the fork; empty for a sink.
    """

    node: str
    name: str
    behaviour: Behaviour
    readers: tuple[Reader, ...] = ()

    @property
    def out_beats(self) -> int:
        """Beats of a frame that leave; of a sink, that end there."""
        behaviour = self.behaviour
        return behaviour.out_beats if isinstance(behaviour, Process) else behaviour.beats

    @property
    def in_beats(self) -> tuple[int, ...]:
        """Beats of a frame per port."""
        match self.behaviour:
            case Process():
                return tuple(port.beats for port in self.behaviour.ports)
            case Source():
                return ()
            case Sink():
                return (self.behaviour.beats,)


@dataclass(frozen=True, eq=False)
class TokenGraph:
    """Units and the edges between nodes.

    Attributes:
        units: Every unit; sources first, each before its readers.
        edges: Where FIFOs may stand.
        ends: Node name to the indices of its first and last unit.
        depths: Depth of the FIFO on an edge; missing: 0, a wire.
    """

    units: tuple[Unit, ...]
    edges: tuple[TokenEdge, ...]
    ends: Mapping[str, tuple[int, int]]
    depths: Mapping[EdgeKey, int]

    def __post_init__(self) -> None:
        """Check that every port has one producer and that the counts of beats agree.

        Raises:
            PlanError: They do not.
        """
        seen: set[tuple[int, int]] = set()
        for index, unit in enumerate(self.units):
            if not unit.readers and not isinstance(unit.behaviour, Sink):
                raise PlanError(f"nothing reads '{unit.name}'; every stream needs a reader")
            for reader in unit.readers:
                if (reader.unit, reader.port) in seen or reader.unit <= index:
                    raise PlanError(
                        f"port {reader.port} of '{self.units[reader.unit].name}' has two "
                        f"producers, or stands before its producer '{unit.name}'"
                    )
                seen.add((reader.unit, reader.port))
                beats = self.units[reader.unit].in_beats[reader.port]
                if beats != unit.out_beats:
                    raise PlanError(
                        f"'{unit.name}' makes {unit.out_beats} beats of a frame, port "
                        f"{reader.port} of '{self.units[reader.unit].name}' takes {beats}"
                    )
        ports = sum(len(unit.in_beats) for unit in self.units)
        if len(seen) != ports:
            raise PlanError(f"{ports - len(seen)} of {ports} ports have no producer")

    @cached_property
    def table(self) -> StepTable:
        """Token counts of all units, flat."""
        return step_table([unit.behaviour for unit in self.units])

# SPDX-License-Identifier: Apache-2.0
"""The schedule that the verbs use: what the user aims at, else a mid-size budget."""

from dataclasses import dataclass, replace
from shlex import quote

from hw.devices import find_device
from hw.plan_network import CORE_CHOICES, plan_network
from quant.errors import InputFileError
from quant.graph import QGraph
from quant.nodes import Conv, Linear
from quant.schedule import MemoryStyle, Schedule

# Multiply-accumulates per cycle over the whole network: a mid-size board's share of logic.
MACS_PER_CYCLE = 512


@dataclass(frozen=True)
class Aim:
    """What a plan is made for; nothing given: the shortest interval at ``MACS_PER_CYCLE``.

    Attributes:
        fps: Frames per second to reach.
        board: Name of the board.
        clock_mhz: Clock; by default that of the board, or 200 MHz.
        max_macs: Most multiply-accumulates per cycle over all layers.
        core: Core of every layer with weights, or ``auto``; by default ``plain_lut``.
        stream_weights: Layers, joined by commas, whose weights come from outside; the others' lie
            on the chip.
    """

    fps: float | None = None
    board: str | None = None
    clock_mhz: float | None = None
    max_macs: int | None = None
    core: str | None = None
    stream_weights: str | None = None

    def __post_init__(self) -> None:
        """Check that the aims do not contradict each other.

        Raises:
            InputFileError: Two targets, a value that is not positive, or an unknown core.
        """
        if self.fps is not None and self.max_macs is not None:
            raise InputFileError("--fps and --max-macs are two targets of one plan; give one")
        for option, value in (
            ("--fps", self.fps),
            ("--clock", self.clock_mhz),
            ("--max-macs", self.max_macs),
        ):
            if value is not None and value <= 0:
                raise InputFileError(f"{option} {value:g} must be positive")
        if self.core is not None and self.core not in CORE_CHOICES:
            raise InputFileError(f"--core '{self.core}' is none of {', '.join(CORE_CHOICES)}")

    @property
    def options(self) -> str:
        """The command line options that give this aim, with a leading blank each."""
        given = (
            ("--fps", self.fps),
            ("--board", self.board),
            ("--clock", self.clock_mhz),
            ("--max-macs", self.max_macs),
            ("--core", self.core),
            ("--stream-weights", self.stream_weights),
        )
        return "".join(
            f" {name} {quote(value) if isinstance(value, str) else format(value, 'g')}"
            for name, value in given
            if value is not None
        )


def plan_schedule(graph: QGraph, aim: Aim) -> Schedule:
    """Return folding and memory styles of every node, without FIFOs.

    Raises:
        PlanError: The aim cannot be met, the board is unknown, or the core does not build a layer.
        GraphError: A layer whose weights are to come from outside is no node.
        InputFileError: It has no weights, or none is named.
    """
    streamed = _streamed(graph, aim.stream_weights)
    layers = sum(isinstance(node, Conv | Linear) for node in graph.nodes)
    macs = max(MACS_PER_CYCLE, layers) if aim.max_macs is None else aim.max_macs
    schedule = plan_network(
        graph,
        max_macs_per_cycle=macs if aim.fps is None else None,
        fps=aim.fps,
        clock_hz=None if aim.clock_mhz is None else round(aim.clock_mhz * 1e6),
        device=None if aim.board is None else find_device(aim.board),
        core=next((core for core in CORE_CHOICES if core == aim.core), "plain_lut"),
    )
    external: MemoryStyle = "external"
    memory = {**schedule.memory, **dict.fromkeys(streamed, external)}
    return replace(schedule, memory=memory)


def _streamed(graph: QGraph, text: str | None) -> list[str]:
    """Return the names of the weight memories of the layers that ``text`` names."""
    if text is None:
        return []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputFileError("--stream-weights is empty; write NAME,… of layers with weights")
    for name in names:
        node = graph.node(name)
        if not isinstance(node, Conv | Linear):
            raise InputFileError(
                f"--stream-weights: '{name}' is a node of kind {type(node).__name__.lower()}, "
                "which has no weights; name convolutions and linear layers"
            )
    return [f"{name}.weights" for name in dict.fromkeys(names)]

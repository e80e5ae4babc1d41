# SPDX-License-Identifier: Apache-2.0
"""The schedule that the verbs use: what the user aims at, else a mid-size budget."""

from dataclasses import dataclass

from hw.devices import find_device
from hw.plan_network import CORE_CHOICES, plan_network
from quant.errors import InputFileError
from quant.graph import QGraph
from quant.nodes import Conv, Linear
from quant.schedule import Schedule

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
    """

    fps: float | None = None
    board: str | None = None
    clock_mhz: float | None = None
    max_macs: int | None = None
    core: str | None = None

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
        )
        return "".join(
            f" {name} {value if isinstance(value, str) else format(value, 'g')}"
            for name, value in given
            if value is not None
        )


def plan_schedule(graph: QGraph, aim: Aim) -> Schedule:
    """Return folding and memory styles of every node, without FIFOs.

    Raises:
        PlanError: The aim cannot be met, the board is unknown, or the core does not build a layer.
    """
    layers = sum(isinstance(node, Conv | Linear) for node in graph.nodes)
    macs = max(MACS_PER_CYCLE, layers) if aim.max_macs is None else aim.max_macs
    return plan_network(
        graph,
        max_macs_per_cycle=macs if aim.fps is None else None,
        fps=aim.fps,
        clock_hz=None if aim.clock_mhz is None else round(aim.clock_mhz * 1e6),
        device=None if aim.board is None else find_device(aim.board),
        core=next((core for core in CORE_CHOICES if core == aim.core), "plain_lut"),
    )

# SPDX-License-Identifier: Apache-2.0
"""The schedule that the verbs use: what the user aims at, else a mid-size budget."""

from dataclasses import dataclass

from hw.devices import find_device
from hw.plan_network import plan_network
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
        max_macs: Largest sum of PE*SIMD over all layers.
    """

    fps: float | None = None
    board: str | None = None
    clock_mhz: float | None = None
    max_macs: int | None = None

    def __post_init__(self) -> None:
        """Check that the aims do not contradict each other.

        Raises:
            InputFileError: Two targets, or a value that is not positive.
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

    @property
    def options(self) -> str:
        """The command line options that give this aim, with a leading blank each."""
        given = (
            ("--fps", self.fps),
            ("--board", self.board),
            ("--clock", self.clock_mhz),
            ("--max-macs", self.max_macs),
        )
        return "".join(
            f" {name} {value if isinstance(value, str) else format(value, 'g')}"
            for name, value in given
            if value is not None
        )


def plan_schedule(graph: QGraph, aim: Aim) -> Schedule:
    """Return folding and memory styles of every node, without FIFOs.

    Raises:
        PlanError: The aim cannot be met, or the board is unknown.
    """
    layers = sum(isinstance(node, Conv | Linear) for node in graph.nodes)
    macs = max(MACS_PER_CYCLE, layers) if aim.max_macs is None else aim.max_macs
    return plan_network(
        graph,
        max_macs_per_cycle=macs if aim.fps is None else None,
        fps=aim.fps,
        clock_hz=None if aim.clock_mhz is None else round(aim.clock_mhz * 1e6),
        device=None if aim.board is None else find_device(aim.board),
    )


def ultra_filled(aim: Aim) -> bool:
    """Return whether the bitstream of the board fills ultra RAM; nothing is in it without one."""
    return aim.board is not None and find_device(aim.board).ultra_initial_contents

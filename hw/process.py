# SPDX-License-Identifier: Apache-2.0
"""Process: the token-level model of a cell, exact in cycles and in storage.

A process walks through the same ``steps`` every frame, in an order that no data can change, and
never tests whether a stream is empty: a network of processes is a Kahn network. With ``x`` the
cycle in which a beat moves (valid and ready), a step s starts at the earliest cycle that satisfies

    start(s) >= start(s - 1) + cycles(s - 1)
    start(s) >= x_in(n - 1) + 1     buffered port: n = needed[s] beats of this frame have arrived
    start(s)  = x_in(n)             direct port that takes beat n in this step (all ports at once)
    start(s) >= x_out(e - queue) + 1                             the step emits beat e: a credit

Beats arrive at a buffered port without waiting for a step, as long as there is a place:

    x_in(p) >= start(s) + cycles(s)      s: first step with p - freed[s] < capacity
    x_in(p) >= x_in(p - 1) + 1

and the emitted beat is offered (valid high) at the earliest cycle that satisfies

    offer(e) >= start(s) + cycles(s) - 1 + latency
    offer(e) >= x_out(e - 1) + 1

Beats are counted through all frames: frame f adds f times the beats of a frame to every count.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.errors import PlanError
from quant.formats import frozen_array

Counts = npt.NDArray[np.int64]
"""Counts per step of a frame, int64 [steps]."""


@dataclass(frozen=True, eq=False)
class Port:
    """One input of a process.

    Attributes:
        beats: Beats of a frame.
        capacity: Beats that the cell has places for; 0 for a direct port, where the step itself
            takes the beat.
        needed: int64 [steps]. Buffered: beats of the frame that must have arrived before the step
            starts. Direct: beats of the frame taken when the step has started (grows by 0 or 1).
        freed: int64 [steps], buffered only: beats of the frame whose places are free once the step
            has ended; the last entry is ``beats``. ``None`` for a direct port.
    """

    beats: int
    capacity: int
    needed: Counts
    freed: Counts | None = None

    def __post_init__(self) -> None:
        """Freeze the arrays and check them.

        Raises:
            PlanError: Counts fall, leave the frame, or a buffered window exceeds the capacity.
        """
        object.__setattr__(self, "needed", frozen_array(self.needed, np.int64))
        if self.freed is not None:
            object.__setattr__(self, "freed", frozen_array(self.freed, np.int64))
        if (self.capacity == 0) != (self.freed is None):
            raise PlanError(f"a port of capacity {self.capacity} is direct or buffered, not both")
        for counts in (self.needed, *([] if self.freed is None else [self.freed])):
            if counts.ndim != 1 or not counts.size or bool(np.any(np.diff(counts) < 0)):
                raise PlanError("token counts of a process must not fall from step to step")
            if int(counts[0]) < 0 or int(counts[-1]) > self.beats:
                raise PlanError(f"token counts leave 0..{self.beats}, the beats of a frame")
        if self.freed is None:
            taken = np.diff(self.needed, prepend=0)
            if int(taken.max()) > 1 or int(self.needed[-1]) != self.beats:
                raise PlanError(
                    "a step of a direct port takes one beat or none, and all in a frame"
                )
        else:
            held = self.needed - np.concatenate(([0], self.freed[:-1]))
            if int(held.max()) > self.capacity or int(self.freed[-1]) != self.beats:
                raise PlanError(
                    f"a step needs {int(held.max())} beats at once, its buffer has "
                    f"{self.capacity} places"
                )


@dataclass(frozen=True, eq=False)
class Process:
    """One sequential machine of a cell.

    Attributes:
        cycles: Cycles of every step, >= 1.
        ports: Inputs.
        emits: bool [steps]: whether the step emits a beat.
        latency: Cycles from the last cycle of a step to the cycle that offers its beat, >= 1.
        queue: Places for beats that are under way or wait at the output (credits), >= 1.
    """

    cycles: int
    ports: tuple[Port, ...]
    emits: npt.NDArray[np.bool_]
    latency: int
    queue: int

    def __post_init__(self) -> None:
        """Freeze the array and check the ranges.

        Raises:
            PlanError: A value is below 1, no beat is emitted, or lengths differ.
        """
        object.__setattr__(self, "emits", frozen_array(self.emits, np.bool_))
        if min(self.cycles, self.latency, self.queue) < 1 or not self.emits.any():
            raise PlanError(
                f"a process has {self.cycles} cycles per step, latency {self.latency}, queue "
                f"{self.queue}, {int(self.emits.sum())} beats; each must be >= 1"
            )
        if any(port.needed.shape != self.emits.shape for port in self.ports):
            raise PlanError("ports and emitted beats of a process have different numbers of steps")

    @property
    def steps(self) -> int:
        """Steps of a frame."""
        return int(self.emits.size)

    @property
    def out_beats(self) -> int:
        """Beats emitted in a frame."""
        return int(self.emits.sum())

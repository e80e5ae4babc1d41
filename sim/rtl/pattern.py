# SPDX-License-Identifier: Apache-2.0
"""Idling and back-pressure: when sources and sinks pause."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.stream import StreamError


@dataclass(frozen=True)
class Pattern:
    """How a source idles or a sink stalls: a two-state chain, drawn every cycle.

    Attributes:
        pause: Chance per cycle to begin a pause, 0..1; 0 is full speed.
        resume: Chance per cycle to end it, above 0.
    """

    pause: float = 0.0
    resume: float = 1.0

    def __post_init__(self) -> None:
        """Check the chances.

        Raises:
            StreamError: A chance out of range.
        """
        if not (0 <= self.pause <= 1 and 2**-16 <= self.resume <= 1):
            raise StreamError(
                f"pattern pauses with {self.pause} and resumes with {self.resume}; "
                "limits 0..1 and 2**-16..1"
            )

    @classmethod
    def random(cls, share: float) -> "Pattern":
        """Return pauses of independent cycles, ``share`` (0..1, exclusive 1) of all."""
        return cls(share, 1 - share)

    @classmethod
    def bursts(cls, run: float, pause: float) -> "Pattern":
        """Return runs and pauses of random length, ``run`` and ``pause`` cycles in the mean."""
        return cls(1 / run, 1 / pause)

    def line(self) -> str:
        """Return the two chances of 65536, as the bench reads them."""
        return f"{round(self.pause * 65536)} {round(self.resume * 65536)}"


ALWAYS = Pattern()
"""Full speed: never a pause."""


def plan_text(
    frames: int, beats: int, patterns: Pattern | Sequence[Pattern], seed: int, stream: int
) -> str:
    """Return the plan of one source or sink, as ``nf_axis_source.sv`` describes it.

    Args:
        frames: Frames of the run.
        beats: Beats of one frame.
        patterns: One pattern, or one per frame, used in turn.
        seed: Seed of the run.
        stream: Number that tells the streams of a run apart.

    Raises:
        StreamError: An empty list of patterns.
    """
    given = (patterns,) if isinstance(patterns, Pattern) else tuple(patterns)
    if not given:
        raise StreamError("an empty list of patterns; give at least one")
    # Each stream draws its own numbers; the generator must not start at 0.
    draw = int(np.random.default_rng([seed, stream]).integers(1, 1 << 32))
    lines = [given[frame % len(given)].line() for frame in range(frames)]
    return "\n".join([f"{frames} {beats} {draw}", *lines, ""])

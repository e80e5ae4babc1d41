# SPDX-License-Identifier: Apache-2.0
"""Schedule: how a QGraph is folded into hardware. It never changes the integers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from quant.errors import PlanError

Core = Literal["plain_lut", "plain_dsp", "outer4", "pack6", "pack12", "w4a8"]
MemoryStyle = Literal["auto", "distributed", "block", "ultra", "external"]
"""``external``: not on the chip; a stream brings the words of weights, over and over."""


@dataclass(frozen=True)
class Folding:
    """Parallelism of one node.

    Attributes:
        pe: Output channels computed in parallel (a beat of the output stream carries as many).
        simd: Input channels read in parallel (1 for depthwise layers, whose PE lanes each read
            their own channel).
        pixels_per_beat: Neighbouring pixels that the core computes at once; streams between cells
            carry one.
        core: Multiply-accumulate core.
    """

    pe: int
    simd: int
    pixels_per_beat: int = 1
    core: Core = "plain_lut"

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            PlanError: A value is below 1.
        """
        if min(self.pe, self.simd, self.pixels_per_beat) < 1:
            raise PlanError(
                f"folding PE={self.pe} SIMD={self.simd} pixels={self.pixels_per_beat} must be >= 1"
            )


@dataclass(frozen=True, eq=False)
class Schedule:
    """Folding, buffering and memory choices for one graph.

    Attributes:
        graph_digest: Digest of the graph it belongs to.
        clock_hz: Planned clock.
        folding: Per node name.
        fifo_depth: Per edge (producer, consumer), in beats.
        memory: Per memory name (``<node>.weights``), its style.
    """

    graph_digest: str
    clock_hz: int
    folding: Mapping[str, Folding]
    fifo_depth: Mapping[tuple[str, str], int] = field(default_factory=dict)
    memory: Mapping[str, MemoryStyle] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the mappings read-only."""
        for name in ("folding", "fifo_depth", "memory"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

# SPDX-License-Identifier: Apache-2.0
"""Cell: one hardware module with its parameters, memory images, streams and token-level model.

A network is cells and edges. Everything that the top, the memory files, the FIFO proof and the
cycle count need of a node is in its cell, made by one pure function per node kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hw.process import Process
from quant.formats import frozen_array

Parameter = int | str
"""Value of a module parameter; strings are quoted."""


@dataclass(frozen=True)
class Stream:
    """Shape of one stream of codes, in stream order (row, pixel, channel group).

    Attributes:
        shape: (C, H, W) of a frame.
        lanes: Channels of a beat; divides C.
        bits: Bits of a code.
    """

    shape: tuple[int, int, int]
    lanes: int
    bits: int

    @property
    def folds(self) -> int:
        """Beats of one pixel."""
        return self.shape[0] // self.lanes

    @property
    def beats(self) -> int:
        """Beats of one frame."""
        return self.folds * self.shape[1] * self.shape[2]

    @property
    def beat_bits(self) -> int:
        """Bits of one beat."""
        return self.lanes * self.bits


@dataclass(frozen=True, eq=False)
class LoadImage:
    """Contents of a memory that is filled through the load stream at start.

    Attributes:
        bits: Bits of a memory word.
        depth: Memory words.
        words: uint32 [depth * ceil(bits / 32)], the lowest bits of a memory word first.
    """

    bits: int
    depth: int
    words: npt.NDArray[np.uint32]

    def __post_init__(self) -> None:
        """Freeze the array."""
        object.__setattr__(self, "words", frozen_array(self.words, np.uint32))


@dataclass(frozen=True, eq=False)
class WeightStream:
    """Words of weights that a cell takes from outside instead of a memory, over and over.

    Attributes:
        bits: Bits of a word.
        repeats: How often the cell goes through all words in a frame.
        words: uint8 [words, ceil(bits / 8)], in the order in which they are taken; the lowest bits
            of a word first, zeros on top.
    """

    bits: int
    repeats: int
    words: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Freeze the array."""
        object.__setattr__(self, "words", frozen_array(self.words, np.uint8))

    @property
    def frame_words(self) -> int:
        """Words that a frame takes."""
        return self.repeats * len(self.words)

    @property
    def frame_bytes(self) -> int:
        """Bytes that a frame takes."""
        return self.repeats * self.words.size


@dataclass(frozen=True, eq=False)
class Cell:
    """One instance of a hand-written module.

    Ports of the module: ``clk_i``, ``rst_ni``; ``s_data_i``, ``s_valid_i``, ``s_ready_o`` (with
    several inputs packed side by side, input 0 lowest); ``m_data_o``, ``m_valid_o``, ``m_ready_i``.

    Attributes:
        module: Name of the module, as ``nf_maxpool``.
        parameters: Parameter name to value, in the module's order; file names are those of
            ``files``.
        files: Name to text of the memory images ($readmemh) that the instance reads.
        load: What its weight memory takes from the load stream at start; ``None`` when its files
            hold everything.
        streamed: Its words of weights when they come from outside; else ``None``. The module then
            has ports ``w_data_i``, ``w_valid_i``, ``w_ready_o`` for them.
        inputs: Streams read, in port order.
        output: Stream written.
        stages: Token-level model: processes in series; the first reads ``inputs``, every further
            one the output of the one before.
    """

    module: str
    parameters: Mapping[str, Parameter]
    inputs: tuple[Stream, ...]
    output: Stream
    stages: tuple[Process, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    load: LoadImage | None = None
    streamed: WeightStream | None = None

    def __post_init__(self) -> None:
        """Make the mappings read-only."""
        for name in ("parameters", "files"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def interval(self) -> int:
        """Cycles per frame while nothing waits: of its slowest process, or of its longest port."""
        return max(
            max(stage.steps * stage.cycles, *(port.beats for port in stage.ports))
            for stage in self.stages
        )

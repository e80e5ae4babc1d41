# SPDX-License-Identifier: Apache-2.0
"""RtlProject: the generated files of a network, and what a simulation has to know of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hw.cell import Stream
from hw.network import Network


@dataclass(frozen=True)
class Tap:
    """Where the tensor of a node passes inside the top.

    Attributes:
        signal: Nets ``<signal>_data``, ``<signal>_valid``, ``<signal>_ready`` of the top, at the
            output of the node's cell, before its fork.
        stream: Shape of the stream; codes fill ``_data`` from bit 0.
    """

    signal: str
    stream: Stream


@dataclass(frozen=True)
class Wire:
    """Nets of one stream: expressions for its data, valid and ready."""

    data: str
    valid: str
    ready: str


@dataclass(frozen=True, eq=False)
class RtlProject:
    """Generated text of a network; the hand-written modules it needs are ``rtl_sources()``.

    Attributes:
        top: Name of the top module; its text is file ``<top>.sv``.
        files: File name to text: the top and the memory images, all in one folder, which is the
            working folder of a simulation.
        taps: Per node but the outputs where its tensor passes.
        arrivals: Per edge of the network, in its order, the nets at the consumer's port.
        load_words: uint32 [words] that ``s_axis_load`` must be sent, in order, before the first
            frame; empty when no memory needs it (the top then has no such port).
        network: The network that the text describes.
    """

    top: str
    files: Mapping[str, str]
    taps: Mapping[str, Tap]
    arrivals: tuple[Wire, ...]
    load_words: npt.NDArray[np.uint32]
    network: Network

    def __post_init__(self) -> None:
        """Make mappings and array read-only."""
        for name in ("files", "taps"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        self.load_words.setflags(write=False)

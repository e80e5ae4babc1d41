# SPDX-License-Identifier: Apache-2.0
"""A kernel in its place: names, stream depths and storage, as hls4ml gets it."""

from dataclasses import dataclass

from hls.kernel import Kernel
from quant.schedule import MemoryStyle

# Kinds of the layers that stand between nodes.
FORK = "NibbleFork"
WIDTH = "NibbleWidth"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of the hls4ml model.

    Attributes:
        name: Its name there; a C identifier.
        kind: Its class there.
        kernel: What it computes.
        inputs: Names of the streams read, in port order.
        outputs: Names of the streams written.
        prefix: Prefix of its constant arrays.
        notes: Comment lines of its data header.
        depths: Places of each output stream, in beats, >= 2.
        styles: Storage of each output stream.
        weight_style: Storage of the weight memory.
        trace: Name of its output in traces; ``None`` for forks and width converters.
        node: Name of the graph's node that it is, or that makes the tensor it forwards.
    """

    name: str
    kind: str
    kernel: Kernel
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    prefix: str
    notes: tuple[str, ...]
    depths: tuple[int, ...]
    styles: tuple[MemoryStyle, ...]
    weight_style: MemoryStyle
    trace: str | None
    node: str

    @property
    def data_header(self) -> str | None:
        """File of the constant arrays below ``firmware``; ``None`` without arrays."""
        return f"weights/{self.prefix}_data.h" if self.kernel.arrays else None


def stream_variable(stream: str) -> str:
    """Return the C++ name of a stream."""
    return f"{stream}_stream"


def beat_type(layer: str) -> str:
    """Return the C++ name of the type of the beats that a layer writes."""
    return f"{layer}_beat"

# SPDX-License-Identifier: Apache-2.0
"""Bytes that a network moves to and from the memory on the board: pictures, results, weights."""

from dataclasses import dataclass

from hw.network import Network
from quant.graph import QGraph
from quant.nodes import Output, sources_of


@dataclass(frozen=True)
class WeightTraffic:
    """Weights of one layer that come from outside.

    Attributes:
        node: The layer.
        port: Prefix of its port in the top.
        bits: Bits of a word.
        words: Words of a round, which lie in memory one after the other.
        repeats: Rounds of a frame.
    """

    node: str
    port: str
    bits: int
    words: int
    repeats: int

    @property
    def word_bytes(self) -> int:
        """Bytes of a word."""
        return -(-self.bits // 8)

    @property
    def memory_bytes(self) -> int:
        """Bytes of a round: what memory has to hold."""
        return self.words * self.word_bytes

    @property
    def frame_bytes(self) -> int:
        """Bytes that a frame takes."""
        return self.repeats * self.memory_bytes


@dataclass(frozen=True)
class Traffic:
    """What moves in a frame.

    Attributes:
        picture_bytes: Bytes of the picture and of the results, codes in whole bytes.
        weights: Layers whose weights come from outside, in the order of their ports.
    """

    picture_bytes: int = 0
    weights: tuple[WeightTraffic, ...] = ()

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame, all together."""
        return self.picture_bytes + sum(part.frame_bytes for part in self.weights)


def network_traffic(network: Network) -> Traffic:
    """Return what a network moves in a frame."""
    found = []
    for name, port in network.weight_ports.items():
        words = network.cells[name].streamed
        assert words is not None
        found.append(WeightTraffic(name, port, words.bits, len(words.words), words.repeats))
    return Traffic(picture_bytes(network.graph), tuple(found))


def picture_bytes(graph: QGraph) -> int:
    """Return the bytes of a picture and its results, every code in whole bytes."""
    moved = 0
    for node in graph.nodes:
        name = node.name if node is graph.input else sources_of(node)[0]
        if node is graph.input or isinstance(node, Output):
            channels, height, width = graph.shapes[name]
            moved += channels * height * width * -(-graph.formats[name].bits // 8)
    return moved


def bytes_per_second(frame_bytes: int, interval_cycles: int, clock_hz: int) -> int:
    """Return the bytes per second, rounded up, of so many a frame."""
    return -(-frame_bytes * clock_hz // interval_cycles)

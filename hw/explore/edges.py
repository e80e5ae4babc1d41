# SPDX-License-Identifier: Apache-2.0
"""What edges take: FIFOs for every width of the producer, converters for every pair of widths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from hw.device import Device
from hw.edges import FifoStyle, fifo_style
from hw.estimate import module_resources
from hw.explore.fifo_sizes import Edge
from hw.explore.options import NodeOption
from hw.explore.resources import NOTHING, Uses
from quant.graph import QGraph
from quant.nodes import Output, sources_of

LEAST_DEPTH = 2
"""Beats of the smallest FIFO: with fewer a beat would leave every other cycle."""

_SHALLOW_BITS = 512
"""FIFOs of fewer bits are offered in logic only: a block RAM would stay almost empty."""

_ULTRA_BITS = 36 * 1024
"""FIFOs of fewer bits fit one block RAM of 36 Kibit and are not offered in ultra RAM."""


@dataclass(frozen=True)
class FifoOption:
    """One way to build a FIFO.

    Attributes:
        style: What its beats lie in.
        depth: Beats.
        uses: What it takes, for all ports that the edge leads to.
    """

    style: FifoStyle
    depth: int
    uses: Uses


WIRE = FifoOption("shift", 0, NOTHING)
"""No FIFO at all."""


@dataclass(frozen=True)
class EdgeTable:
    """One edge.

    Attributes:
        key: Producer and consumer.
        ports: Ports of the consumer that read the producer.
        fifos: Per number of lanes of the producer the ways to build the FIFO.
        converters: Per lanes of producer and consumer what the width converters take; pairs without
            one are left out. Empty at the ends of the graph.
    """

    key: Edge
    ports: int
    fifos: Mapping[int, tuple[FifoOption, ...]]
    converters: Mapping[tuple[int, int], Uses]


def edge_tables(
    graph: QGraph,
    options: Mapping[str, Sequence[NodeOption]],
    fifo_bits: Mapping[Edge, int],
    device: Device | None,
) -> tuple[EdgeTable, ...]:
    """Return the tables of all edges.

    Args:
        graph: The integer graph.
        options: Options of every node but the outputs.
        fifo_bits: Bits that FIFOs hold; edges without are wires.
        device: The board; without one, or without ultra RAM, no FIFO lies in it.
    """
    ports: dict[Edge, int] = {}
    for node in graph.nodes:
        for source in sources_of(node):
            ports[source, node.name] = ports.get((source, node.name), 0) + 1
    ends = {node.name for node in graph.nodes if isinstance(node, Output)}
    ultra = device is not None and device.uram > 0
    tables = []
    for key, count in ports.items():
        producer, consumer = key
        bits = graph.formats[producer].bits
        lanes = sorted({option.out_lanes for option in options[producer]})
        size = fifo_bits.get(key, 0)
        fifos = {n: _fifo_options(bits * n, size, count, ultra) if size else (WIRE,) for n in lanes}
        converters = {}
        if consumer not in ends:
            readers = sorted({option.in_lanes for option in options[consumer]})
            converters = {
                (n, m): converter_uses(bits, n, m).times(count)
                for n in lanes
                for m in readers
                if n != m
            }
        tables.append(EdgeTable(key, count, fifos, converters))
    return tuple(tables)


def fifo_uses(beat_bits: int, depth: int, style: FifoStyle) -> Uses:
    """Return what one FIFO takes."""
    parameters = {"BeatBits": beat_bits, "Depth": depth, "Style": style}
    return Uses.of(module_resources("nf_stream_fifo", parameters))


@cache
def converter_uses(bits: int, lanes_in: int, lanes_out: int) -> Uses:
    """Return what one width converter takes."""
    parameters = {"CodeBits": bits, "LanesIn": lanes_in, "LanesOut": lanes_out}
    return Uses.of(module_resources("nf_width", parameters))


def _fifo_options(
    beat_bits: int, fifo_bits: int, ports: int, ultra: bool
) -> tuple[FifoOption, ...]:
    depth = max(LEAST_DEPTH, -(-fifo_bits // beat_bits))
    styles: list[FifoStyle] = []
    logic = fifo_style(depth, beat_bits)
    styles.append("distributed" if logic == "block" else logic)
    if depth * beat_bits >= _SHALLOW_BITS:
        styles.append("block")
    if ultra and depth * beat_bits > _ULTRA_BITS:
        styles.append("ultra")
    return tuple(
        FifoOption(style, depth, fifo_uses(beat_bits, depth, style).times(ports))
        for style in styles
    )

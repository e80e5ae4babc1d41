# SPDX-License-Identifier: Apache-2.0
"""What a planned network takes of a device, part by part: estimated, nothing was synthesised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hw.estimate import Resources, conv_weights, module_resources, resources, total
from hw.network import Network, build_network
from hw.traffic import Traffic, network_traffic
from quant.graph import QGraph
from quant.nodes import Conv, Linear
from quant.schedule import Schedule

PartKind = Literal["weights", "cell", "fifo", "converter", "fork", "loader", "end"]


@dataclass(frozen=True)
class Part:
    """One piece of the hardware.

    Attributes:
        owner: Node, or producer and consumer of an edge, joined by ``->``.
        kind: The weight memory of a node, or the queue of its weights from outside; the rest of
            its cell; FIFO or width converter of an edge; fork behind a node; what fills a memory
            at start; the end of an output.
        resources: What it takes.
    """

    owner: str
    kind: PartKind
    resources: Resources


@dataclass(frozen=True)
class HardwareEstimate:
    """All pieces of a network.

    Attributes:
        parts: In graph order.
        traffic: Bytes that move between the network and the memory on the board.
    """

    parts: tuple[Part, ...]
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def total(self) -> Resources:
        """What all pieces take."""
        return total(part.resources for part in self.parts)

    def of_node(self, name: str) -> Resources:
        """Return what the cell of a node takes, with its memories and loader."""
        kinds = ("weights", "cell", "loader")
        return total(p.resources for p in self.parts if p.owner == name and p.kind in kinds)


def network_estimate(
    graph: QGraph, schedule: Schedule, *, ultra_initial_contents: bool = False
) -> HardwareEstimate:
    """Return the estimated resources of every piece of a network.

    Args:
        graph: The integer graph.
        schedule: Its complete plan.
        ultra_initial_contents: Whether the device's bitstream fills ultra RAM.

    Raises:
        PlanError: The schedule does not fit the graph.
    """
    network = build_network(graph, schedule, ultra_initial_contents=ultra_initial_contents)
    parts = [part for name in network.cells for part in _node_parts(network, name)]
    for edge in network.edges:
        owner = f"{edge.producer} -> {edge.consumer}"
        if edge.fifo is not None:
            parts.append(Part(owner, "fifo", resources(edge.fifo)))
        if edge.width is not None:
            parts.append(Part(owner, "converter", resources(edge.width)))
    for name, stream in network.streams.items():
        branches = len(network.readers(name))
        if branches > 1:
            values = {"Branches": branches, "BeatBits": stream.beat_bits}
            parts.append(Part(name, "fork", module_resources("nf_fork", values)))
    words = 0
    for name, cell in network.cells.items():
        if cell.load is not None:
            values = {"Bits": cell.load.bits, "Depth": cell.load.depth}
            parts.append(Part(name, "loader", module_resources("nf_rom_load", values)))
            words += cell.load.words.size
    if words:
        gate = module_resources("nf_load_gate", {"Words": words})
        parts.append(Part(graph.input.name, "loader", gate))
    for name, stream in network.outputs.items():
        values = {"Beats": stream.beats}
        parts.append(Part(name, "end", module_resources("nf_axis_end", values)))
    return HardwareEstimate(tuple(parts), network_traffic(network))


def _node_parts(network: Network, name: str) -> list[Part]:
    """Return the cell of a node; of a layer its weight memory apart."""
    node, cell = network.graph.node(name), network.cells[name]
    if not isinstance(node, Conv | Linear):
        return [Part(name, "cell", resources(cell))]
    weights = conv_weights(cell.parameters)
    return [Part(name, "weights", weights), Part(name, "cell", resources(cell, weights=False))]

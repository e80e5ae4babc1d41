# SPDX-License-Identifier: Apache-2.0
"""Why nothing fits, and what is nearest to it that does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hw.device import Device
from hw.devices import DEVICES
from hw.explore.problem import Selection
from hw.explore.reduction import reduced
from hw.explore.resources import RESOURCE_WORDS
from hw.explore.search import (
    EFFORT,
    Exploration,
    Network,
    cheapest_plan,
    fastest_plan,
    network_tables,
)
from hw.explore.solver import solve
from hw.explore.variants import with_image, with_weight_bits
from quant.errors import NibbleflowError
from quant.graph import QGraph
from quant.nodes import Conv, Linear

_SHOWN_LAYERS = 3
_STRIDE = 32
"""Smaller images keep sides that are multiples of this, as detectors need."""


@dataclass(frozen=True)
class Shortage:
    """The resource that a plan lacks, with everything else within its limits.

    Attributes:
        resource: Its name in words.
        least: Fewest that a plan of the interval takes.
        limit: What there is.
        proved: Whether no plan takes fewer.
        layers: The nodes and edges that take most of it, with their number.
    """

    resource: str
    least: int
    limit: int
    proved: bool
    layers: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """Say it in one sentence."""
        most = ", ".join(f"{name} ({count:,})" for name, count in self.layers)
        about = "at least" if self.proved else "about"
        return (
            f"{self.resource}: {about} {self.least:,}, there are {self.limit:,}, "
            f"{self.least - self.limit:,} too few; most at {most}"
        )


@dataclass(frozen=True)
class Nearest:
    """Something that does fit.

    Attributes:
        change: What has to be given up, in words.
        interval: Cycles per frame.
        selection: The plan.
        clock_hz: Clock of its board.
    """

    change: str
    interval: int
    selection: Selection
    clock_hz: int

    def __str__(self) -> str:
        """Say it in one phrase."""
        return f"{self.change}: {self.clock_hz / self.interval:.4g} frames per second"


def shortages(network: Network, interval: int) -> list[Shortage]:
    """Return per resource that a plan of ``interval`` lacks how much of it, the worst first.

    Every resource in turn is without limit, and as little of it as possible is taken. Where that is
    still more than there is, it is what lacks; where no one resource alone is enough, none is
    named.
    """
    budget = network.budget_at(interval)
    limit = budget.limit
    if limit is None:
        return []
    found = []
    for field, most in enumerate(limit):
        if not most:
            continue  # nothing that takes it is offered
        free = replace(budget, lifted=field)
        small = reduced(network.problem, free, interval, network.banned)
        answer = solve(small, free, effort=EFFORT, least=field)
        if answer.selection is None or answer.selection.uses[field] <= most:
            continue
        proved = answer.verdict == "optimal"
        least = answer.selection.uses[field]
        takes = _takers(answer.selection, field)
        layers = tuple(sorted(takes.items(), key=lambda item: -item[1])[:_SHOWN_LAYERS])
        found.append(Shortage(RESOURCE_WORDS[field], least, most, proved, layers))
    return sorted(found, key=lambda s: s.least / max(s.limit, 1))


def nearest(network: Network, clock_hz: int, interval: int | None) -> Iterator[Nearest]:
    """Return what fits instead: fewer frames, a smaller image, fewer bits, a larger board.

    Args:
        network: The network that does not fit.
        clock_hz: Planned clock.
        interval: The interval that was asked for; ``None``: any.
    """
    budget = network.budget
    if interval is not None:
        slower = fastest_plan(network)
        if isinstance(slower, Exploration):
            selection = slower.selection
            yield Nearest("fewer frames", selection.interval, selection, clock_hz)
    for graph, change in (*smaller_images(network.graph), *fewer_bits(network.graph)):
        found = _plan(network_tables(graph, budget), interval)
        if found is not None:
            yield Nearest(change, found.interval, found, clock_hz)
            break
    if budget.device is not None:
        for board in larger_boards(budget.device):
            found = _plan(network_tables(network.graph, replace(budget, device=board)), interval)
            if found is not None:
                yield Nearest(f"board {board.name}", found.interval, found, clock_hz)
                break


def smaller_images(graph: QGraph) -> Iterator[tuple[QGraph, str]]:
    """Return the graph for smaller images, larger ones first; its weights stay."""
    _, height, width = graph.input.shape
    for percent in (75, 50, 25):
        h, w = (side * percent // 100 // _STRIDE * _STRIDE for side in (height, width))
        if min(h, w) < _STRIDE:
            return
        try:
            yield with_image(graph, h, w), f"images of {h}x{w}"
        except NibbleflowError:
            return  # a layer is made for one size


def fewer_bits(graph: QGraph) -> Iterator[tuple[QGraph, str]]:
    """Return the graph with narrower weights: sizes as after quantizing it so, values not."""
    most = max((n.weights.bits for n in graph.nodes if isinstance(n, Conv | Linear)), default=0)
    for bits in range(most - 1, 1, -1):
        try:
            yield with_weight_bits(graph, bits), f"weights of {bits} bits"
        except NibbleflowError:
            return  # a layer's tables have no narrower form


def larger_boards(device: Device) -> list[Device]:
    """Return the known boards of the same family with more memory, the smaller first."""

    def memory(board: Device) -> int:
        return board.bram36 + 8 * board.uram

    return sorted(
        (b for b in DEVICES.values() if memory(b) > memory(device) and b.lut > device.lut // 2),
        key=memory,
    )


def _plan(network: Network, interval: int | None) -> Selection | None:
    found = fastest_plan(network) if interval is None else cheapest_plan(network, interval)
    return found.selection if isinstance(found, Exploration) else None


def _takers(selection: Selection, field: int) -> Mapping[str, int]:
    takes = {name: option.uses[field] for name, option in selection.nodes.items()}
    for (producer, consumer), fifo in selection.fifos.items():
        takes[f"FIFO {producer} -> {consumer}"] = fifo.uses[field]
    return takes

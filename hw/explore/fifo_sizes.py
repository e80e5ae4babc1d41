# SPDX-License-Identifier: Apache-2.0
"""FIFO sizes before any folding is chosen: an estimate of the bits that every edge will hold.

In the slow run every cell takes the whole interval for a frame: it works at an even pace, as late
as its inputs make it, so times are counted in frames and no folding matters. In the fast run of an
edge its producer, and the cells without weights before it, answer at once. What the fast producer
has made and the slow reader has not taken yet is the size.

Two kinds of edges get one. Where several inputs meet, those that come early wait for the last. And
what comes from a cell without weights, or from one that strides, comes in bursts, rows at a time:
a layer that has no time to spare takes them at an even pace. All other edges are wires; what the
cells themselves hold is enough there.

The size is no bound. A layer with weights that is faster than the interval runs ahead of the slow
run, and all of them together may: a true bound lets everything before an edge answer at once and
everything else be slow, which is many times what finished plans take. The depths of a finished
plan are computed exactly; an edge that needs more raises its size, and a plan that no longer fits
is cut off.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.cells import node_cell
from hw.choices import lanes_of
from hw.conv_cell import linear_as_conv
from hw.conv_process import conv_process
from hw.cores import PIXELS
from hw.geometry import conv_geometry
from hw.process import Port, Process
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Node, Output, sources_of
from quant.schedule import Folding

Edge = tuple[str, str]
Times = npt.NDArray[np.float64]
"""Per beat of a frame the time at which it is there, in frames."""

NEVER = -np.inf

GROUP_PIXELS = max(PIXELS.values())
"""Pixels that a packed core makes at once, of one row; the runs know single pixels only."""


@dataclass(frozen=True, eq=False)
class _Runs:
    """Times of one tensor's beats.

    Attributes:
        slow: In the slow run.
        burst: In the slow run, but cells without weights answer at once.
        fast: When its producer answers at once, and the cells without weights before it do.
    """

    slow: Times
    burst: Times
    fast: Times


@dataclass(frozen=True, eq=False)
class _Taken:
    """How the slow run takes one input of a node.

    Attributes:
        times: Of its beats.
        late: How much later than at an even pace from the beginning of the frame they come.
    """

    times: Times
    late: float


def fifo_sizes(graph: QGraph) -> dict[Edge, int]:
    """Return the bits of FIFOs by producer and consumer; edges that are wires are left out."""
    runs: dict[str, _Runs] = {}
    sizes: dict[Edge, int] = {}
    bursts: dict[str, bool] = {}
    for node in graph.nodes:
        match node:
            case Input():
                pixels = node.shape[1] * node.shape[2]
                even = np.arange(1, pixels + 1) / pixels
                runs[node.name] = _Runs(even, even, even)
                bursts[node.name] = False
            case Output():
                continue  # every output is drained: nothing waits for it
            case _:
                sources = [runs[name] for name in sources_of(node)]
                runs[node.name], taken = _node_runs(graph, node, sources)
                bursts[node.name] = _bursts(node)
                last = max(range(len(taken)), key=lambda port: taken[port].late)
                for port, name in enumerate(sources_of(node)):
                    if port == last and not (bursts[name] and isinstance(node, Conv | Linear)):
                        continue
                    beats = _most_waiting(runs[name].fast, taken[port].times)
                    channels, height, width = graph.shapes[name]
                    pixel_bits = channels * graph.formats[name].bits
                    bits = beats * pixel_bits * height * width // len(runs[name].fast)
                    bits += GROUP_PIXELS * pixel_bits
                    key = (name, node.name)
                    sizes[key] = max(sizes.get(key, 0), bits)
    return sizes


def raised(sizes: Mapping[Edge, int], found: Mapping[Edge, int]) -> dict[Edge, int]:
    """Return ``sizes`` with every edge that turned out to need more at what it needs."""
    needed = {key: max(bits, sizes.get(key, 0)) for key, bits in found.items()}
    return {**sizes, **{key: bits for key, bits in needed.items() if bits}}


def _bursts(node: Node) -> bool:
    """Whether a node gives on at once what comes together, or skips rows."""
    match node:
        case Conv():
            return node.stride != (1, 1)
        case Linear():
            return False
        case _:
            return True


def _node_runs(graph: QGraph, node: Node, sources: list[_Runs]) -> tuple[_Runs, list[_Taken]]:
    """Return the times of a node's output, and how the slow run takes its inputs."""
    # Layers with weights are as slow as the interval allows, so what is before them comes slowly.
    weighs = isinstance(node, Conv | Linear)
    slow = [source.slow for source in sources]
    burst = [source.burst for source in sources]
    fast = burst if weighs else [source.fast for source in sources]
    first: list[_Taken] = []
    for stage in _stages(graph, node):
        slow = _at_ports(stage, slow)
        out, taken = _slow_stage(stage, slow)
        first = first or taken
        slow = [out]
        burst = slow if weighs else [_at_once(stage, burst)]
        fast = [_at_once(stage, fast)]
    return _Runs(slow[0], burst[0], fast[0]), [
        _Taken(_in_beats(found.times, len(source.fast)), found.late)
        for found, source in zip(first, sources, strict=True)
    ]


def _at_ports(stage: Process, arrivals: list[Times]) -> list[Times]:
    """Return the times of inputs in the beats of the ports."""
    return [_in_beats(times, port.beats) for times, port in zip(arrivals, stage.ports, strict=True)]


def _at_once(stage: Process, arrivals: list[Times]) -> Times:
    """Return when a stage emits that does every step as soon as its beats are there."""
    answer = np.zeros(stage.steps)
    for times, port in zip(_at_ports(stage, arrivals), stage.ports, strict=True):
        answer = np.maximum(answer, np.concatenate(([NEVER], times))[port.needed])
    return np.maximum.accumulate(answer)[stage.emits]


def _slow_stage(stage: Process, arrivals: list[Times]) -> tuple[Times, list[_Taken]]:
    """Return when the slow run emits, and how it takes every input."""
    pace = np.arange(1, stage.steps + 1) / stage.steps
    taken: list[Times] = []
    lates: list[float] = []
    for times, port in zip(arrivals, stage.ports, strict=True):
        # A port takes its beats at an even pace too, as late as the last of them makes it.
        even = np.arange(1, port.beats + 1) / port.beats
        taken.append((times - even).max() + even)
        there = np.concatenate(([NEVER], taken[-1]))[port.needed]
        lates.append(float((there - pace).max()) + 1 / stage.steps)
    ends = max(lates) + pace
    return ends[stage.emits], [
        _Taken(_with_places(times, port, ends), late)
        for times, port, late in zip(taken, stage.ports, lates, strict=True)
    ]


def _with_places(times: Times, port: Port, ends: Times) -> Times:
    """Return when beats are taken that also wait for a place, or for the step that takes them."""
    if port.freed is None:
        step = np.searchsorted(port.needed, np.arange(1, port.beats + 1))
        return np.maximum(times, ends[step] - 1 / len(ends))
    beats = np.arange(port.beats)
    frees = np.searchsorted(port.freed, beats - port.capacity, side="right")
    place = np.where(beats < port.capacity, NEVER, ends[np.minimum(frees, len(ends) - 1)])
    return np.maximum(times, place)


def _most_waiting(made: Times, taken: Times) -> int:
    """Return the most beats that are made and not yet taken, frames following each other."""
    last = int(np.ceil(taken.max())) + 1
    there = sum(np.searchsorted(made, taken - frame, side="right") for frame in range(last + 1))
    return int((there - np.arange(len(taken))).max())


def _in_beats(times: Times, beats: int) -> Times:
    """Return the times of beats of another width: pixels in parts, or several at once."""
    if len(times) == beats:
        return times
    if len(times) < beats:
        return np.repeat(times, beats // len(times))
    return times[len(times) // beats - 1 :: len(times) // beats]


def _stages(graph: QGraph, node: Node) -> tuple[Process, ...]:
    """Return the processes of a node's cell with all its channels in a beat."""
    if not isinstance(node, Conv | Linear):
        lanes = lanes_of(graph, node)[-1]
        return node_cell(node, graph, Folding(lanes, lanes), "").stages
    shape = graph.shapes[node.source]
    conv = node if isinstance(node, Conv) else linear_as_conv(node, shape)
    filters, channels, _, _ = conv.weights.shape
    depthwise = channels == 1 and filters == shape[0] and conv.groups > 1
    folding = Folding(filters, 1) if depthwise else Folding(filters // conv.groups, channels)
    return (conv_process(conv_geometry(conv, shape, folding)),)

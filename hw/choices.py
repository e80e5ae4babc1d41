# SPDX-License-Identifier: Apache-2.0
"""Choices: the foldings of every node that keep an interval, with what they cost.

Costs are bits of registers and of arithmetic, for comparing foldings of one node with each other
and with the width converters that they spare; they estimate no device.
"""

from dataclasses import dataclass
from math import gcd
from typing import assert_never

from hw.cells import node_cell
from hw.conv_cell import linear_as_conv
from hw.core_cost import LUTS_PER_BLOCK
from hw.divisors import divisors
from hw.foldings import Option, conv_options
from hw.geometry import conv_geometry
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Node,
    Output,
    Requantize,
    Split,
    Upsample,
)
from quant.schedule import Core, Folding

_ACCUMULATOR_COST = 32
_REQUANTIZER_COST = 256
_CONVERTER_COST = 32


@dataclass(frozen=True)
class Choice:
    """One folding of one node.

    Attributes:
        folding: PE, SIMD and core.
        in_lanes: Channels of a beat of every input; 0 for the graph's input.
        out_lanes: Channels of a beat of the output.
        cost: What the node costs with it.
    """

    folding: Folding
    in_lanes: int
    out_lanes: int
    cost: int


@dataclass(frozen=True)
class CoreAim:
    """Which cores a plan may take.

    Attributes:
        cores: Cores to choose from, per layer by cost; one core: every layer must take it.
        luts_per_block: Lookup tables that a DSP block is worth.
    """

    cores: tuple[Core, ...] = ("plain_lut",)
    luts_per_block: int = LUTS_PER_BLOCK


def layer_options(graph: QGraph, node: Conv | Linear, aim: CoreAim) -> list[Option]:
    """Return the foldings of a layer with weights by rising cost.

    Raises:
        PlanError: No core builds the layer.
    """
    in_shape = graph.shapes[node.source]
    conv = node if isinstance(node, Conv) else linear_as_conv(node, in_shape)
    source = graph.formats[node.source]
    return conv_options(conv, in_shape, source, aim.cores, aim.luts_per_block)


def lanes_of(graph: QGraph, node: Node) -> tuple[int, ...]:
    """Return the lanes that a node without weights may have, increasing."""
    channels = graph.shapes[node.name][0]
    match node:
        case Concat():
            return divisors(gcd(*(graph.shapes[source][0] for source in node.sources)))
        case Split():
            return divisors(gcd(graph.shapes[node.source][0], node.begin, node.end))
        case Input() | MaxPool() | AvgPool() | Add() | Upsample() | Requantize() | Lookup():
            return divisors(channels)
        case Conv() | Linear() | Output():
            raise PlanError(f"'{node.name}' does not have the same lanes on both sides")
        case _:
            assert_never(node)


def lanes_interval(graph: QGraph, node: Node, lanes: int) -> int:
    """Return the cycles per frame of a node without weights while nothing waits."""
    if isinstance(node, Input):
        channels, height, width = node.shape
        return channels // lanes * height * width
    return node_cell(node, graph, Folding(lanes, lanes), "").interval


def fastest_interval(graph: QGraph, node: Node) -> int:
    """Return the cycles per frame of a node without weights at its widest."""
    return lanes_interval(graph, node, lanes_of(graph, node)[-1])


def node_choices(graph: QGraph, node: Node, target: int, aim: CoreAim = CoreAim()) -> list[Choice]:
    """Return the foldings of ``node`` that take a frame in ``target`` cycles, cheapest first.

    A layer with weights keeps to the core and the products per cycle that cost least.

    Raises:
        PlanError: Not even the fastest folding keeps the target.
    """
    match node:
        case Conv() | Linear():
            options = layer_options(graph, node, aim)
            found = [o for o in options if o.interval <= target]
            if not found:
                raise _too_slow(node.name, target, min(o.interval for o in options))
            choices = [_layer_choice(graph, node, o) for o in found if o.cost == found[0].cost]
        case _:
            lanes = lanes_of(graph, node)
            least = next((n for n in lanes if lanes_interval(graph, node, n) <= target), None)
            if least is None:
                raise _too_slow(node.name, target, fastest_interval(graph, node))
            bits = graph.formats[node.name].bits
            choices = [
                Choice(Folding(n, n), 0 if isinstance(node, Input) else n, n, bits * n)
                for n in lanes
                if n >= least
            ]
    return sorted(choices, key=lambda choice: (choice.cost, choice.out_lanes, choice.in_lanes))


def converter_cost(lanes: int, other: int, bits: int) -> int:
    """Return the cost of changing a stream of ``lanes`` channels of ``bits`` bits to ``other``.

    One beat of each side, and a queue of two more of the output; lanes that do not divide each
    other also need the multiplexers that shift by their common divisor.
    """
    if lanes == other:
        return 0
    plain = max(lanes, other) % min(lanes, other) == 0
    shifters = 0 if plain else bits * (lanes + other) * 3
    return _CONVERTER_COST + bits * (lanes + 3 * other) + shifters


def _layer_choice(graph: QGraph, node: Conv | Linear, option: Option) -> Choice:
    in_shape = graph.shapes[node.source]
    conv = node if isinstance(node, Conv) else linear_as_conv(node, in_shape)
    g = conv_geometry(conv, in_shape, option.folding, graph.formats[node.source])
    cost = (
        g.pe * g.pixels * _ACCUMULATOR_COST
        + g.requant_lanes * _REQUANTIZER_COST
        + g.in_lanes * graph.formats[node.source].bits
    )
    return Choice(option.folding, g.in_lanes, g.out_lanes, cost)


def _too_slow(name: str, target: int, fastest: int) -> PlanError:
    return PlanError(
        f"'{name}' cannot take a frame in {target} cycles; fully parallel it needs {fastest}; "
        "raise the target interval"
    )

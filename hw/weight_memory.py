# SPDX-License-Identifier: Apache-2.0
"""Memory style of every weight memory: logic, block RAM or ultra RAM."""

from hw.conv_cell import linear_as_conv
from hw.conv_contents import conv_parameters
from hw.devices import URAM_DEPTH, URAM_WIDTH, Device
from hw.estimate import convolution
from hw.geometry import conv_geometry
from quant.graph import QGraph
from quant.nodes import Conv, Linear
from quant.schedule import Folding, MemoryStyle

SHALLOW_WORDS = 64
"""Up to so many words a memory is as many lookup tables as its word has bits."""

SMALL_BITS = 4096
"""Up to so many bits a block RAM would stay almost empty."""

ULTRA_SHARE = 3, 4
"""Share of its ultra RAMs that a memory must fill, as numerator and denominator."""


def weight_shape(graph: QGraph, node: Conv | Linear, folding: Folding) -> tuple[int, int]:
    """Return the bits of a word and the words of the weight memory of ``node``."""
    in_shape = graph.shapes[node.source]
    conv = node if isinstance(node, Conv) else linear_as_conv(node, in_shape)
    source = graph.formats[node.source]
    geometry = conv_geometry(conv, in_shape, folding, source)
    return convolution.weight_shape(conv_parameters(conv, source, geometry))


def weight_styles(
    graph: QGraph, foldings: dict[str, Folding], device: Device | None
) -> dict[str, MemoryStyle]:
    """Return the style of every weight memory by its name, ``<node>.weights``.

    Shallow and small memories become logic, the others block RAM. Ultra RAM takes the largest
    memories that fill it well, as long as the device has some.

    Args:
        graph: The integer graph.
        foldings: Folding per node.
        device: Device to place them on; without one no memory is put into ultra RAM.
    """
    shapes = {
        f"{node.name}.weights": weight_shape(graph, node, foldings[node.name])
        for node in graph.nodes
        if isinstance(node, Conv | Linear)
    }
    left = 0 if device is None else device.uram
    ultra: set[str] = set()
    for name, (width, words) in sorted(shapes.items(), key=lambda i: (-i[1][0] * i[1][1], i[0])):
        count = -(-width // URAM_WIDTH) * -(-words // URAM_DEPTH)
        filled = width * words * ULTRA_SHARE[1] >= count * URAM_WIDTH * URAM_DEPTH * ULTRA_SHARE[0]
        if filled and count <= left:
            ultra.add(name)
            left -= count
    return {
        name: "ultra" if name in ultra else _small_style(width, words)
        for name, (width, words) in shapes.items()
    }


def _small_style(width: int, words: int) -> MemoryStyle:
    return "distributed" if words <= SHALLOW_WORDS or width * words <= SMALL_BITS else "block"

# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.packedmix NARROW EDGES --json FILE``: cores of a network together.

NARROW is a build with weights of 4 bits in every layer, EDGES one with 8 bits in stem and head,
both of pictures of 64x64; shares are those of 640x640. Every layer takes the core that costs least
of those that its weights leave (``hw.core_cost``). Blocks and lookup tables are those of the cores
alone, at the measured figures per product.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hw.core_cost import LUT_PER_MAC, core_cost
from hw.cores import MACS_PER_BLOCK, PACKED_CORES, PIXELS
from hw.divisors import divisors
from hw.geometry import ConvGeometry, conv_geometry
from quant.bundle import load_bundle
from quant.errors import NibbleflowError, PlanError
from quant.formats import RowRange, TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv
from quant.schedule import Core, Folding
from reports.bench.record import Row

# Layers that no packed core builds multiply in blocks too: products in logic would hide them.
CORES: tuple[Core, ...] = ("plain_dsp", *PACKED_CORES)
WIDEST_TAP = 8
"""Channels of a tap in which the cores were measured."""


SCALE = 10
"""Sides of the pictures that the figures are for, over those of the builds."""


def main(arguments: list[str] | None = None) -> int:
    """Work out and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Cores that the layers of a network take.")
    parser.add_argument("narrow", type=Path, help="build with 4-bit weights everywhere")
    parser.add_argument("edges", type=Path, help="build with 8-bit weights in stem and head")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        narrow, edges = (
            load_bundle(folder / "bundle").graph for folder in (given.narrow, given.edges)
        )
        rows = [
            mix_row("every layer W4A4", narrow, scale=SCALE, narrow_input=True),
            mix_row("every layer W4A4, picture of 8 bits", narrow, scale=SCALE),
            mix_row("8-bit stem and head, picture of 8 bits", edges, scale=SCALE),
        ]
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps({"mix": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


@dataclass(frozen=True)
class LayerCore:
    """The core of one layer.

    Attributes:
        core: The core.
        macs: Products of a frame.
        busy: Products that its core has time for in a frame: those, zero filters, pad columns.
    """

    core: Core
    macs: int
    busy: int


def layer_core(node: Conv, in_shape: tuple[int, int, int], source: TensorFormat) -> LayerCore:
    """Return the core of a layer that takes as many channels a tap as the measured cores.

    Raises:
        PlanError: No core builds the layer.
    """
    simd = max(n for n in divisors(node.weights.shape[1]) if n <= WIDEST_TAP)
    bits = node.weights.bits * source.decoded_bits
    cost: dict[Core, float] = {}
    built: dict[Core, ConvGeometry] = {}
    for core in CORES:
        pe = 2 if core in PACKED_CORES else 1
        try:
            g = conv_geometry(node, in_shape, Folding(pe, simd, PIXELS[core], core), source)
        except PlanError:
            continue  # the plain core among them builds every layer
        built[core] = g
        cost[core] = core_cost(core, pe, simd, bits) / g.macs_per_cycle
    core = min(cost, key=lambda name: cost[name])
    g = built[core]
    macs = g.out_height * g.out_width * int(node.weights.codes.size)
    return LayerCore(core, macs, g.compute_cycles * g.macs_per_cycle)


def mix_row(name: str, graph: QGraph, *, scale: int = 1, narrow_input: bool = False) -> Row:
    """Return the figures of all convolutions of a network together.

    Args:
        name: What the row is called.
        graph: The integer graph.
        scale: Factor of the picture's sides; shares of the layers stay, pad columns weigh less.
        narrow_input: Count the picture as 4-bit codes, which no graph has: what the cores alone
            would reach.

    Raises:
        PlanError: No core builds a layer.
    """
    layers = []
    for node in graph.convs:
        source = graph.formats[node.source]
        if narrow_input and node.source == graph.input.name:
            source = TensorFormat(4, (RowRange(source.channels, 1.0, 0),))
        channels, height, width = graph.shapes[node.source]
        layers.append(layer_core(node, (channels, height * scale, width * scale), source))
    macs = sum(layer.macs for layer in layers)
    blocks = sum(layer.macs / MACS_PER_BLOCK[layer.core] for layer in layers)
    busy = sum(layer.busy / MACS_PER_BLOCK[layer.core] for layer in layers)
    luts = sum(layer.macs * LUT_PER_MAC[layer.core] for layer in layers)
    counts = Counter(layer.core for layer in layers)
    return {
        "network": name,
        "layers": ", ".join(f"{counts[core]} {core}" for core in CORES if counts[core]),
        "macs": macs,
        "mac_per_dsp": round(macs / blocks, 3),
        "mac_per_dsp_with_borders": round(macs / busy, 3),
        "lut_per_mac": round(luts / macs, 3),
    }


if __name__ == "__main__":
    sys.exit(main())

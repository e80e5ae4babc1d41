# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.weightmemories BUILD --json FILE``: block RAMs that weights take.

Every layer of a build takes a frame in at most the same cycles on both sides, all weights have four
bits and lie in block RAM.

- FINN: the folding of its pass (SIMD grows while a word has at most 36 bits, then PE, then SIMD
  again), and the best folding for its formula; block RAMs by that formula.
- Here: the folding and core that take the fewest, counted as Yosys makes them
  (``hw.estimate.memory``), of everything that the convolution cell builds.

Source of formula and pass: FINN 39f0c9a6b, ``MVAU.bram_estimation`` and ``SetFolding``.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.devices import find_device
from hw.divisors import divisors
from hw.estimate import memory_resources
from hw.explore import Budget, Uses
from hw.explore.options import cores_offered, node_options
from hw.explore.variants import with_image, with_weight_bits
from hw.foldings import conv_geometries
from hw.geometry import ConvGeometry, conv_geometry
from hw.weight_memory import weight_shape
from quant.bundle import load_bundle
from quant.errors import NibbleflowError
from quant.graph import QGraph
from quant.nodes import Conv
from quant.schedule import MemoryStyle

BITS = 4
INTERVALS = (14_745_600, 3_686_400, 1_843_200, 921_600)
_WORD_CAP = 36
MIX_BOARD = "zcu104"


@dataclass(frozen=True)
class Layer:
    """One layer as a matrix.

    Attributes:
        filters: Rows MH.
        columns: Columns MW: channels times kernel positions.
        pixels: Output pixels.
    """

    filters: int
    columns: int
    pixels: int

    def cycles(self, pe: int, simd: int) -> int:
        """Return the cycles of a frame."""
        return self.filters // pe * (self.columns // simd) * self.pixels


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Count the block RAMs of weights.")
    parser.add_argument("build", type=Path, help="build folder")
    parser.add_argument("--pixels", type=int, help="side of the images; else that of the build")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        graph = with_weight_bits(load_bundle(given.build / "bundle").graph, BITS)
        if given.pixels is not None:
            graph = with_image(graph, given.pixels, given.pixels)
        values = {"block": list(block_rows(graph)), "mix": list(mix_rows(graph))}
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def finn_block_rams(word_bits: int, words: int) -> int:
    """Return the block RAMs of 18 Kibit by FINN's formula."""
    if word_bits <= 4:
        return -(-words // 4096) * -(-word_bits // 4)
    if word_bits <= 9:
        return -(-words // 2048) * -(-word_bits // 9)
    if word_bits <= 18 or words > 512:
        return -(-words // 1024) * -(-word_bits // 18)
    return -(-words // 512) * -(-word_bits // 36)


def finn_folding(layer: Layer, interval: int) -> tuple[int, int]:
    """Return PE and SIMD as FINN's pass chooses them for ``interval`` cycles."""
    simd = 1
    for wider in divisors(layer.columns):
        if wider * BITS > _WORD_CAP:
            break
        simd = wider
        if layer.cycles(1, simd) <= interval:
            return 1, simd
    pe = 1
    for pe in divisors(layer.filters):
        if layer.cycles(pe, simd) <= interval:
            return pe, simd
    return pe, next(
        (n for n in divisors(layer.columns) if layer.cycles(pe, n) <= interval), layer.columns
    )


def block_rows(graph: QGraph) -> Iterator[dict[str, Any]]:
    """Yield per interval the block RAMs of all layers on both sides."""
    foldings = {
        node.name: conv_geometries(
            node, graph.shapes[node.source], graph.formats[node.source], cores_offered(None)
        )
        for node in graph.convs
    }
    for interval in INTERVALS:
        ours = passed = best = faster = layers = 0
        for node in graph.convs:
            fitting = [g for g in foldings[node.name] if g.interval <= interval]
            found = min((_memory(graph, node, g, "block").bram18 for g in fitting), default=None)
            if found is None:
                faster += 1
                continue
            layer = _layer(graph, node)
            layers += 1
            ours += found
            passed += _finn(layer, *finn_folding(layer, interval))
            best += min(
                _finn(layer, pe, simd)
                for pe in divisors(layer.filters)
                for simd in divisors(layer.columns)
                if layer.cycles(pe, simd) <= interval
            )
        yield {
            "interval_cycles": interval,
            "layers": layers,
            "layers_out_of_reach": faster,
            "finn_bram18": passed,
            "finn_best_bram18": best,
            "bram18": ours,
            "ratio": round(ours / passed, 3),
            "ratio_to_best": round(ours / best, 3),
        }


def mix_rows(graph: QGraph) -> Iterator[dict[str, Any]]:
    """Yield per interval where the weights lie when each memory has its cheapest style."""
    device = find_device(MIX_BOARD)
    budget = Budget(device)
    options = {node.name: node_options(graph, node, device) for node in graph.convs}
    for interval in INTERVALS:
        styles = {"distributed": 0, "block": 0, "ultra": 0}
        taken, bits = Uses(), 0
        for node in graph.convs:
            fitting = [o for o in options[node.name] if o.interval <= interval]
            if not fitting:
                continue
            chosen = min(fitting, key=lambda o: budget.cost(o.uses))
            styles[str(chosen.style)] += 1
            shape, source = graph.shapes[node.source], graph.formats[node.source]
            g = conv_geometry(node, shape, chosen.folding, source)
            taken = taken.plus(_memory(graph, node, g, chosen.style))
            bits += node.weights.codes.size * BITS
        yield {
            "interval_cycles": interval,
            **{f"layers_{style}": count for style, count in styles.items()},
            "bram18": taken.bram18,
            "uram": taken.uram,
            "weight_bits": bits,
        }


def _memory(graph: QGraph, node: Conv, g: ConvGeometry, style: MemoryStyle | None) -> Uses:
    """Return the blocks of a layer's weights: one memory per place in a packed core's chain."""
    bits, words = weight_shape(graph, node, g.folding)
    match style:
        case "block" | "ultra":
            one = memory_resources(bits // g.cascade, words, style, "rom")
            return Uses.of(one).times(g.cascade)
        case _:
            return Uses()


def _layer(graph: QGraph, node: Conv) -> Layer:
    filters, channels, kh, kw = node.weights.shape
    _, height, width = graph.shapes[node.name]
    return Layer(filters, channels * kh * kw, height * width)


def _finn(layer: Layer, pe: int, simd: int) -> int:
    return finn_block_rams(pe * simd * BITS, layer.filters * layer.columns // (pe * simd))


if __name__ == "__main__":
    sys.exit(main())

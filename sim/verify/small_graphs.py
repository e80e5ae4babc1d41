# SPDX-License-Identifier: Apache-2.0
"""Six small graphs that have every hand-written module between them.

``layers``: convolutions, a skip connection, an addition; ``groups``: convolutions with group
multipliers; ``packed``: convolutions on packed cores; ``routes``: everything without weights;
``loaded``: weights loaded into ultra RAM; ``streamed``: weights from outside, on plain
and packed cores.
"""

from dataclasses import replace
from typing import Literal, assert_never

import numpy as np

from hw.network import build_network
from hw.tokens import token_graph
from quant.graph import QGraph
from quant.nodes import (
    Add,
    AvgPool,
    Concat,
    Input,
    Lookup,
    MaxPool,
    Output,
    Requantize,
    Requantizer,
    Split,
    Upsample,
)
from quant.samples import sample_conv, sample_format
from quant.schedule import Folding, MemoryStyle, Schedule
from quant.weights import Granularity

GraphName = Literal["layers", "groups", "packed", "routes", "loaded", "streamed"]
CLOCK_HZ = 200_000_000
LAYER_DEPTH = 40


def small_graph(name: GraphName) -> tuple[QGraph, Schedule]:
    """Return the graph of this name and its schedule, FIFO depths included."""
    match name:
        case "routes":
            graph, folding = _routes()
        case "groups":
            graph, folding = _groups()
        case "packed":
            graph, folding = _packed()
        case "streamed":
            graph, folding = _streamed()
        case "layers" | "loaded":
            graph, folding = _layers()
        case _:
            assert_never(name)
    memory: dict[str, MemoryStyle] = {}
    if name == "streamed":
        memory = {f"{conv.name}.weights": "external" for conv in graph.convs}
    if name == "loaded":
        memory = {"first.weights": "ultra", "second.weights": "ultra", "first->sum": "block"}
    schedule = Schedule(graph.digest, CLOCK_HZ, folding, memory=memory)
    edges = token_graph(build_network(graph, schedule)).edges
    # Whole tensors where a faulty order of reading would else end in a standstill elsewhere.
    most = 1 << 20 if name == "routes" else LAYER_DEPTH
    depths = {edge.key: min(edge.beats, most) for edge in edges}
    return graph, replace(schedule, fifo_depth=depths)


def _layers() -> tuple[QGraph, dict[str, Folding]]:
    plain = sample_format(8, 8, zero=128)
    image = Input("image", (4, 6, 8), sample_format(4, 8))
    first, _ = sample_conv(
        1, 4, 8, 1, padding=0, table=True, output=plain, source=image.output,
        names=("first", "image"),
    )  # fmt: skip
    second, _ = sample_conv(2, 8, 8, 3, output=plain, source=plain, names=("second", "first"))
    join = Add("sum", ("first", "second"), (70000, 41234), 17, 0, 255, plain)
    graph = QGraph("layers", (image, first, second, join, Output("out", "sum")))
    folding = {
        "image": Folding(2, 2),
        "first": Folding(4, 2),
        "second": Folding(4, 2),
        "sum": Folding(4, 4),
    }
    return graph, folding


def _groups() -> tuple[QGraph, dict[str, Folding]]:
    plain = sample_format(8, 8, zero=128)
    image = Input("image", (4, 6, 8), sample_format(4, 8))
    parts, _ = sample_conv(
        1, 4, 8, output=plain, source=image.output, granularity=Granularity.C_SHAPE,
        names=("parts", "image"),
    )  # fmt: skip
    acts, _ = sample_conv(
        2, 8, 8, output=plain, source=plain, granularity=Granularity.F_SHAPE,
        names=("acts", "parts"),
    )  # fmt: skip
    graph = QGraph("groups", (image, parts, acts, Output("out", "acts")))
    return graph, {"image": Folding(2, 2), "parts": Folding(4, 2), "acts": Folding(4, 4)}


def _packed() -> tuple[QGraph, dict[str, Folding]]:
    plain, wide = sample_format(8, 4, zero=8), sample_format(16, 4, zero=8)
    image = Input("image", (4, 6, 7), sample_format(4, 8))
    bytes_, _ = sample_conv(
        4, 4, 8, output=plain, source=image.output, scheme="symmetric", names=("bytes", "image"),
    )  # fmt: skip
    pairs, _ = sample_conv(
        1, 8, 16, 1, padding=0, output=wide, source=plain, names=("pairs", "bytes"),
    )  # fmt: skip
    # More channels in a tap than one chain of blocks may add: chains meet in an adder tree.
    rows, _ = sample_conv(
        2, 16, 8, output=plain, source=wide, scheme="symmetric", names=("rows", "pairs"),
    )  # fmt: skip
    fours, _ = sample_conv(
        3, 8, 6, output=sample_format(6, 4, zero=8), source=plain, scheme="symmetric",
        weight_bits=3, names=("fours", "rows"),
    )  # fmt: skip
    graph = QGraph("packed", (image, bytes_, pairs, rows, fours, Output("out", "fours")))
    return graph, {
        "image": Folding(4, 4),
        "bytes": Folding(4, 2, core="w4a8"),
        "pairs": Folding(4, 4, core="outer4"),
        "rows": Folding(2, 16, core="pack6"),
        "fours": Folding(4, 2, core="pack12"),
    }


def _streamed() -> tuple[QGraph, dict[str, Folding]]:
    plain, eight = sample_format(8, 4, zero=8), sample_format(4, 8, zero=128)
    image = Input("image", (4, 6, 7), sample_format(4, 8))
    acts, _ = sample_conv(
        1, 4, 4, output=eight, source=image.output, granularity=Granularity.F_SHAPE,
        names=("acts", "image"),
    )  # fmt: skip
    alone, _ = sample_conv(2, 4, 4, groups=4, output=eight, source=eight, names=("alone", "acts"))
    dense, _ = sample_conv(
        3, 4, 8, 1, padding=0, output=plain, source=eight, names=("dense", "alone")
    )
    pairs, _ = sample_conv(
        1, 8, 8, 1, padding=0, output=plain, source=plain, names=("pairs", "dense")
    )
    # Chains of several blocks, whose words come late.
    rows, _ = sample_conv(
        2, 8, 6, output=sample_format(6, 4, zero=8), source=plain, scheme="symmetric",
        names=("rows", "pairs"),
    )  # fmt: skip
    graph = QGraph("streamed", (image, acts, alone, dense, pairs, rows, Output("out", "rows")))
    return graph, {
        "image": Folding(2, 2),
        "acts": Folding(2, 2),
        "alone": Folding(2, 1),
        "dense": Folding(4, 2),
        "pairs": Folding(4, 4, core="outer4"),
        "rows": Folding(4, 8, core="pack6"),
    }


def _routes() -> tuple[QGraph, dict[str, Folding]]:
    eight, four = sample_format(8, 8, zero=128), sample_format(4, 8, zero=128)
    image = Input("image", (8, 6, 8), eight)
    bent = (np.arange(256)[::-1] ^ 5).astype(np.uint16)
    nodes = (
        image,
        MaxPool("pool", "image", (3, 3), (2, 2), (1, 1, 1, 1)),
        Upsample("up", "pool", 2),
        Concat("cat", ("up", "image")),
        Split("slice", "cat", 4, 8),
        Requantize("scaled", "slice", _requantizer(98304, 17, 100), sample_format(4, 8, zero=100)),
        Lookup("bend", "scaled", bent, four),
        AvgPool("mean", "bend", (2, 2), (2, 2), _requantizer(90000, 18, 128), four),
        AvgPool("all", "bend", (6, 8), (6, 8), _requantizer(120000, 21, 128), four),
        Output("out", "mean"),
        Output("total", "all"),
    )
    graph = QGraph("routes", nodes)
    return graph, {n.name: Folding(2, 2) for n in nodes if not isinstance(n, Output)}


def _requantizer(multiplier: int, shift: int, zero: int) -> Requantizer:
    return Requantizer(
        np.array([multiplier], np.uint32),
        np.array([shift], np.uint8),
        np.array([zero], np.int32),
        0,
        255,
        8,
    )

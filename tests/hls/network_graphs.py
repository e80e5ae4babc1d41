# SPDX-License-Identifier: Apache-2.0
"""Graphs and hand-made schedules for the tests of whole networks."""

from collections.abc import Mapping

import numpy as np

from quant.graph import QGraph
from quant.nodes import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    Linear,
    MaxPool,
    Node,
    Output,
    Requantizer,
    Split,
    Upsample,
)
from quant.samples import sample_conv, sample_format, sample_graph
from quant.schedule import Folding, Schedule


def schedule_of(graph: QGraph, lanes: Mapping[str, int] | int, **more) -> Schedule:
    """Return a schedule with the same lanes everywhere, PE 2 and the largest SIMD of 4, 3, 2, 1."""
    folding = {}
    for node in graph.nodes:
        width = lanes if isinstance(lanes, int) else lanes.get(node.name, lanes["else"])
        match node:
            case Conv():
                filters, channels, _, _ = node.weights.shape
                depthwise = channels == 1 and node.groups == filters > 1
                pe = 2 if filters // (1 if depthwise else node.groups) % 2 == 0 else 1
                simd = next(s for s in (4, 3, 2, 1) if channels % s == 0)
                folding[node.name] = Folding(pe, simd)
            case Linear():
                folding[node.name] = Folding(5, 4)
            case Input():
                folding[node.name] = Folding(node.shape[0], node.shape[0])
            case Output():
                pass
            case _:
                folding[node.name] = Folding(width, width)
    return Schedule(graph.digest, 200_000_000, folding, **more)


def every_kind(seed: int = 1) -> tuple[QGraph, Schedule]:
    """Return the sample graph, with a deep FIFO and two bound memories."""
    graph = sample_graph(seed)
    return graph, schedule_of(
        graph,
        4,
        fifo_depth={("stem", "sum"): 100},
        memory={"stem->sum": "block", "grouped.weights": "distributed"},
    )


def corners() -> tuple[QGraph, Schedule]:
    """Return a graph of corner cases of the cells that are not convolutions.

    One lane and odd lanes, a pool of uneven kernel, stride and padding, a global pool of a
    codebook, an add of codebooks, one source twice in a concat, three readers and an output of one
    tensor, an upsampling whose pixel is one beat, lanes 6 to 4.
    """
    conv, source = sample_conv(
        1, 3, 12, act_bits=5, table=True, names=("conv", "x"), source=sample_format(3, 8),
        output=sample_format(12, 5, codebook=True, zero=3),
    )  # fmt: skip
    plain = sample_format(12, 6, zero=20)
    mean = sample_format(12, 5, zero=11)
    requant = Requantizer(
        np.array([99_999], np.uint32), np.array([22], np.uint8), np.array([11]), 0, 31, 5
    )
    nodes: tuple[Node, ...] = (
        Input("x", (3, 9, 11), source),
        conv,
        MaxPool("pool", "conv", (3, 2), (2, 3), (2, 1, 0, 1)),
        Add("sum", ("conv", "conv"), (65_537, 40_000), 16, 3, 60, plain),
        AvgPool("global", "conv", (9, 11), (1, 1), requant, mean),
        AvgPool("window", "conv", (2, 3), (2, 2), requant, mean),
        Concat("twice", ("pool", "pool")),
        Split("part", "twice", 6, 18),
        Upsample("up", "part", 3),
        *(Output(f"out {name}", name) for name in ("conv", "sum", "global", "window", "up")),
    )
    graph = QGraph("corners", nodes)
    lanes = {"else": 4, "pool": 6, "global": 3, "window": 1, "twice": 6, "part": 6, "up": 12}
    return graph, schedule_of(graph, lanes)

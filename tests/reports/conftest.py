# SPDX-License-Identifier: Apache-2.0
"""A small bundle with the float network that it could have come from, and a folding."""

import numpy as np
import pytest

from quant.bundle import Bundle
from quant.floatgraph import FloatConv, FloatGraph, FloatInput, FloatLinear
from quant.graph import QGraph
from quant.hostspec import HostSpec
from quant.nodes import Conv, Linear
from quant.record import LayerRecord, QuantRecord
from quant.samples import sample_graph
from quant.schedule import Folding, Schedule

HOST = HostSpec(
    height=16,
    width=20,
    place="center",
    pad_value=114,
    channel_order="rgb",
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    decode="none",
    strides=(),
    anchors=(),
    outputs=(),
    class_names=(),
)


def bundle_of(graph: QGraph, layers: tuple[LayerRecord, ...] = ()) -> Bundle:
    record = QuantRecord("integer", "sample", 1200, 1100, {"weight_bits": 4}, ("a note",), layers)
    return Bundle(graph, HOST, record)


def float_graph_of(graph: QGraph) -> FloatGraph:
    """Float weights that lie a little beside the levels of their codes."""
    rng = np.random.default_rng(5)
    ops = [FloatInput(graph.input.name, graph.input.shape)]
    for node in graph.nodes:
        if not isinstance(node, Conv | Linear):
            continue
        scale = node.weights.scale.reshape(-1, 1, 1, 1)
        real = node.weights.integers() + rng.normal(0, 0.2, node.weights.shape)
        weight = (real * scale).astype(np.float32)
        bias = np.zeros(len(weight), np.float32)
        if isinstance(node, Conv):
            ops.append(
                FloatConv(
                    node.name, node.source, weight, bias, node.stride, node.padding, node.groups
                )
            )
        else:
            ops.append(FloatLinear(node.name, node.source, weight.reshape(len(weight), -1), bias))
    shapes = {op.name: graph.shapes[op.name] for op in ops}
    return FloatGraph(graph.name, tuple(ops), (ops[-1].name,), shapes, 1200)


def schedule_of(graph: QGraph, clock_hz: int = 100_000_000) -> Schedule:
    folding = {node.name: Folding(node.weights.shape[0] // 4, 1) for node in graph.convs}
    return Schedule(graph.digest, clock_hz, folding)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """A graph of every node kind, its SQNR made up: lower towards the end."""
    graph = sample_graph(3)
    layers = tuple(
        LayerRecord(
            node.name,
            type(node).__name__.lower(),
            0,
            8,
            "",
            "",
            18.5 + i if isinstance(node, Conv | Linear) else None,
            40.0 - i,
            2 if node.name == "point" else 0,
        )
        for i, node in enumerate(graph.nodes[:-2])
    )
    return bundle_of(graph, layers)


@pytest.fixture(scope="session")
def float_graph(bundle: Bundle) -> FloatGraph:
    return float_graph_of(bundle.graph)


@pytest.fixture(scope="session")
def schedule(bundle: Bundle) -> Schedule:
    return schedule_of(bundle.graph)


@pytest.fixture(scope="session")
def summary(bundle, schedule):
    from reports.summary import summarise

    return summarise(bundle, schedule)

# SPDX-License-Identifier: Apache-2.0
"""Packed cores that layers leave: counted per scheme and granularity."""

import numpy as np

from quant.floatgraph import FloatConv, FloatGraph, FloatInput
from quant.graph import QGraph
from quant.nodes import Input, Output
from quant.samples import sample_conv, sample_format
from quant.weights import Granularity
from reports.cores import core_rows, core_table, possible_cores
from reports.tables import text_of


def network() -> QGraph:
    """Return a 3x3 layer of 8-bit input, then 4-bit ones: 3x3, 1x1, and 3x3 with multipliers."""
    image = Input("image", (8, 8, 8), sample_format(8, 8))
    four = sample_format(8, 4, zero=8)
    layers = []
    before, fmt = "image", image.output
    for name, kernel, granularity in (
        ("stem", 3, Granularity.FILTER),
        ("rows", 3, Granularity.FILTER),
        ("point", 1, Granularity.FILTER),
        ("parts", 3, Granularity.C_SHAPE),
    ):
        node, _ = sample_conv(
            1, 8, 8, kernel, 1, kernel // 2, source=fmt, output=four, scheme="symmetric",
            granularity=granularity, names=(name, before),
        )  # fmt: skip
        layers.append(node)
        before, fmt = name, four
    return QGraph("cores", (image, *layers, Output("out", "parts")))


def test_rows():
    rows = core_rows(network())
    assert [(r.granularity, r.weight_bits, r.act_bits, r.layers) for r in rows] == [
        (Granularity.FILTER, 4, 4, 2),
        (Granularity.FILTER, 4, 8, 1),
        (Granularity.C_SHAPE, 4, 4, 1),
    ]
    assert [row.cores for row in rows] == [{"outer4": 2, "pack6": 1}, {"w4a8": 1}, {}]
    # Nine tenths of the products six to a block, a tenth four.
    pair = 8 * 8 * 64 * 10
    assert rows[0].macs == pair
    assert rows[0].mac_per_dsp == pair / (pair * 9 / 10 / 6 + pair / 10 / 4)
    assert [row.mac_per_dsp for row in rows[1:]] == [3, 1]
    assert rows[0].to_json()["granularity"] == "filter"


def test_table_names_the_cores():
    text = text_of([core_table(core_rows(network()))])
    assert "outer4 2, pack6 1" in text
    assert "none" in text
    assert "cores that the cell builds; with group multipliers it builds plain ones" in text


def test_possible_cores_of_weights_alone():
    shapes = {"image": (8, 8, 8)}
    ops = [FloatInput("image", shapes["image"])]
    weights = {}
    for node in network().convs:
        weights[node.name] = node.weights
        bias = np.zeros(8, np.float32)
        ops.append(
            FloatConv(
                node.name, ops[-1].name, node.weights.codes.astype(np.float32), bias, (1, 1),
                node.padding, 1,
            )
        )  # fmt: skip
        shapes[node.name] = (8, 8, 8)
    graph = FloatGraph("cores", tuple(ops), ("parts",), shapes, 0)
    narrow, wide = possible_cores(graph, weights, (4, 8))
    # Three 3x3 layers and one of 1x1, a ninth as large; multipliers by position leave outer4 alone.
    assert narrow == ({"outer4": 4, "pack6": 2}, (3 * 9 + 1) / (2 * 9 / 6 + (9 + 1) / 4))
    assert wide == ({"w4a8": 2}, (3 * 9 + 1) / (2 * 9 / 3 + 9 + 1))

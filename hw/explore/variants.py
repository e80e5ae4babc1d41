# SPDX-License-Identifier: Apache-2.0
"""Networks of other sizes: what they would take, before they are quantized so."""

from dataclasses import replace

import numpy as np

from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear


def with_image(graph: QGraph, height: int, width: int) -> QGraph:
    """Return ``graph`` for images of another size.

    Raises:
        GraphError: A layer is made for one size.
    """
    nodes = [
        replace(node, shape=(node.shape[0], height, width)) if isinstance(node, Input) else node
        for node in graph.nodes
    ]
    return QGraph(graph.name, tuple(nodes))


def with_weight_bits(graph: QGraph, bits: int) -> QGraph:
    """Return ``graph`` with weights of at most ``bits`` bits: their sizes are right, not values.

    Raises:
        GraphError: A layer's tables have no such form.
    """
    nodes = tuple(
        _narrowed(node, bits) if isinstance(node, Conv | Linear) else node for node in graph.nodes
    )
    return QGraph(graph.name, nodes)


def _narrowed(node: Conv | Linear, bits: int) -> Conv | Linear:
    weights = node.weights
    if weights.bits <= bits:
        return node
    drop = weights.bits - bits
    narrow = replace(
        weights,
        codes=(weights.codes >> drop).astype(np.uint8),
        bits=bits,
        tables=weights.tables[:, :: 1 << drop] >> drop,
    )
    return replace(node, weights=narrow)

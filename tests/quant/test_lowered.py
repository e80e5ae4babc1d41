# SPDX-License-Identifier: Apache-2.0
"""The lowered executor: equal to loops in Python integers, and to the golden model."""

import itertools
import re

import numpy as np
import pytest

from quant.errors import GraphError
from quant.formats import TensorFormat
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
    Output,
    Requantize,
    Requantizer,
    Split,
    Upsample,
    sources_of,
)
from quant.ptq.lowered import run_lowered, visit_lowered
from quant.samples import sample_codes, sample_graph


def literal(graph: QGraph, node, sources):
    """One frame of one node by loops over Python integers, straight from the contract."""
    x = sources[0].astype(object)
    formats = [graph.formats[s] for s in sources_of(node)]
    a = [decode(s, f) for s, f in zip(sources, formats, strict=True)]
    shape = graph.shapes[node.name]
    y = np.zeros(shape, object)
    for f, row, column in itertools.product(*(range(n) for n in shape)):
        at = (f, row, column)
        match node:
            case Conv():
                y[at] = layer(node, f, conv_products(node, a[0], formats[0].zero_point, at))
            case Linear():
                w = node.weights
                flat = a[0].reshape(-1)
                y[at] = layer(
                    node, f, sum(flat[i] * weight(w, (f, i, 0, 0)) for i in range(len(flat)))
                )
            case MaxPool():
                y[at] = max(x[f, i, j] for i, j in window(node, x.shape, row, column))
            case AvgPool():
                places = list(window(node, x.shape, row, column))
                acc = sum(a[0][f, i, j] for i, j in places) - len(places) * formats[0].zero_point
                y[at] = requantized(acc, node.requant, 0)
            case Add():
                acc = sum(
                    (v[at] - s.zero_point) * m
                    for v, s, m in zip(a, formats, node.multipliers, strict=True)
                )
                code = ((acc + (1 << (node.shift - 1))) >> node.shift) + node.output.zero_point
                y[at] = min(max(code, node.low), node.high)
            case Concat():
                y[at] = np.concatenate([s.astype(object) for s in sources])[at]
            case Split():
                y[at] = x[f + node.begin, row, column]
            case Upsample():
                y[at] = x[f, row // node.factor, column // node.factor]
            case Requantize():
                y[at] = requantized(a[0][at] - formats[0].zero_point, node.requant, 0)
            case Lookup():
                y[at] = int(node.table[x[at]])
            case _:
                y[at] = x[at]
    return y


def decode(codes, fmt):
    book = fmt.codebook
    return np.vectorize(lambda q: int(q) if book is None else book[int(q)], otypes=[object])(codes)


def weight(w, index):
    group = tuple(i if n > 1 else 0 for i, n in zip(index, w.selectors.shape, strict=True))
    entry = w.tables[int(w.selectors[group]), int(w.codes[index])]
    return int(w.multipliers[group]) * int(entry)


def conv_products(node, a, zero, at):
    f, row, column = at
    filters, channels, kh, kw = node.weights.shape
    first = f // (filters // node.groups) * channels
    total = 0
    for c, i, j in itertools.product(range(channels), range(kh), range(kw)):
        r = row * node.stride[0] - node.padding[0] + i
        s = column * node.stride[1] - node.padding[1] + j
        inside = 0 <= r < a.shape[1] and 0 <= s < a.shape[2]
        total += (a[first + c, r, s] if inside else zero) * weight(node.weights, (f, c, i, j))
    return total


def layer(node, f, products):
    code = requantized(products + int(node.bias[f]), node.requant, f)
    return code if node.table is None else int(node.table[code])


def requantized(acc, requant, f):
    m, s, z = int(requant.multiplier[f]), int(requant.shift[f]), int(requant.zero_point[f])
    return min(max(((acc * m + (1 << (s - 1))) >> s) + z, requant.low), requant.high)


def window(node, shape, row, column):
    top, left = node.padding[:2] if isinstance(node, MaxPool) else (0, 0)
    for i, j in itertools.product(range(node.kernel[0]), range(node.kernel[1])):
        r, s = row * node.stride[0] - top + i, column * node.stride[1] - left + j
        if 0 <= r < shape[1] and 0 <= s < shape[2]:
            yield r, s


@pytest.mark.parametrize("act_bits", [4, 5, 8])
def test_every_node_equals_loops_over_integers(act_bits):
    graph = sample_graph(act_bits, act_bits=act_bits)
    codes = sample_codes(act_bits, (1, *graph.input.shape), 8)
    found = run_lowered(graph, codes)
    assert list(found) == [n.name for n in graph.nodes]
    kinds = set()
    for node in graph.nodes:
        if isinstance(node, Input):
            assert np.array_equal(found[node.name], codes)
            continue
        wanted = literal(graph, node, [found[s][0] for s in sources_of(node)])
        assert np.array_equal(found[node.name][0], wanted), node.name
        kinds.add(type(node))
    assert len(kinds) == 11


@pytest.mark.parametrize(("act_bits", "weight_bits"), [(4, 4), (6, 5), (8, 8)])
def test_equals_the_golden_model(act_bits, weight_bits):
    golden = pytest.importorskip("sim.golden")
    graph = sample_graph(7, act_bits=act_bits, weight_bits=weight_bits)
    codes = sample_codes(3, (2, *graph.input.shape), 8)
    wanted = golden.GoldenModel(graph).run(codes, keep="all").tensors
    found = run_lowered(graph, codes)
    for name in wanted:
        assert np.array_equal(found[name], wanted[name]), name


def test_ties_round_up_and_negatives_floor():
    # m / 2**s = 1/2: sums -3..3 become -1.5, -1, ..., 1.5.
    requant = Requantizer([1 << 16], [17], [8], 0, 15, 4)
    graph = QGraph(
        "ties",
        (
            Input("x", (1, 1, 7), TensorFormat.plain(8, 1.0, 128, 1)),
            Requantize("y", "x", requant, TensorFormat.plain(4, 2.0, 8, 1)),
            Output("out", "y"),
        ),
    )
    codes = (np.arange(-3, 4) + 128).astype(np.uint8).reshape(1, 1, 1, 7)
    assert run_lowered(graph, codes)["out"].ravel().tolist() == [7, 7, 8, 8, 9, 9, 10]


def test_visit_sees_every_node():
    graph = sample_graph(1)
    seen = {}
    visit_lowered(
        graph,
        sample_codes(0, (2, *graph.input.shape), 8),
        lambda name, x: seen.update({name: tuple(x.shape)}),
    )
    assert seen == {n.name: (2, *graph.shapes[n.name]) for n in graph.nodes}


@pytest.mark.parametrize(
    "codes", [np.zeros((3, 16, 20), np.uint8), np.zeros((1, 3, 16, 20), np.int32)]
)
def test_wrong_codes(codes):
    graph = sample_graph(1)
    message = f"codes are {codes.dtype} {list(codes.shape)}; 'image' needs uint8 [N, 3, 16, 20]"
    with pytest.raises(GraphError, match=f"^{re.escape(message)}$"):
        run_lowered(graph, codes)

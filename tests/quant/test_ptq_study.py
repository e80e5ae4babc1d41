# SPDX-License-Identifier: Apache-2.0
"""Rounding a whole network: layer by layer the same, in order, however many at once."""

import itertools
import threading

import numpy as np
import pytest

import quant.ptq.study as study
from quant.floatgraph import FloatConv, FloatGraph, FloatInput
from quant.ptq.schemes.setting import Setting, quantize_layer
from quant.ptq.study import edges_of, quantize_network, weight_layers_of
from quant.ptq.weightquant import Rounding

NAMES = ("stem", "one", "two", "three", "head")


def network():
    """Return five convolutions in a row, 3x3 and 1x1."""
    ops, shapes = [FloatInput("image", (4, 6, 6))], {"image": (4, 6, 6)}
    for number, name in enumerate(NAMES):
        rng = np.random.default_rng(number)
        kernel, pad = (3, 1) if number % 2 else (1, 0)
        weight = rng.laplace(size=(4, 4, kernel, kernel)).astype(np.float32)
        bias = np.zeros(4, np.float32)
        ops.append(FloatConv(name, ops[-1].name, weight, bias, (1, 1), (pad,) * 4, 1))
        shapes[name] = (4, 6, 6)
    return FloatGraph("row", tuple(ops), ("head",), shapes, 0)


def test_every_layer_is_rounded_as_it_is_alone():
    graph, seen = network(), []
    inner, edge = (Setting(Rounding(*scheme), "mixture") for scheme in (("pwlq", 5), ("affine", 8)))
    found = quantize_network(graph, inner, None, seen.append, edge=edge)
    weights = weight_layers_of(graph)
    assert edges_of(graph) == {"stem", "head"}
    assert [layer.name for layer in found.layers] == [r.name for r in found.records] == [*NAMES]
    assert seen == [w.size for w in weights.values()]
    assert [point.layer for point in found.breakpoints] == [*NAMES[1:4]]
    for layer in found.layers:
        name = layer.name
        alone = quantize_layer(weights[name], edge if name in ("stem", "head") else inner)
        assert (layer.weights.integers() == alone.weights.integers()).all()
        assert (found.real[name] == alone.real.astype(np.float32)).all()


def test_layers_are_rounded_at_once(monkeypatch):
    # Neither of two layers ends before the other has begun.
    together = threading.Barrier(study.WORKERS, timeout=60)
    own, begun = study.quantize_layer, []

    def waiting(weight, setting, importance):
        begun.append(weight)
        if len(begun) <= study.WORKERS:
            together.wait()
        return own(weight, setting, importance)

    monkeypatch.setattr(study, "quantize_layer", waiting)
    quantize_network(network(), Setting(Rounding("affine", 4), "filter"))
    assert len(begun) == len(NAMES)


def test_a_fault_in_a_layer_ends_it(monkeypatch):
    own, calls = study.quantize_layer, itertools.count()

    def faulty(weight, setting, importance):
        if next(calls) == 0:
            raise MemoryError("no more")
        return own(weight, setting, importance)

    monkeypatch.setattr(study, "quantize_layer", faulty)
    with pytest.raises(MemoryError, match=r"^no more$"):
        quantize_network(network(), Setting(Rounding("affine", 4), "filter"))
    assert next(calls) <= 1 + study.WORKERS

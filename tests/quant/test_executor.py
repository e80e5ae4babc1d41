# SPDX-License-Identifier: Apache-2.0
"""The float executor: equal to the module, deterministic, bounded in memory."""

import weakref

import numpy as np
import pytest
import torch

from quant.errors import QuantizationError
from quant.floatgraph import FloatConv, FloatGraph, FloatInput, FloatMaxPool
from quant.ptq.executor import FloatExecutor, apply_op, last_readers
from quant.ptq.importer import import_model
from quant.zoo.resolve import load_model


def chain(length: int) -> FloatGraph:
    ops = [FloatInput("x", (3, 4, 4))]
    for i in range(length):
        weight = np.full((3, 3, 1, 1), 0.3, np.float32)
        bias = np.full(3, i, np.float32)
        source = ops[-1].name
        ops.append(FloatConv(f"c{i}", source, weight, bias, (1, 1), (0, 0, 0, 0), 1))
    shapes = {op.name: (3, 4, 4) for op in ops}
    return FloatGraph("chain", tuple(ops), ("c1", ops[-1].name), shapes, 0)


def test_demo_equals_the_module():
    loaded = load_model("demo")
    result = import_model(loaded)
    size = loaded.host.height
    batch = np.random.default_rng(0).random((2, 3, size, size), dtype=np.float32)
    found = FloatExecutor(result.graph).run(batch)
    raw = {}
    heads = dict(loaded.module.named_modules())
    hooks = [
        heads[name].register_forward_hook(lambda m, a, y, name=name: raw.update({name: y.numpy()}))
        for name in result.graph.outputs
    ]
    with torch.no_grad():
        loaded.module(torch.from_numpy(batch))
    for hook in hooks:
        hook.remove()
    assert list(found) == list(result.graph.outputs)
    for name in found:
        np.testing.assert_allclose(found[name], raw[name], rtol=1e-4, atol=1e-4)


def test_every_operation_is_visited_with_its_shape():
    graph = chain(3)
    seen = {}
    FloatExecutor(graph).run(
        np.zeros((2, 3, 4, 4), np.float32), lambda name, x: seen.update({name: tuple(x.shape)})
    )
    assert seen == {op.name: (2, 3, 4, 4) for op in graph.ops}


def test_tensors_are_freed_after_their_last_reader():
    alive = []
    counts = []

    def visit(name, tensor):
        counts.append(sum(ref() is not None for ref in alive))
        alive.append(weakref.ref(tensor))

    FloatExecutor(chain(8)).run(np.zeros((1, 3, 4, 4), np.float32), visit)
    assert max(counts) == 1  # only the source is alive when the next tensor is made


def test_an_output_that_is_read_later_survives():
    batch = np.random.default_rng(1).random((1, 3, 4, 4), dtype=np.float32)
    executor = FloatExecutor(chain(4), threads=1)
    first, second = executor.run(batch), executor.run(batch)
    assert list(first) == ["c1", "c3"]
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_threads_are_restored():
    before = torch.get_num_threads()
    seen = []
    FloatExecutor(chain(2), threads=before + 1).run(
        np.zeros((1, 3, 4, 4), np.float32), lambda *_: seen.append(torch.get_num_threads())
    )
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before


def test_padding_of_a_pool_never_wins():
    op = FloatMaxPool("p", "x", (2, 2), (1, 1), (1, 0, 0, 1))
    x = -torch.arange(1.0, 5.0).reshape(1, 1, 2, 2)
    assert apply_op(op, [x]).tolist() == [[[[-1.0, -2.0], [-1.0, -2.0]]]]


def test_wrong_batch_shape():
    with pytest.raises(QuantizationError, match=r"^batch has shape \[3, 4, 4\]; 'chain' needs \[N"):
        FloatExecutor(chain(1)).run(np.zeros((3, 4, 4), np.float32))


def test_last_readers():
    order = [("x", ()), ("a", ("x",)), ("b", ("x", "a")), ("unread", ("b",))]
    assert last_readers(order) == {"x": (), "a": (), "b": ("x", "a"), "unread": ("b", "unread")}

# SPDX-License-Identifier: Apache-2.0
"""The float network as ONNX, executed by onnxruntime; values chosen so that float32 is exact."""

import numpy as np
import pytest
from onnx import numpy_helper

from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    FloatMaxPool,
    FloatMultiply,
    FloatOp,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
)
from quant.ptq.executor import FloatExecutor
from reports.export import float_model
from reports.export.builder import IR_VERSION, model_bytes

SHAPE = (4, 6, 8)


def integers(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def network() -> FloatGraph:
    """Every operation on small integers; kinds of activations that keep them exact."""
    ops: tuple[FloatOp, ...] = (
        FloatInput("in", SHAPE),
        FloatConv(
            "conv", "in", integers(1, (8, 2, 3, 3)), integers(2, (8,)), (2, 1), (1, 0, 0, 2), 2
        ),
        FloatActivation("leaky", "conv", "leaky_relu", 0.25),
        FloatActivation("clip", "conv", "relu6"),
        FloatActivation("zero", "conv", "relu"),
        FloatMaxPool("most", "leaky", (3, 2), (1, 2), (1, 0, 1, 1)),
        FloatMaxPool("same", "clip", (3, 2), (1, 2), (1, 0, 1, 1)),
        FloatAdd("sum", ("most", "same")),
        FloatMultiply("product", ("most", "same")),
        FloatConcat("all", ("sum", "product")),
        FloatShuffle("mixed", "all", 4),
        FloatSplit("part", "mixed", 3, 11),
        FloatUpsample("large", "part", 2),
        FloatAvgPool("mean", "large", (2, 2), (2, 2)),
        FloatLinear("dense", "mean", integers(3, (5, 8 * 3 * 4)), integers(4, (5,))),
        FloatMaxPool("thin", "zero", (1, 1), (1, 1), (0, 0, 0, 0)),
    )
    shapes = {
        "in": SHAPE, "conv": (8, 3, 8), "leaky": (8, 3, 8), "clip": (8, 3, 8), "zero": (8, 3, 8),
        "most": (8, 3, 4), "same": (8, 3, 4), "sum": (8, 3, 4), "product": (8, 3, 4),
        "all": (16, 3, 4), "mixed": (16, 3, 4), "part": (8, 3, 4), "large": (8, 6, 8),
        "mean": (8, 3, 4), "dense": (5, 1, 1), "thin": (8, 3, 8),
    }  # fmt: skip
    return FloatGraph("floats", ops, ("dense", "thin"), shapes, 1)


def executed(graph: FloatGraph, batch: np.ndarray) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = model_bytes(float_model(graph, {}, {}))
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {graph.input.name: batch})


def test_every_operation():
    graph = network()
    batch = integers(5, (1, *SHAPE))
    expected = FloatExecutor(graph, threads=1).run(batch)
    for name, found in zip(graph.outputs, executed(graph, batch), strict=True):
        assert np.array_equal(found, expected[name]), name
        assert np.unique(found).size > 2


# Arguments at which the function is exact in float32.
EXACT = {
    "silu": ([0.0], [0.0]),
    "sigmoid": ([0.0], [0.5]),
    "hardsigmoid": ([-4.0, -3.0, 0.0, 3.0, 4.0], [0.0, 0.0, 0.5, 1.0, 1.0]),
    "hardswish": ([-4.0, -3.0, 0.0, 3.0, 4.0], [0.0, 0.0, 0.0, 3.0, 4.0]),
}


@pytest.mark.parametrize("kind", list(EXACT))
def test_smooth_activations(kind):
    values, expected = EXACT[kind]
    shape = (1, 1, len(values))
    ops = (FloatInput("in", shape), FloatActivation("act", "in", kind))
    graph = FloatGraph("one", ops, ("act",), {"in": shape, "act": shape}, 0)
    (found,) = executed(graph, np.array(values, np.float32).reshape(1, *shape))
    assert found.ravel().tolist() == expected
    operators = [n.op_type for n in float_model(graph, {}, {}).graph.node]
    assert operators == {
        "silu": ["Sigmoid", "Mul"], "sigmoid": ["Sigmoid"], "hardsigmoid": ["HardSigmoid"],
        "hardswish": ["HardSwish"],
    }[kind]  # fmt: skip


def test_figures_stand_on_the_node_of_their_name():
    graph = network()
    figures = {
        "conv": {"nibbleflow.output_sqnr_db": "31.25"},
        "dense": {"nibbleflow.macs": "480"},
        "most": {"nibbleflow.kind": "<script>"},
    }
    model = float_model(graph, figures, {"nibbleflow.macs": "7"})
    told = {
        n.name: {p.key: p.value for p in n.metadata_props}
        for n in model.graph.node
        if n.metadata_props
    }
    assert told == {
        "conv": figures["conv"],
        "dense.gemm": figures["dense"],
        "most": figures["most"],
    }
    assert {p.key: p.value for p in model.metadata_props} == {"nibbleflow.macs": "7"}
    assert model.ir_version == IR_VERSION
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert np.array_equal(stored["conv.weight"], integers(1, (8, 2, 3, 3)))
    assert model_bytes(model) == model_bytes(float_model(graph, figures, {"nibbleflow.macs": "7"}))

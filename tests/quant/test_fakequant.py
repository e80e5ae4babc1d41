# SPDX-License-Identifier: Apache-2.0
"""The float-scale fake-quantized model: its numbers, and one code from the integer nodes."""

import numpy as np
import pytest
import torch

from quant.errors import QuantizationError
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
    FloatSplit,
    FloatUpsample,
)
from quant.formats import RowRange, TensorFormat
from quant.graph import QGraph
from quant.hostspec import HostSpec
from quant.nodes import Conv, Input, Output, Requantizer
from quant.ptq.codes import decode, encode
from quant.ptq.fakequant import FakeQuantExecutor, activations_of, code_differences
from quant.ptq.importer import import_model
from quant.ptq.quantize import quantize
from quant.ptq.settings import QuantizeSettings
from quant.weights import Granularity, Weights
from quant.zoo.resolve import load_model


def network() -> FloatGraph:
    """Every operation once, with every activation."""
    rng = np.random.default_rng(0)

    def conv(name, source, filters, channels, kernel=3, padding=(1, 1, 1, 1), groups=1):
        weight = rng.normal(0, 0.4, (filters, channels // groups, kernel, kernel))
        bias = rng.normal(0, 0.3, filters)
        return FloatConv(
            name,
            source,
            weight.astype(np.float32),
            bias.astype(np.float32),
            (1, 1),
            padding,
            groups,
        )

    weight = rng.normal(0, 0.4, (5, 12 * 4)).astype(np.float32)
    ops = (
        FloatInput("images", (3, 8, 8)),
        conv("c1", "images", 6, 3),
        FloatActivation("c1.act", "c1", "silu"),
        conv("c2", "c1.act", 6, 6, groups=6),
        FloatActivation("c2.act", "c2", "leaky_relu", 0.1),
        FloatAdd("add", ("c1.act", "c2.act")),
        FloatActivation("add.act", "add", "relu"),
        conv("c3", "add.act", 6, 6, padding=(2, 1, 0, 1)),
        FloatActivation("c3.act", "c3", "relu6"),
        FloatActivation("swish", "c3.act", "hardswish"),
        FloatMaxPool("pool", "swish", (2, 2), (2, 2), (0, 0, 0, 0)),
        FloatUpsample("up", "pool", 2),
        FloatConcat("cat", ("up", "add.act")),
        FloatSplit("split", "cat", 2, 10),
        conv("head", "split", 4, 8, 1, (0, 0, 0, 0)),
        FloatAvgPool("mean", "cat", (4, 4), (4, 4)),
        FloatLinear("fc", "mean", weight, rng.normal(0, 1, 5).astype(np.float32)),
        FloatActivation("fc.act", "fc", "sigmoid"),
    )
    shapes = {op.name: (6, 8, 8) for op in ops} | {
        "images": (3, 8, 8),
        "pool": (6, 4, 4),
        "cat": (12, 8, 8),
        "split": (8, 8, 8),
        "head": (4, 8, 8),
        "mean": (12, 2, 2),
        "fc": (5, 1, 1),
        "fc.act": (5, 1, 1),
    }
    return FloatGraph("net", ops, ("head", "fc.act"), shapes, 0)


HOST = HostSpec(
    8,
    8,
    "squash",
    0,
    "rgb",
    (0.0, 0.0, 0.0),
    (255.0,) * 3,
    "none",
    (),
    (),
    (("head",), ("fc.act",)),
    (),
)


def images(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, 8, 8), dtype=np.float32)


def image_codes(count: int, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8)).astype(np.uint8)


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_each_node_is_within_one_code(bits):
    graph = network()
    settings = QuantizeSettings(weight_bits=4, act_bits=bits)
    lowered = quantize(graph, HOST, [images(8)], settings, model="net").graph
    found = code_differences(lowered, graph, image_codes(4))
    assert set(found) == {n.name for n in lowered.nodes if not isinstance(n, Input | Output)}
    for name, difference in found.items():
        assert difference.largest <= 1, (name, difference)
        assert difference.values == 4 * np.prod(lowered.shapes[name])
        assert difference.differing <= difference.values * 0.25
    # Not equal everywhere, or the comparison would compare a thing with itself.
    assert sum(d.differing for d in found.values()) > 0


def test_demo_is_within_one_code():
    imported = import_model(load_model("demo", image_size=(64, 64)))
    batch = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)
    settings = QuantizeSettings()
    lowered = quantize(imported.graph, imported.host, [batch], settings, model="demo").graph
    codes = np.random.default_rng(1).integers(0, 256, (1, 3, 64, 64)).astype(np.uint8)
    assert max(d.largest for d in code_differences(lowered, imported.graph, codes).values()) <= 1


def test_outputs_are_on_the_grid_of_their_formats():
    graph = network()
    settings = QuantizeSettings(weight_bits=8, act_bits=8)
    lowered = quantize(graph, HOST, [images(8)], settings, model="net").graph
    found = FakeQuantExecutor(lowered, graph, threads=1).run(images(3))
    assert list(found) == [o.source for o in lowered.outputs]
    for name, real in found.items():
        fmt = lowered.formats[name]
        assert real.dtype == np.float32
        assert real.shape == (3, *lowered.shapes[name])
        codes = encode(torch.from_numpy(real), fmt)
        assert np.array_equal(decode(codes, fmt).numpy(), real)


def one_conv() -> tuple[QGraph, FloatGraph]:
    """y = relu(x - 2) by integers: w_int 2 of scale 0.5, bias -4 codes and the zero point's -20."""
    image = TensorFormat.plain(8, 1.0, 10, 1)
    weights = Weights(
        codes=np.full((1, 1, 1, 1), 10),
        bits=4,
        tables=np.arange(16)[None] - 8,
        selectors=np.zeros((1, 1, 1, 1)),
        multipliers=np.ones((1, 1, 1, 1)),
        scale=np.array([0.5]),
        granularity=Granularity.FILTER,
        scheme="symmetric",
    )
    requant = Requantizer([1 << 16], [17], [0], 0, 15, 4)
    conv = Conv(
        "y",
        "x",
        weights,
        np.array([-4 - 20]),
        (1, 1),
        (0, 0, 0, 0),
        1,
        requant,
        None,
        TensorFormat.plain(4, 1.0, 0, 1),
    )
    graph = QGraph("one", (Input("x", (1, 1, 4), image), conv, Output("out", "y")))
    weight = np.ones((1, 1, 1, 1), np.float32)
    ops = (
        FloatInput("x", (1, 1, 4)),
        FloatConv("y", "x", weight, np.full(1, -2, np.float32), (1, 1), (0, 0, 0, 0), 1),
        FloatActivation("y.act", "y", "relu"),
    )
    return graph, FloatGraph(
        "one", ops, ("y.act",), dict.fromkeys(("x", "y", "y.act"), (1, 1, 4)), 2
    )


def test_values_by_hand():
    graph, float_graph = one_conv()
    batch = np.array([1.0, 2.5, 9.4, 40.0], np.float32).reshape(1, 1, 1, 4)
    # The input rounds to 1, 3 (a tie goes up), 9, 40; minus 2; relu; clipped to 15.
    found = FakeQuantExecutor(graph, float_graph).run(batch)
    assert found["y"].ravel().tolist() == [0.0, 1.0, 7.0, 15.0]


def test_ties_go_up_for_negatives_too():
    fmt = TensorFormat.plain(4, 0.5, 8, 1)
    real = torch.tensor([-0.75, -0.25, 0.25, 0.75, -99.0, 99.0]).reshape(1, 1, 1, 6)
    assert encode(real, fmt).ravel().tolist() == [7, 8, 9, 10, 0, 15]


def test_codebook_takes_the_nearest_entry():
    fmt = TensorFormat(2, (RowRange(1, 1.0, 0),), (0, 1, 4, 10))
    real = torch.tensor([-1.0, 0.4, 0.5, 2.4, 2.5, 6.9, 7.0, 50.0]).reshape(1, 1, 1, 8)
    codes = encode(real, fmt)
    assert codes.ravel().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert decode(codes, fmt).ravel().tolist() == [0.0, 0.0, 1.0, 1.0, 4.0, 4.0, 10.0, 10.0]


def test_row_ranges_have_their_own_grids():
    fmt = TensorFormat(4, (RowRange(1, 1.0, 8), RowRange(3, 0.5, 0)))
    codes = encode(torch.full((1, 3, 1, 1), 2.0), fmt)
    assert codes.ravel().tolist() == [10, 4, 4]
    assert decode(codes, fmt).ravel().tolist() == [2.0, 2.0, 2.0]


def test_activation_comes_from_the_float_network():
    graph, float_graph = one_conv()
    assert activations_of(graph, float_graph)["y"] == float_graph.ops[2]
    renamed = FloatGraph("other", float_graph.ops[:1], ("x",), {"x": (1, 1, 4)}, 0)
    message = (
        r"^'y' of the integer graph is not in the float network 'other'; the two are of different "
        r"models, quantize again$"
    )
    with pytest.raises(QuantizationError, match=message):
        FakeQuantExecutor(graph, renamed)


def test_wrong_batch_shape():
    with pytest.raises(QuantizationError, match=r"^batch has shape \[1, 3, 8, 8\]; 'one' needs"):
        FakeQuantExecutor(*one_conv()).run(images(1))

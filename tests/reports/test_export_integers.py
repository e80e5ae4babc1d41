# SPDX-License-Identifier: Apache-2.0
"""The QONNX model, executed by QONNX, against the golden model: every tensor, ``==``."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from quant.errors import GraphError
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv, Input, Output, Requantizer
from quant.samples import sample_codes, sample_conv, sample_format, sample_graph
from quant.weights import Granularity, Weights
from quant.widths import accumulator_interval
from reports.export import integer_model
from reports.export.builder import model_bytes
from reports.export.exactsum import FLOAT32_EXACT, exact_factors, exact_pieces
from sim.golden import GoldenModel


def executed(graph: QGraph, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of one frame as qonnx computes it."""
    pytest.importorskip("qonnx", reason="qonnx is not installed")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    model = ModelWrapper(integer_model(graph, {}, {}))
    given = {graph.input.name: codes.astype(np.float32)}
    return execute_onnx(model, given, return_full_exec_context=True)


def compare(graph: QGraph, codes: np.ndarray) -> None:
    golden = GoldenModel(graph).run(codes, keep="all").tensors
    found = executed(graph, codes)
    for node in graph.nodes:
        assert found[node.name].dtype == np.float32
        assert np.array_equal(found[node.name], golden[node.name].astype(np.float32)), node.name


@pytest.mark.parametrize(("seed", "act_bits", "weight_bits"), [(1, 8, 4), (2, 4, 8), (3, 6, 2)])
def test_every_node_kind_on_noise(seed, act_bits, weight_bits):
    graph = sample_graph(seed, act_bits=act_bits, weight_bits=weight_bits)
    rng = np.random.default_rng(seed)
    compare(graph, rng.integers(0, 256, (1, *graph.input.shape)).astype(np.uint8))


@pytest.mark.parametrize("code", [0, 255])
def test_every_node_kind_on_extremes(code):
    graph = sample_graph(1)
    compare(graph, np.full((1, *graph.input.shape), code, np.uint8))


def halving(shift: int, zero_point: int) -> QGraph:
    """One weight of 1: the sum ``a - 128`` of every pixel through one requantizer."""
    weights = Weights(
        np.array([[[[1]]]], np.uint8), 1, np.array([[0, 1]], np.int16),
        np.zeros((1, 1, 1, 1), np.uint8), np.ones((1, 1, 1, 1), np.uint8),
        np.ones(1, np.float32), Granularity.LAYER, "affine",
    )  # fmt: skip
    requant = Requantizer(np.array([1 << 16]), np.array([shift]), np.array([zero_point]), 0, 255, 8)
    output = TensorFormat.plain(8, 2.0, zero_point, 1)
    conv = Conv(
        "halve", "in", weights, np.array([-128]), (1, 1), (0, 0, 0, 0), 1, requant, None, output
    )
    source = Input("in", (1, 16, 16), TensorFormat.plain(8, 1.0, 128, 1))
    return QGraph("ties", (source, conv, Output("out", "halve")))


def test_negative_ties_round_up():
    # acc * 2**16 >> 17 is acc / 2: every odd sum is a tie, half of them negative.
    graph = halving(17, 100)
    codes = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    expected = [max(0, (a - 128 + 1) // 2 + 100) for a in range(256)]
    assert executed(graph, codes)["out"].ravel().tolist() == expected
    compare(graph, codes)


def test_a_sum_too_large_for_float32_is_written_in_pieces():
    # Group multipliers make weights of many bits.
    conv, source = sample_conv(
        5, 256, 4, granularity=Granularity.F_SHAPE, source=sample_format(256, 8, zero=85),
        names=("big", "in"),
    )  # fmt: skip
    low, high = accumulator_interval(conv, source)
    assert max(int(high.max()), -int(low.min())) > 2 * FLOAT32_EXACT
    first = Input("in", (256, 4, 4), source)
    graph = QGraph("big", (first, conv, Output("out", "big")))
    model = integer_model(graph, {}, {})
    assert [node.op_type for node in model.graph.node].count("Conv") >= 2
    rng = np.random.default_rng(4)
    compare(graph, rng.integers(0, 256, (1, 256, 4, 4)).astype(np.uint8))
    compare(graph, np.full((1, 256, 4, 4), 255, np.uint8))


def test_pieces_are_whole_and_exact():
    rng = np.random.default_rng(7)
    weights = rng.integers(-7905, 7906, (3, 40, 3, 3))
    pieces = exact_pieces("layer", weights, 255)
    assert np.array_equal(sum(pieces), weights)
    assert len(pieces) > 1
    for piece in pieces:
        flat = piece.reshape(3, -1)
        assert 255 * np.maximum(flat, 0).sum(axis=1).max() < FLOAT32_EXACT
        assert 255 * np.maximum(-flat, 0).sum(axis=1).max() < FLOAT32_EXACT
    # As few as ranges of taps allow: the next tap would not have fitted.
    used = [np.flatnonzero(np.abs(p.reshape(3, -1)).sum(axis=0)) for p in pieces]
    for taps, following in itertools.pairwise(used):
        flat = weights.reshape(3, -1)[:, taps[0] : following[0] + 1]
        sums = np.maximum(np.maximum(flat, 0).sum(axis=1), np.maximum(-flat, 0).sum(axis=1))
        assert 255 * sums.max() >= FLOAT32_EXACT


def test_a_product_too_large_is_refused_by_name():
    with pytest.raises(GraphError) as caught:
        exact_pieces("model.3.conv", np.array([[[[-512]]]]), 65535)
    assert str(caught.value) == (
        "'model.3.conv' has a product up to 33553920; ONNX convolutions are exact below 16777216; "
        "export without --qonnx, or quantize this layer with fewer bits"
    )


def test_a_requantizer_beyond_float64_is_refused_by_name():
    total = 128 * (1 << 16) + (1 << 46) + (128 << 47)
    with pytest.raises(GraphError) as caught:
        integer_model(halving(47, 128), {}, {})
    assert str(caught.value) == (
        f"'halve' requantizes sums up to {total}; float64 is exact below 9007199254740992; "
        "export without --qonnx, or quantize this layer with fewer bits"
    )


def test_the_largest_requantizer_that_is_allowed_is_exact():
    # One below the limit: (reach * m + half + zero * 2**s) == 2**53 - 1 has all 53 bits set.
    zero, shift = 3, 47
    constant = (1 << 46) + (zero << shift)
    multiplier = (1 << 17) - 1
    reach = ((1 << 53) - 1 - constant) // multiplier
    ratio, offset = exact_factors(
        "n", np.array([reach]), np.array([multiplier]), np.array([shift]), np.array([zero])
    )
    for acc in (reach, -reach, reach - 1, 1, 0, -1):
        exact = (acc * multiplier + constant) >> shift
        assert int(np.floor(np.float64(acc) * ratio[0] + offset[0])) == exact


def test_figures_names_and_bytes():
    graph = sample_graph(2)
    conv = graph.convs[0].name
    model = integer_model(graph, {conv: {"nibbleflow.macs": "12"}}, {"nibbleflow.model": "<b>"})
    told = [n for n in model.graph.node if n.metadata_props]
    assert [(n.op_type, n.metadata_props[0].value) for n in told] == [("Conv", "12")]
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties["nibbleflow.model"] == "<b>"
    entry = json.loads(properties[f"nibbleflow.format.{graph.input.name}"])
    fmt = graph.input.output
    assert entry == {
        "bits": 8, "codebook": None,
        "ranges": [{"channels_up_to": r.stop, "scale": r.scale, "zero_point": r.zero_point}
                   for r in fmt.ranges],
    }  # fmt: skip
    assert [o.name for o in model.graph.output] == [o.name for o in graph.outputs]
    names = [n.name for n in model.graph.node]
    assert len(set(names)) == len(names)
    again = integer_model(graph, {conv: {"nibbleflow.macs": "12"}}, {"nibbleflow.model": "<b>"})
    assert model_bytes(model) == model_bytes(again)


def test_widths_are_stated():
    graph = sample_graph(3, act_bits=5)
    model = integer_model(graph, {}, {})
    constants = {t.name: t for t in model.graph.initializer}
    stated = {
        n.output[0]: np.frombuffer(constants[n.input[3]].raw_data, np.float32)[0]
        for n in model.graph.node
        if n.op_type == "IntQuant"
    }
    for node in graph.convs:
        assert stated[node.name] == graph.formats[node.name].bits


def test_a_node_may_be_called_like_a_part_of_another():
    graph = sample_graph(1)
    first = graph.convs[0]
    stolen = f"{first.name}.weight"
    port = graph.outputs[0]
    nodes = tuple(replace(n, name=stolen) if n is port else n for n in graph.nodes)
    compare(QGraph("clash", nodes), sample_codes(1, (1, *graph.input.shape), 8))

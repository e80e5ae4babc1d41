# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

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
from quant.hostspec import HostSpec
from quant.nodes import Add, Conv, Lookup, Requantize
from quant.ptq.executor import FloatExecutor
from quant.ptq.lowered import run_lowered
from quant.ptq.quantize import quantize
from quant.ptq.settings import QuantizeSettings
from sim.golden import GoldenModel

EIGHT = QuantizeSettings(weight_bits=8, act_bits=8)


def conv(name, source, shape, seed, gain=1.0, **fields):
    rng = np.random.default_rng(seed)
    fan = np.prod(shape[1:])
    weight = (rng.normal(0, gain / np.sqrt(fan), shape)).astype(np.float32)
    bias = rng.normal(0, 0.1, shape[0]).astype(np.float32)
    pad = shape[2] // 2
    given = {"stride": (1, 1), "padding": (pad,) * 4, "groups": 1} | fields
    return FloatConv(name, source, weight, bias, **given)


def host(outputs, decode="none", size=12, **fields):
    given = {"strides": (), "anchors": (), "class_names": ("a",)} | fields
    return HostSpec(
        size, size, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, decode, outputs=outputs, **given
    )


def images(count=6, size=12, seed=3):
    return np.random.default_rng(seed).random((count, 3, size, size), dtype=np.float32)


def graph_of(*ops, outputs, shapes):
    shapes = {"x": (3, 12, 12), **shapes}
    return FloatGraph("toy", (FloatInput("x", (3, 12, 12)), *ops), outputs, shapes, 0)


def every_kind():
    ops = (
        conv("stem", "x", (8, 3, 3, 3), 1),
        FloatActivation("stem.act", "stem", "silu"),
        conv("a", "stem.act", (8, 8, 3, 3), 2),
        FloatActivation("a.act", "a", "relu"),
        conv("d", "stem.act", (8, 1, 3, 3), 3, groups=8),
        FloatAdd("sum", ("a.act", "d")),
        FloatActivation("sum.act", "sum", "relu6"),
        FloatMaxPool("pool", "sum.act", (2, 2), (2, 2), (0, 0, 0, 0)),
        conv("p", "pool", (8, 8, 1, 1), 4),
        FloatActivation("p.act", "p", "leaky_relu", 0.1),
        FloatUpsample("up", "p.act", 2),
        FloatConcat("cat", ("up", "sum.act")),
        FloatSplit("low", "cat", 0, 4),
        FloatActivation("sig", "low", "sigmoid"),
        conv("head", "cat", (6, 16, 1, 1), 5),
        FloatAvgPool("mean", "sig", (12, 12), (12, 12)),
        FloatLinear(
            "fc", "mean", np.random.default_rng(6).normal(0, 1, (5, 4)).astype(np.float32),
            np.zeros(5, np.float32),
        ),
    )  # fmt: skip
    plane = dict.fromkeys(
        ("stem", "stem.act", "a", "a.act", "d", "sum", "sum.act", "up"), (8, 12, 12)
    )
    shapes = plane | {
        "pool": (8, 6, 6),
        "p": (8, 6, 6),
        "p.act": (8, 6, 6),
        "cat": (16, 12, 12),
        "low": (4, 12, 12),
        "sig": (4, 12, 12),
        "head": (6, 12, 12),
        "mean": (4, 1, 1),
        "fc": (5, 1, 1),
    }
    return graph_of(*ops, outputs=("head", "fc"), shapes=shapes)


def real_outputs(lowered, batch):
    fmt = lowered.input.output
    codes = np.floor(batch / fmt.scale + 0.5).astype(np.uint8)
    run = GoldenModel(lowered).run(codes, keep="all").tensors
    result = {}
    for name, tensor in run.items():
        rows = lowered.formats[name]
        zero = rows.zero_point_per_row[None, :, None, None]
        result[name] = (tensor - zero) * rows.scale_per_row[None, :, None, None]
    return result


def test_every_operation_lowers_close_to_float():
    graph = every_kind()
    batch = images()
    done = quantize(graph, host((("head",), ("fc",))), [batch], EIGHT, model="toy")
    integer = real_outputs(done.graph, batch)
    floats = FloatExecutor(graph).run(batch)
    for name in graph.outputs:
        exact = floats[name].reshape(integer[name].shape)
        noise = np.square(exact - integer[name]).mean() / np.square(exact).mean()
        assert 10 * np.log10(1 / noise) > 28
    kinds = {type(n).__name__ for n in done.graph.nodes}
    assert {"Conv", "Add", "MaxPool", "Upsample", "Concat", "Split", "Lookup", "AvgPool"} <= kinds
    add = done.graph.node("sum")
    assert isinstance(add, Add)
    assert add.low == add.output.zero_point  # relu6 is a clip, not a node
    assert isinstance(done.graph.node("sig"), Lookup)
    assert done.graph.node("a").table is None  # relu is a clip
    assert done.graph.node("p").table is not None  # leaky relu is a table
    assert done.host.outputs == (("head",), ("fc",))


@pytest.mark.parametrize("bits", [(8, 8), (4, 8), (4, 4), (2, 5)])
def test_golden_equals_torch_on_the_lowered_integers(bits):
    settings = QuantizeSettings(weight_bits=bits[0], act_bits=bits[1])
    batch = images(4)
    done = quantize(every_kind(), host((("head",), ("fc",))), [batch], settings, model="toy")
    codes = np.floor(batch * 255 + 0.5).astype(np.uint8)
    golden = GoldenModel(done.graph).run(codes, keep="all").tensors
    torch_codes = run_lowered(done.graph, codes)
    for node in done.graph.nodes:
        assert np.array_equal(golden[node.name], torch_codes[node.name]), node.name


def test_the_result_does_not_depend_on_the_batches():
    graph, spec, batch = every_kind(), host((("head",), ("fc",))), images(6)
    whole = quantize(graph, spec, [batch], EIGHT, model="toy")
    parts = quantize(graph, spec, np.split(batch, 3), EIGHT, model="toy")
    first, second = whole.graph, parts.graph
    assert [n.name for n in first.nodes] == [n.name for n in second.nodes]
    for node in first.convs:
        other = second.node(node.name)
        assert np.array_equal(node.weights.codes, other.weights.codes)
    assert quantize(graph, spec, [batch], EIGHT, model="toy").graph.digest == first.digest


def concat_graph(gain):
    """A tensor with a second reader, concatenated with one of ``gain`` times its range."""
    ops = (
        conv("small", "x", (4, 3, 3, 3), 1),
        conv("large", "x", (4, 3, 3, 3), 2, gain=gain),
        FloatConcat("cat", ("small", "large")),
        conv("head", "cat", (4, 8, 1, 1), 3),
        conv("other", "small", (4, 4, 1, 1), 4),
    )
    shapes = dict.fromkeys(("small", "large", "head", "other"), (4, 12, 12)) | {"cat": (8, 12, 12)}
    return graph_of(*ops, outputs=("head", "other"), shapes=shapes)


def test_concat_keeps_a_much_finer_source_by_a_requantize_node():
    spec = host((("head",), ("other",)))
    done = quantize(concat_graph(8.0), spec, [images()], EIGHT, model="toy")
    nodes = [n for n in done.graph.nodes if isinstance(n, Requantize)]
    assert [n.source for n in nodes] == ["small"]
    formats = done.graph.formats
    assert formats["small"].scale < 0.5 * formats["large"].scale
    assert formats[nodes[0].name].same_codes(formats["large"])
    assert "'cat': 'small' keeps its own format and is requantized" in done.record.notes


def test_concat_of_like_sources_shares_one_format():
    spec = host((("head",), ("other",)))
    done = quantize(concat_graph(1.0), spec, [images()], EIGHT, model="toy")
    assert not [n for n in done.graph.nodes if isinstance(n, Requantize)]
    assert done.graph.formats["small"].same_codes(done.graph.formats["large"])
    assert "2 tensors share one format: small, large" in done.record.notes


def test_a_filter_with_vanishing_weights_keeps_its_bias():
    stem = conv("stem", "x", (4, 3, 3, 3), 1)
    weight, bias = stem.weight.copy(), stem.bias.copy()
    weight[2], bias[2] = weight[2] * 1e-20, 1.5
    head = FloatConv("stem", "x", weight, bias, (1, 1), (1, 1, 1, 1), 1)
    graph = graph_of(head, outputs=("stem",), shapes={"stem": (4, 12, 12)})
    done = quantize(graph, host((("stem",),)), [images()], EIGHT, model="toy")
    node = done.graph.convs[0]
    assert isinstance(node, Conv)
    assert not node.weights.integers()[2].any()
    values = real_outputs(done.graph, images())["stem"][:, 2]
    step = done.graph.formats["stem"].scale
    assert np.abs(values - 1.5).max() <= step
    assert next(r for r in done.record.layers if r.name == "stem").dead_filters == 1


def test_head_rows_have_a_range_per_anchor_and_task():
    head = conv("head", "x", (12, 3, 1, 1), 1)
    graph = graph_of(head, outputs=("head",), shapes={"head": (12, 12, 12)})
    spec = host(
        (("head",),), "yolov5", strides=(1,), anchors=(((4.0, 4.0), (8.0, 8.0)),)
    )  # two anchors of 4 box rows, objectness, one class
    done = quantize(graph, spec, [images()], EIGHT, model="toy")
    assert [r.stop for r in done.graph.formats["head"].ranges] == [4, 5, 6, 10, 11, 12]


def test_sqnr_is_recorded_for_every_node():
    done = quantize(every_kind(), host((("head",), ("fc",))), [images()], EIGHT, model="toy")
    by_name = {r.name: r for r in done.record.layers}
    assert all(r.sqnr_db is not None for r in by_name.values())
    assert by_name["x"].sqnr_db > 40
    assert by_name["head"].weight_sqnr_db > 35


def test_layer_overrides_reach_the_graph():
    settings = EIGHT.with_overrides(["a=w3a5", "d=6"])
    done = quantize(every_kind(), host((("head",), ("fc",))), [images()], settings, model="toy")
    assert done.graph.node("a").weights.bits == 3
    assert done.graph.formats["a"].bits == 5
    assert done.graph.node("d").weights.bits == 6


def test_no_image_is_refused():
    with pytest.raises(QuantizationError, match="calibration saw no image"):
        quantize(every_kind(), host((("head",), ("fc",))), [], EIGHT, model="toy")


def test_an_image_that_is_not_finite_is_refused():
    batch = images()
    batch[0, 0, 0, 0] = np.inf
    with pytest.raises(QuantizationError, match="has a value that is not finite"):
        quantize(every_kind(), host((("head",), ("fc",))), [batch], EIGHT, model="toy")

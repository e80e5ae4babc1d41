# SPDX-License-Identifier: Apache-2.0
"""Networks from ncnn descriptions: every parameter honoured or refused by node name."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

from quant.errors import InputFileError, QuantizationError, UnsupportedLayerError
from quant.ptq.check import check_model
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.ncnn_file import NcnnNode, parse_ncnn
from quant.zoo.ncnn_layers import make_layer
from quant.zoo.resolve import load_model

REAL = Path(__file__).parents[3] / "shared" / "data" / "weights"
OTHER = "export the model without it, or give it as .onnx"


def layer(op, inputs=1, outputs=1, **params):
    numbered = {int(k[1:]): v for k, v in params.items()}
    names = ("a", "b", "c")
    return make_layer(NcnnNode(op, "node", names[:inputs], names[:outputs], numbered))


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def same(found, wanted):
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        assert torch.equal(one, two)


CONV = {"p0": 6, "p1": 3, "p6": 6 * 4 * 15, "p11": 5}


def test_convolution_reads_both_axes():
    x, weight, bias = noise(1, 4, 12, 12), noise(6, 4, 5, 3), noise(6)
    found = layer("Convolution", **CONV, p2=2, p12=1, p3=2, p13=3, p4=1, p14=2, p5=1)
    wanted = F.conv2d(x, weight, bias, (3, 2), (2, 1), (1, 2))
    same(found([x], {"weight": weight, "bias": bias}), [wanted])


def test_convolution_defaults_and_activations():
    x, weight = noise(1, 4, 9, 9), noise(6, 4, 5, 3)
    for number, function in ((0, lambda y: y), (1, torch.relu), (4, torch.sigmoid)):
        found = layer("Convolution", **CONV, p9=number)
        same(found([x], {"weight": weight}), [function(F.conv2d(x, weight))])


def test_one_number_stands_for_both_axes():
    x, weight = noise(1, 4, 9, 9), noise(6, 2, 3, 3)
    found = layer("ConvolutionDepthWise", p0=6, p1=3, p2=2, p3=2, p4=1, p6=108, p7=2)
    same(found([x], {"weight": weight}), [F.conv2d(x, weight, None, 2, 1, 2, 2)])


def test_weights_of_another_size_do_not_run():
    with pytest.raises(
        RuntimeError, match=r"'node' has weights \[6, 4, 3, 5\], needs \[6, 4, 5, 3"
    ):
        layer("Convolution", **CONV)([noise(1, 4, 9, 9)], {"weight": noise(6, 4, 3, 5)})


def test_layers_without_weights():
    x, y, gate = noise(1, 4, 6, 8), noise(1, 4, 6, 8) * 3, noise(1, 4, 1, 1)
    same(layer("HardSwish", p0=0.1666667, p1=0.5)([y], {}), [F.hardswish(y)])
    same(layer("HardSigmoid", p0=0.1666667)([y], {}), [F.hardsigmoid(y)])
    same(layer("ReLU")([y], {}), [torch.relu(y)])
    same(layer("ReLU", p0=0.1)([y], {}), [F.leaky_relu(y, 0.1)])
    same(layer("Sigmoid")([y], {}), [torch.sigmoid(y)])
    same(layer("Swish")([y], {}), [F.silu(y)])
    same(layer("Pooling", p0=1, p4=1)([x], {}), [F.adaptive_avg_pool2d(x, 1)])
    same(layer("BinaryOp", 2)([x, y], {}), [x + y])
    same(layer("BinaryOp", 2, p0=2)([x, gate], {}), [x * gate])
    same(layer("Concat", 2, p0=0)([x, y], {}), [torch.cat([x, y], 1)])
    same(layer("Slice", 1, 2, p0=(1, 3))([x], {}), [x[:, :1], x[:, 1:]])
    same(layer("Split", 1, 3)([x], {}), [x, x, x])
    same(layer("ShuffleChannel", p0=2, p1=0)([x], {}), [x[:, [0, 2, 1, 3]]])
    twice = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    same(layer("Interp", p0=1, p1=2.0, p2=2.0, p6=0)([x], {}), [twice])


REFUSED = {
    "operator": (("Softmax",), {}, "is Softmax, which is not read"),
    "left over": (("Swish",), {"p3": 1}, "has parameter 3=1, which is not honoured"),
    "uneven padding": (
        ("Convolution",), CONV | {"p4": 1, "p15": 2}, "has pad_right=2; read is 1",
    ),
    "same padding": (
        ("Convolution",), CONV | {"p4": -233},
        "has pad_left=-233, which must be a whole number >= 0",
    ),
    "padding value": (("Convolution",), CONV | {"p18": 1.5}, "has pad_value=1.5; read is 0 or 0.0"),
    "integer weights": (("Convolution",), CONV | {"p8": 2}, "has int8_scale_term=2; read is 0"),
    "computed weights": (("Convolution",), CONV | {"p19": 1}, "has dynamic_weight=1; read is 0"),
    "mish": (("Convolution",), CONV | {"p9": 5}, "has activation_type=5; read is 0 or 1 or 4"),
    "activation limits": (
        ("Convolution",), CONV | {"p10": (0, 6)}, "has parameter 10=(0, 6), which is not honoured",
    ),
    "no filters": (
        ("Convolution",), {"p1": 3}, "has num_output=None, which must be a whole number >= 1",
    ),
    "groups of a plain one": (
        ("Convolution",), CONV | {"p7": 2}, "has parameter 7=2, which is not honoured",
    ),
    "alpha": (("HardSwish",), {}, "has alpha=0.2; read is 0.1666667"),
    "beta": (("HardSigmoid",), {"p0": 0.16666667, "p1": 0.4}, "has beta=0.4; read is 0.5"),
    "slope": (("ReLU",), {"p0": 1.5}, "has slope=1.5; read is 0 <= slope < 1"),
    "max pool": (("Pooling",), {"p0": 0, "p4": 1}, "has pooling_type=0; read is 1"),
    "window": (("Pooling",), {"p0": 1, "p1": 2}, "has global_pooling=0; read is 1"),
    "difference": (("BinaryOp", 2), {"p0": 1}, "has op_type=1; read is 0 or 2"),
    "scalar": (("BinaryOp",), {"p1": 1, "p2": 3.0}, "has with_scalar=1; read is 0"),
    "one operand": (("BinaryOp",), {"p0": 2}, "reads 1 values, not 2"),
    "rows": (("Concat", 2), {"p0": 1}, "has axis=1; read is 0"),
    "sliced rows": (("Slice", 1, 2), {"p0": (1, 3), "p1": 2}, "has axis=2; read is 0"),
    "rest": (("Slice", 1, 2), {"p0": (1, -233)}, "has slices=[1, -233] for 2 outputs"),
    "one slice": (("Slice", 1, 2), {"p0": 2}, "has slices=2, which must be a list"),
    "reversed": (("ShuffleChannel",), {"p0": 2, "p1": 1}, "has reverse=1; read is 0"),
    "bilinear": (("Interp",), {"p0": 2}, "has resize_type=2; read is 1"),
    "one axis": (
        ("Interp",), {"p0": 1, "p1": 2.0}, "scales by 2.0 and 1.0; read is one whole factor",
    ),
    "target size": (("Interp",), {"p0": 1, "p3": 40}, "has output_height=40; read is 0"),
    "corners": (("Interp",), {"p0": 1, "p6": 1}, "has align_corner=1; read is 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_node_name(name):
    kind, params, reason = REFUSED[name]
    with pytest.raises(UnsupportedLayerError) as info:
        layer(*kind, **params)
    assert str(info.value) == f"'node' ({kind[0]}) {reason}; {OTHER}"


def node(op, name, inputs, outputs, **params):
    return {
        "op": op, "name": name, "inputs": inputs.split(), "outputs": outputs.split(),
        "params": {k[1:]: v for k, v in params.items()},
    }  # fmt: skip


def conv(name, inputs, outputs, filters, channels, stride=1, kernel=1, **more):
    return node(
        "Convolution", name, inputs, outputs, p0=filters, p1=kernel, p3=stride, p4=kernel // 2,
        p5=1, p6=filters * channels * kernel**2, **more,
    )  # fmt: skip


def small_net(scores=3):
    """Two strides, 8 and 16; a gate and a shuffle between the convolutions."""
    return [
        node("Input", "in0", "", "in0"),
        conv("stem", "in0", "1", 8, 3, 8, 3, p9=1),
        node("Split", "copy", "1", "2 3 4"),
        node("Pooling", "gap", "2", "5", p0=1, p4=1),
        conv("excite", "5", "6", 8, 8),
        node("HardSigmoid", "gate", "6", "7", p0=0.1666667),
        node("BinaryOp", "mul", "3 7", "8", p0=2),
        node("ShuffleChannel", "mix", "8", "9", p0=2),
        conv("down", "4", "10", 4, 8, 2, 3),
        conv("cls0", "9", "11", 2, 8, p9=4),
        conv("reg0", "9", "12", 4, 8),
        node("Concat", "cat0", "11 12", "out0"),
        conv("cls1", "10", "13", scores - 1, 4, p9=4),
        conv("reg1", "10", "14", 4, 4),
        node("Concat", "cat1", "13 14", "out1"),
    ]


def write(folder, nodes=None, name="net_ncnn_fp16", beside="net_graph"):
    """Write description and seeded weights; return the weights' path."""
    nodes = small_net() if nodes is None else nodes
    rng = np.random.default_rng(0)
    tensors = {}
    for n in nodes:
        if n["op"] == "Convolution":
            p = n["params"]
            shape = (p["0"], p["6"] // (p["0"] * p["1"] ** 2), p["1"], p["1"])
            tensors[f"{n['name']}.weight"] = rng.normal(0, 0.3, shape).astype(np.float16)
            tensors[f"{n['name']}.bias"] = rng.normal(0, 0.3, p["0"]).astype(np.float32)
    (folder / f"{beside}.json").write_text(json.dumps(nodes))
    save_file(tensors, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def test_small_network_the_whole_way(tmp_path):
    loaded = load_model(str(write(tmp_path)), image_size=(32, 48))
    host = loaded.host
    assert (loaded.name, host.decode, host.strides) == ("net_ncnn_fp16", "yolov6", (8, 16))
    assert host.class_names == ("class 0", "class 1")
    assert (host.height, host.width, host.place, host.pad_value) == (32, 48, "center", 114)
    report = check_model(loaded)
    assert [(u.name, u.kind) for u in report.unsupported] == [
        ("mul", "BinaryOp"),
        ("mix", "ShuffleChannel"),
    ]
    assert report.region == "float network"
    assert report.operations["conv"] == 7
    imported = import_model(loaded, in_float=True)
    # The sigmoid belongs to the decode on the host.
    assert imported.host.outputs == (("cls0", "reg0"), ("cls1", "reg1"))
    batch = np.random.default_rng(1).random((1, 3, 32, 48), dtype=np.float32)
    found = FloatExecutor(imported.graph).run(batch)
    with torch.no_grad():
        wanted = loaded.module(torch.from_numpy(batch))
    for index, maps in enumerate(wanted):
        scores = 1 / (1 + np.exp(-found[f"cls{index}"]))
        assert np.abs(scores - maps[:, :2].numpy()).max() < 1e-6
        assert np.abs(found[f"reg{index}"] - maps[:, 2:].numpy()).max() < 1e-6


def test_where_the_description_may_stand(tmp_path):
    assert load_model(str(write(tmp_path, beside="net_ncnn_fp16"))).host.height == 320
    (tmp_path / "net_ncnn_fp16.json").unlink()
    message = f"description '{tmp_path / 'net_graph.json'}' does not exist; put the model's JSON"
    with pytest.raises(InputFileError, match=re.escape(message)):
        load_model(str(tmp_path / "net_ncnn_fp16.safetensors"))


def test_image_sizes(tmp_path):
    path = write(tmp_path)
    with pytest.raises(QuantizationError, match="image size 40x48 is not a positive multiple"):
        load_model(str(path), image_size=(40, 48))


def change(index, **fields):
    nodes = small_net()
    nodes[index] = nodes[index] | fields
    return nodes


UNREADABLE = {
    "empty": ([], r"as a JSON list has 0 nodes; need 1 to 100,000$"),
    "no input": (small_net()[1:], "does not begin with its one Input; export it again$"),
    "twice": (change(2, name="stem"), "has two nodes named 'stem'; names must differ$"),
    "lost value": (
        change(3, inputs=["x"]), "'gap' reads 'x', which no earlier node makes; export it again$",
    ),
    "made twice": (change(3, outputs=["1"]), "'gap' makes '1', which exists already; export it"),
    "no object": ([*small_net(), 3], "node 15 is no object of op, name, inputs, outputs, params"),
    "missing key": ([*small_net(), {"op": "Split"}], "node 15 is no object of op, name, inputs"),
    "number as name": (change(2, name=3), "node 2 is no object of op, name, inputs"),
    "text as parameter": (
        change(7, params={"0": "two"}),
        "'mix' has parameter 0=two, which is no number; export it again$",
    ),
    "truth as parameter": (change(7, params={"0": True}), "'mix' has parameter 0=True, which is"),
    "path as name": (change(2, name="a.b"), "the name 'a.b' cannot be kept; rename the node$"),
    "taken name": (change(2, name="forward"), "the name 'forward' cannot be kept; rename"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_damaged_descriptions_are_refused(name, tmp_path):
    nodes, reason = UNREADABLE[name]
    path = write(tmp_path)
    (tmp_path / "net_graph.json").write_text(json.dumps(nodes))
    start = re.escape(f"'{tmp_path / 'net_graph.json'}'")
    with pytest.raises(InputFileError, match=f"^{start}:? {reason}"):
        load_model(str(path))


def test_weights_of_another_model_are_refused(tmp_path):
    path = write(tmp_path)
    (tmp_path / "net_graph.json").write_text(json.dumps(change(1, name="other")))
    with pytest.raises(InputFileError, match=r"the weights lack 'other.weight'; description and"):
        load_model(str(path))
    nodes = small_net()
    del nodes[12:]  # nothing reads 'down' any more
    nodes = [n for n in nodes if n["name"] != "down"]
    (tmp_path / "net_graph.json").write_text(json.dumps(nodes))
    with pytest.raises(UnsupportedLayerError, match=r"the output of 'copy' is no concat of class"):
        load_model(str(path))
    nodes[2] = nodes[2] | {"outputs": ["2", "3"]}
    (tmp_path / "net_graph.json").write_text(json.dumps(nodes))
    with pytest.raises(InputFileError, match=r"has no node for 6 of 14 tensors, first 'cls1.bias'"):
        load_model(str(path))


def test_heads_of_other_families_are_refused(tmp_path):
    wide = conv("reg0", "9", "12", 5, 8)
    plain = conv("cls0", "9", "11", 2, 8)
    for index, fields in ((9, plain), (10, wide), (11, {"inputs": ["12", "11"]})):
        path = write(tmp_path, change(index, **fields))
        with pytest.raises(UnsupportedLayerError, match=r"output of 'cat0' is no concat of class"):
            load_model(str(path))
    path = write(tmp_path, small_net(scores=4))
    with pytest.raises(UnsupportedLayerError, match=r"has outputs of \[2, 3\] classes; give the"):
        load_model(str(path))


def test_graph_outputs_are_what_nothing_reads():
    graph = parse_ncnn(small_net(), Path("x"))
    assert (graph.image, graph.outputs, len(graph.nodes)) == ("in0", ("out0", "out1"), 14)


@pytest.mark.data
@pytest.mark.parametrize(("size", "parameters"), [("s", 546_790), ("m", 778_733), ("l", 1_084_557)])
def test_the_real_networks(size, parameters):
    path = REAL / f"yolov6lite_{size}_320_ncnn_fp16.safetensors"
    if not path.exists():
        pytest.skip("YOLOv6Lite weights are not beside the checkout")
    loaded = load_model(str(path))
    assert loaded.host.strides == (8, 16, 32, 64)
    assert len(loaded.host.class_names) == 80
    report = check_model(loaded)
    assert report.parameters == parameters
    kinds = [u.kind for u in report.unsupported]
    assert (kinds.count("BinaryOp"), kinds.count("ShuffleChannel"), len(kinds)) == (14, 10, 24)
    imported = import_model(loaded, in_float=True)
    assert imported.host.outputs[0] == ("convsigmoid_17", "conv_124")

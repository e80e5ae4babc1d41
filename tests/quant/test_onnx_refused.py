# SPDX-License-Identifier: Apache-2.0
"""ONNX files and nodes that are refused, each with its name; ends that do not matter are not."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant.errors import InputFileError, NibbleflowError, UnsupportedLayerError
from quant.ptq.check import check_model
from quant.ptq.importer import import_model
from quant.zoo import onnx_file
from quant.zoo.onnx_model import load_onnx

FLOAT = TensorProto.FLOAT


def constant(name, values, dtype=np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def conv(name, source, result, weight, **attributes) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [result], name=name, **attributes)


def model(nodes, constants=(), opset=13, shape=(1, 3, 16, 16), outputs=("y",), extra=()):
    """A model of one image 'x'; its first convolution 'w3' and a second 'w4' are at hand."""
    generator = np.random.default_rng(0)
    weights = [
        constant("w3", generator.normal(size=(4, 3, 3, 3))),
        constant("w4", generator.normal(size=(4, 4, 3, 3))),
        constant("w1", generator.normal(size=(4, 4, 1, 1))),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", FLOAT, shape), *extra],
        [helper.make_tensor_value_info(o, FLOAT, ["n", "c", "h", "w"]) for o in outputs],
        [*weights, *constants],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("vendor", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def save(value, path: Path) -> Path:
    path.write_bytes(value.SerializeToString())
    return path


def plain(**options):
    return model(
        [conv("a", "x", "m", "w3"), helper.make_node("Relu", ["m"], ["y"], "b")], **options
    )


def refused(path, message, kind=InputFileError, **options):
    with pytest.raises(kind, match=message) as caught:
        load_onnx(path, **{"decode": "none", **options})
    assert "\n" not in str(caught.value)


def test_plain_model_loads(tmp_path):
    graph = import_model(load_onnx(save(plain(), tmp_path / "m.onnx"), decode="none")).graph
    assert [op.name for op in graph.ops] == ["images", "a", "b"]


def test_missing_file(tmp_path):
    refused(tmp_path / "no.onnx", r"^ONNX file '.*no.onnx' does not exist; give the path")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated_file(share, tmp_path):
    data = plain().SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data[: int(share * len(data))])
    refused(path, r"bytes\) is truncated or no ONNX file: .*; copy or export it again$")


@pytest.mark.parametrize("data", [b"PK\x03\x04 a zip", b"\x00" * 64, b"hello, this is text\n"])
def test_foreign_file(data, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    refused(path, "is truncated or no ONNX file: ")


def test_file_beyond_the_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "SIZE_LIMIT_BYTES", 100)
    path = save(plain(), tmp_path / "m.onnx")
    refused(path, rf"has {path.stat().st_size} bytes, limit 100; give a smaller model")


def test_more_nodes_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "NODE_LIMIT", 1)
    refused(save(plain(), tmp_path / "m.onnx"), "has 2 nodes, limit 1; simplify the model")


@pytest.mark.parametrize("opset", [8, 21])
def test_opset(opset, tmp_path):
    path = save(plain(opset=opset), tmp_path / "m.onnx")
    refused(path, rf"is of opset {opset}; nibbleflow reads opsets 9 to 20; export it again")


def test_external_data(tmp_path):
    value = plain()
    weight = value.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    weight.ClearField("raw_data")
    refused(save(value, tmp_path / "m.onnx"), r"keeps 'w3' in another file; .* without external")


def test_external_data_in_a_constant_node(tmp_path):
    tensor = constant("hidden", [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="elsewhere")
    node = helper.make_node("Constant", [], ["k"], name="k", value=tensor)
    add = helper.make_node("Mul", ["x", "k"], ["y"], name="mul")
    refused(save(model([node, add]), tmp_path / "m.onnx"), "keeps 'hidden' in another file")


def test_tensor_with_too_few_bytes(tmp_path):
    value = plain()
    value.graph.initializer[0].raw_data = b"\x00" * 8
    refused(save(value, tmp_path / "m.onnx"), r"w3.*export (the model|it) again$")


def test_unknown_attribute_and_operator(tmp_path):
    value = model([conv("a", "x", "y", "w3", colour=3)])
    refused(save(value, tmp_path / "m.onnx"), "breaks the rules of ONNX: .*colour")
    value = model([helper.make_node("Convolve", ["x"], ["y"], name="a")])
    refused(save(value, tmp_path / "m.onnx"), "breaks the rules of ONNX: .*Convolve")


def test_inputs(tmp_path):
    second = helper.make_tensor_value_info("z", FLOAT, (1,))
    path = save(plain(extra=[second]), tmp_path / "two.onnx")
    refused(path, r"has 2 inputs \(x, z\); nibbleflow imports", UnsupportedLayerError)
    for shape in ((1, 3, 16), (1, 4, 16, 16), (2, 3, 16, 16)):
        path = save(model([helper.make_node("Relu", ["x"], ["y"])], shape=shape), tmp_path / "s")
        refused(path, "nibbleflow imports", UnsupportedLayerError)


def test_image_size(tmp_path):
    path = save(plain(), tmp_path / "m.onnx")
    refused(path, "is made for images of 16x16, not 32x32; leave --img out", image_size=(32, 32))
    path = save(plain(shape=(1, 3, "h", "w")), tmp_path / "open.onnx")
    refused(path, "leaves the image size open; give it with --img$")
    refused(path, "image size 9000x32 is outside 1 to 8192 pixels", image_size=(9000, 32))


def test_decode_that_is_not_known(tmp_path):
    path = save(plain(), tmp_path / "m.onnx")
    refused(path, "decode 'ssd' is not known; known: yolov5, ", UnsupportedLayerError, decode="ssd")
    message = r"does not tell what its outputs \[1, 4, 14, 14\] mean; say it with --decode yolov5\|"
    refused(path, message, UnsupportedLayerError, decode=None)
    message = r"has no head of yolov5; its outputs are \[1, 4, 14, 14\]; choose another --decode"
    refused(path, message, UnsupportedLayerError, decode="yolov5")


def middle(op, *inputs, **attributes):
    """A convolution, the node 'mid/dle', and another convolution."""
    node = helper.make_node(op, ["m", *inputs], ["n"], name="mid/dle", **attributes)
    return [conv("a", "x", "m", "w3"), node, conv("c", "n", "y", "w1")]


def numbers(name, *values):
    return constant(name, values, np.int64)


BUILDS = "; nibbleflow builds conv, pool, add"
PAD = "; nibbleflow pads inside convolution and pooling"
NODES = {
    "softmax": (middle("Softmax", axis=1), (), f"is Softmax{BUILDS}"),
    "elu": (middle("Elu"), (), f"is Elu{BUILDS}"),
    "hardsigmoid": (
        middle("HardSigmoid"), (), f"is HardSigmoid with alpha=0.2, beta=0.5{BUILDS}",
    ),
    "clip": (
        middle("Clip", "low", "high"),
        (constant("low", -1.0), constant("high", 1.0)),
        f"is Clip with limits -1 and 1{BUILDS}",
    ),
    "dilated convolution": (
        [conv("a", "x", "m", "w3"), conv("mid/dle", "m", "y", "w4", dilations=[2, 2])],
        (),
        "has dilation (2, 2); nibbleflow builds convolutions with dilation 1",
    ),
    "uneven padding": (
        [conv("a", "x", "m", "w3"), conv("mid/dle", "m", "y", "w4", pads=[0, 1, 1, 1])],
        (),
        f"pads (1, 1, 0, 1) with mode 'constant'{PAD}",
    ),
    "padding to the same size": (
        [
            conv("a", "x", "m", "w3"),
            conv("mid/dle", "m", "y", "w4", auto_pad="SAME_UPPER", strides=[2, 2]),
        ],
        (),
        f"pads (0, 1, 0, 1) with mode 'constant'{PAD}",
    ),
    "ceil mode": (
        middle("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        (),
        "has ceil_mode=True; nibbleflow builds pooling with ceil_mode=False",
    ),
    "dilated pool": (
        middle("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
        (),
        "has dilation (2, 2); nibbleflow builds pooling with dilation 1",
    ),
    "padded average": (
        middle("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        (),
        "has padding (1, 1); nibbleflow builds average pooling without padding",
    ),
    "average": (
        middle("AveragePool", kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
        (),
        f"is AveragePool with auto_pad=SAME_UPPER, pads=(0, 0, 0, 0){BUILDS}",
    ),
    "linear resize": (
        middle("Resize", "", "scales", mode="linear"),
        (constant("scales", [1, 1, 2, 2]),),
        f"is Resize with mode linear{BUILDS}",
    ),
    "odd resize": (
        middle("Resize", "", "scales", mode="nearest"),
        (constant("scales", [1, 1, 1.5, 1.5]),),
        f"is Resize with 14x14 to 21x21 by half_pixel{BUILDS}",
    ),
    "resize that shifts": (
        middle("Resize", "", "scales", mode="nearest", nearest_mode="ceil"),
        (constant("scales", [1, 1, 2, 2]),),
        f"is Resize with 14x14 to 28x28 by half_pixel{BUILDS}",
    ),
    "backward slice": (
        middle("Slice", "from", "to", "axis", "step"),
        (numbers("from", -1), numbers("to", -99), numbers("axis", 1), numbers("step", -1)),
        f"is Slice with steps=(-1,){BUILDS}",
    ),
    "strided slice": (
        middle("Slice", "from", "to", "axis", "step"),
        (numbers("from", 0), numbers("to", 99), numbers("axis", 2), numbers("step", 2)),
        "takes the elements [:, :, 0::2, :]; nibbleflow slices contiguous channels",
    ),
    "transpose": (middle("Transpose", perm=[0, 1, 3, 2]), (), f"is Transpose{BUILDS}"),
    "product": (middle("Mul", "m"), (), "multiplies two computed tensors (a gate"),
    "trained": (
        middle("PRelu", "slope"),
        (constant("slope", np.full((4, 1, 1), 0.1)),),
        f"is PRelu{BUILDS}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_node_is_refused_by_its_name(name, tmp_path):
    nodes, constants, reason = NODES[name]
    loaded = load_onnx(save(model(nodes, constants), tmp_path / "m.onnx"), decode="none")
    with pytest.raises(UnsupportedLayerError, match=re.escape(f"'mid/dle' {reason}")):
        import_model(loaded)
    assert check_model(loaded).unsupported[0].name == "mid/dle"


def test_foreign_operator_before_a_trained_layer(tmp_path):
    nodes = middle("Fast")
    nodes[1].domain = "vendor"
    message = r"^'mid/dle' is Fast of domain 'vendor', before the trained 'c'; nibbleflow runs"
    refused(save(model(nodes), tmp_path / "m.onnx"), message, UnsupportedLayerError)


def test_operator_that_does_not_fit(tmp_path):
    nodes = middle("Reshape", "shape")
    path = save(model(nodes, [numbers("shape", 1, 5, -1)]), tmp_path / "m.onnx")
    message = r"^'mid/dle' \(Reshape\) does not run on an image of \[1, 3, 16, 16\]: .* with --img"
    refused(path, message, UnsupportedLayerError)


def test_tensor_as_large_as_it_says_is_refused(tmp_path):
    shape = numbers("shape", 1 << 20, 1 << 20)
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"], name="bomb"),
        helper.make_node("ReduceSum", ["big"], ["s"], name="sum", keepdims=0),
        helper.make_node("Add", ["x", "s"], ["n"], name="add"),
        conv("c", "n", "y", "w3"),
    ]
    path = save(model(nodes, [shape]), tmp_path / "m.onnx")
    refused(path, "^'bomb' is ConstantOfShape, before the trained 'c'", UnsupportedLayerError)


TAILS = {
    "standard": [helper.make_node("Softmax", ["m"], ["y"], name="tail", axis=1)],
    "foreign": [helper.make_node("Nms", ["m"], ["y"], name="tail", domain="vendor")],
    "does not run": [helper.make_node("Gather", ["m", "far"], ["y"], name="tail", axis=1)],
}


@pytest.mark.parametrize("name", TAILS)
def test_end_behind_the_last_layer_does_not_matter(name, tmp_path):
    nodes = [conv("a", "x", "m", "w3"), *TAILS[name]]
    path = save(model(nodes, [numbers("far", 999)]), tmp_path / "m.onnx")
    result = import_model(load_onnx(path, decode="none"))
    assert result.graph.outputs == ("a",)


def test_names_that_are_missing_repeated_or_odd(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["p"]),
        helper.make_node("Relu", ["p"], ["q"], name="same"),
        helper.make_node("Sigmoid", ["q"], ["r"], name="same"),
        helper.make_node("Relu", ["r"], ["s"], name="a.b\nc"),
        helper.make_node("Relu", ["s"], ["t"], name="forward"),
        conv("a", "t", "y", "w3"),
    ]
    loaded = load_onnx(save(model(nodes), tmp_path / "m.onnx"), decode="none")
    names = [op.name for op in import_model(loaded).graph.ops[1:]]
    assert names == ["Relu_0", "same", "same_2", "a.b_c", "forward_", "a_"]


def test_changed_bytes_are_refused_or_read_but_never_crash(tmp_path):
    nodes = middle("Slice", "from", "to", "axis")
    nodes += [helper.make_node("Resize", ["y", "", "twice"], ["z"], name="up", mode="nearest")]
    cut = (numbers("from", 0), numbers("to", 4), numbers("axis", 1))
    twice = constant("twice", [1, 1, 2, 2])
    data = model(nodes, (*cut, twice), outputs=("z",)).SerializeToString()
    generator = np.random.default_rng(7)
    path = tmp_path / "m.onnx"
    seen = {"read": 0, "refused": 0, "several lines": 0}
    for _ in range(300):
        changed = np.frombuffer(data, np.uint8).copy()
        changed[generator.integers(0, len(data), 2)] = generator.integers(0, 256, 2)
        path.write_bytes(changed.tobytes())
        try:
            import_model(load_onnx(path, decode="none"))
            seen["read"] += 1
        except NibbleflowError as error:
            seen["several lines" if "\n" in str(error) else "refused"] += 1
    assert seen["several lines"] == 0
    assert min(seen["read"], seen["refused"]) > 20

# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from quant.errors import InputFileError, QuantizationError, UnsupportedLayerError
from quant.floatgraph import FloatActivation, FloatAdd, FloatConv
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.checkpoint import read_weights
from quant.zoo.class_names import COCO_NAMES
from quant.zoo.implicit import IDetect
from quant.zoo.yolov7 import build_yolov7, load_yolov7, yolov7_description
from tests.quant.skeletons import skeleton

DATA = Path(__file__).parents[2].parent / "shared" / "data"
KINDS = [(v, f) for v in ("yolov7", "yolov7-tiny") for f in ("training", "deploy")]
SIZE = (64, 64)


def build(variant, form, seed=1, **more):
    return build_yolov7(
        yolov7_description(variant, form), COCO_NAMES, image_size=SIZE, seed=seed, **more
    )


def counted(net):
    """Parameters of a description, from its list alone (independent of the product's code)."""
    made = []
    total = 0
    for number, (origin, _, kind, args) in enumerate(net["backbone"] + net["head"]):
        origins = origin if isinstance(origin, list) else [origin]
        inputs = [3 if number + o < 0 else made[number + o if o < 0 else o] for o in origins]
        c = inputs[0]
        f = args[0] if args else c
        match kind:
            case "Conv":
                total += c * f * args[1] ** 2 + 2 * f
            case "RepConv":
                total += c * f * 10 + 4 * f + (2 * c if c == f else 0)
            case "SPPCSPC":  # seven convolutions on f hidden channels
                total += 2 * c * f + 2 * 9 * f * f + f * f + 4 * f * f + 2 * f * f + 2 * 7 * f
            case "Concat":
                f = sum(inputs)
            case "Detect" | "IDetect":
                rows = 3 * (net["nc"] + 5)
                total += sum(i * rows + rows for i in inputs)
                total += sum(i + rows for i in inputs) if kind == "IDetect" else 0
            case _:
                f = c
        made.append(f)
    return total


@pytest.mark.parametrize(
    ("variant", "form", "parameters"),
    [
        ("yolov7", "training", 37_622_682),
        ("yolov7", "deploy", 37_620_125),
        ("yolov7-tiny", "training", 6_228_762),
        ("yolov7-tiny", "deploy", 6_227_101),
    ],
)
def test_parameter_counts_are_the_published_ones(variant, form, parameters):
    description = yolov7_description(variant, form)
    model = skeleton(description)
    assert sum(p.numel() for p in model.parameters()) == parameters == counted(description)


def test_state_dict_keys_are_the_published_ones():
    shapes = {
        k: tuple(v.shape) for k, v in skeleton(yolov7_description(*KINDS[0])).state_dict().items()
    }
    assert shapes["model.0.conv.weight"] == (32, 3, 3, 3)
    assert shapes["model.51.cv7.bn.running_var"] == (512,)
    assert shapes["model.102.rbr_dense.0.weight"] == (256, 128, 3, 3)
    assert shapes["model.104.rbr_1x1.1.bias"] == (1024,)
    assert shapes["model.105.m.2.weight"] == (255, 1024, 1, 1)
    assert shapes["model.105.ia.1.implicit"] == (1, 512, 1, 1)
    assert shapes["model.105.im.0.implicit"] == (1, 255, 1, 1)
    assert shapes["model.105.anchors"] == (3, 3, 2)


@pytest.mark.data
@pytest.mark.parametrize(("variant", "form"), KINDS)
def test_descriptions_are_the_published_structure(variant, form):
    path = DATA / "configs" / f"{form}_{variant}.yaml"
    if not path.exists():
        pytest.skip("published descriptions are not beside the checkout")
    yaml = pytest.importorskip("yaml")
    published = yaml.safe_load(path.read_text())

    def plain(layers):
        text = json.dumps(layers).replace("null", '"None"').replace("'", "")
        return json.loads(text)

    ours = yolov7_description(variant, form)
    assert {k: plain(published[k]) for k in ours} == ours
    assert counted(published) == counted(ours)


@pytest.mark.data
def test_the_seven_real_layers_of_tiny_load_into_their_places():
    path = DATA / "weights" / "yolov7tiny_PARTIAL_fp16.safetensors"
    if not path.exists():
        pytest.skip("partial yolov7-tiny weights are not beside the checkout")
    with safe_open(path, framework="numpy") as file:
        net = json.loads(file.metadata()["yaml"])
    ours = yolov7_description("yolov7-tiny", "deploy")
    assert {k: net[k] for k in ours} == ours
    real = read_weights(path)
    places = [0, 2, 23, 24, 25, 26, 28]
    assert [n for n in range(77) if f"model.{n}.conv.weight" in real] == places
    seeded = build("yolov7-tiny", "deploy").module.state_dict()
    with pytest.raises(InputFileError, match=r"lacks \d+ of 337 tensors, first 'model.0.bn.bias'"):
        build_yolov7(net, COCO_NAMES, tensors=real, image_size=SIZE)
    with pytest.raises(InputFileError, match="has no head of a yolov7-tiny"):
        load_yolov7(path, "yolov7-tiny", "deploy", SIZE)
    loaded = build_yolov7(net, COCO_NAMES, tensors=seeded | real, image_size=SIZE)
    state = loaded.module.state_dict()
    for name, value in real.items():
        assert torch.equal(state[name], value), name


def test_implicit_constants_are_folded_exactly():
    torch.manual_seed(0)
    anchors = (((10.0, 12.0),), ((40.0, 44.0),))
    head = IDetect((8, 16), 3, anchors, (8, 16), (32, 32))
    for layer in (*head.ia, *head.im):
        layer.implicit.data.normal_()
    maps = [torch.randn(1, 8, 4, 4), torch.randn(1, 16, 2, 2)]
    for i, (found, x) in enumerate(zip(head.train()(maps), maps, strict=True)):
        conv, offset, gain = head.m[i].double(), head.ia[i].implicit, head.im[i].implicit
        wanted = gain.double() * conv(x.double() + offset.double())
        assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def tiny():
    return build("yolov7-tiny", "training")


def test_training_form_equals_deploy_form_after_import(tiny):
    state = tiny.module.state_dict()
    deploy = {k: v for k, v in state.items() if ".ia." not in k and ".im." not in k}
    for i in range(3):  # the definition, in numpy
        weight = state[f"model.77.m.{i}.weight"].double().numpy()[:, :, 0, 0]
        offset = state[f"model.77.ia.{i}.implicit"].double().numpy().ravel()
        gain = state[f"model.77.im.{i}.implicit"].double().numpy().ravel()
        bias = (weight @ offset + state[f"model.77.m.{i}.bias"].double().numpy()) * gain
        assert np.abs(gain - 1).max() > 0.01
        deploy[f"model.77.m.{i}.weight"] = torch.tensor((weight * gain[:, None])[:, :, None, None])
        deploy[f"model.77.m.{i}.bias"] = torch.tensor(bias)
    other = build("yolov7-tiny", "deploy", seed=None, tensors=deploy)
    a, b = import_model(tiny), import_model(other)
    assert a.host.outputs == b.host.outputs == tuple((f"model.77.m.{i}",) for i in range(3))
    image = np.random.default_rng(0).random((1, 3, *SIZE), dtype=np.float32)
    first, second = FloatExecutor(a.graph).run(image), FloatExecutor(b.graph).run(image)
    assert list(first) == list(second)
    for name, found in first.items():
        assert np.allclose(found, second[name], rtol=1e-5, atol=1e-5)
    kinds = {(op.kind, op.slope) for op in a.graph.ops if isinstance(op, FloatActivation)}
    assert kinds == {("leaky_relu", 0.1)}


def test_yolov7_imports_with_its_branches_fused():
    loaded = build("yolov7", "training")
    imported = import_model(loaded)
    ops = imported.graph.ops
    assert imported.check.parameters == 37_622_682
    convs = [op for op in ops if isinstance(op, FloatConv)]
    assert len(convs) == 92
    assert sum(op.weight.size + op.bias.size for op in convs) == 36_905_341
    assert not any(isinstance(op, FloatAdd) for op in ops)
    image = torch.rand((1, 3, *SIZE), generator=torch.Generator().manual_seed(0))
    loaded.module.detect.train()  # raw maps, with the blocks in eval mode
    with torch.no_grad():
        raw = loaded.module(image)
    loaded.module.eval()
    found = FloatExecutor(imported.graph).run(image.numpy())
    for wanted, tensor in zip(raw, found.values(), strict=True):
        assert np.allclose(tensor, wanted.numpy(), rtol=1e-3, atol=1e-3)
        assert np.abs(tensor).max() < 50


def test_host_side_and_anchors(tiny):
    host = tiny.host
    assert (host.decode, host.place, host.pad_value) == ("yolov7", "center", 114)
    assert host.anchors[0] == ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0))
    assert host.outputs == ((), (), ())
    own = tuple(((8.0, 8.0), (16.0, 16.0), (32.0, s * 1.0)) for s in (8, 16, 32))
    moved = build("yolov7-tiny", "deploy", anchors=own)
    assert moved.host.anchors == own
    state = dict(tiny.module.state_dict())
    state["model.77.anchor_grid"] = torch.zeros(3, 1, 3, 1, 1, 2)  # older checkpoints have it
    state["model.77.anchors"] = state["model.77.anchors"] * 2
    again = build("yolov7-tiny", "training", seed=None, tensors=state, anchors=own)
    assert again.host.anchors[0][0] == (20.0, 26.0)


def test_what_does_not_fit_is_refused(tiny):
    net = yolov7_description("yolov7-tiny", "training")
    with pytest.raises(UnsupportedLayerError, match=r"'yolov7' in form 'fused' is not known"):
        yolov7_description("yolov7", "fused")
    with pytest.raises(InputFileError, match="needs weights or a seed, one of the two"):
        build_yolov7(net, COCO_NAMES)
    with pytest.raises(InputFileError, match="has 2 class names for 80 classes"):
        build_yolov7(net, ("a", "b"), seed=1)
    with pytest.raises(QuantizationError, match="multiple of the largest stride 32"):
        build_yolov7(net, COCO_NAMES, seed=1, image_size=(100, 64))
    with pytest.raises(InputFileError, match=r"has \d+ tensors .* first 'model.77.ia.0.implicit'"):
        build("yolov7-tiny", "deploy", seed=None, tensors=tiny.module.state_dict())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ([-1, 1, "Conv", [32, 3, 1, None, 1, "nn.Mish()"]], "activation 'Mish' is not known"),
        ([-1, 1, "Conv", [32, 3, 1, None, 1, "os.system('x')"]], "is neither True nor such as"),
        ([-1, 1, "Conv", [32, 3, 1, None, 1, "nn.SiLU(2)"]], "takes no number"),
        ([-1, 1, "Conv", [32, 3, 1, None, 1, True, 7]], "at most filters, kernel"),
        ([-1, 1, "RepConv", [32, 5, 1]], "kernel size 3"),
        ([-1, 1, "SPPCSPC", [32, 2]], "only the number of filters"),
        ([-1, 2, "MP", []], "module 'MP' .repeated 2. is not known"),
    ],
)
def test_arguments_without_a_meaning_are_refused(layer, message):
    net = yolov7_description("yolov7-tiny", "deploy")
    net["backbone"][0] = layer
    with pytest.raises(UnsupportedLayerError, match=message):
        skeleton(net)

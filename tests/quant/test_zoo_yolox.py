# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from quant.errors import InputFileError, QuantizationError
from quant.floatgraph import FloatAdd, FloatConv
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.arches import build_arch
from quant.zoo.checkpoint import read_weights
from quant.zoo.csp import Focus
from quant.zoo.yolox import STYLE, Yolox, drop_norms
from quant.zoo.yolox_load import build_yolox_nano

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "weights"
SIZE = (64, 96)


@pytest.fixture(scope="module")
def nano():
    return build_yolox_nano(seed=2, image_size=SIZE)


def test_parameters_and_keys_are_the_published_ones():
    with torch.device("meta"):
        model = Yolox(80, SIZE)
    assert sum(p.numel() for p in model.parameters()) == 912_159
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert shapes["backbone.backbone.stem.conv.conv.weight"] == (16, 12, 3, 3)
    assert shapes["backbone.backbone.dark3.1.m.2.conv2.dconv.conv.weight"] == (32, 1, 3, 3)
    assert shapes["backbone.backbone.dark5.1.conv2.conv.weight"] == (256, 512, 1, 1)
    assert shapes["backbone.C3_n3.conv3.bn.running_var"] == (128,)
    assert shapes["head.cls_convs.2.1.pconv.conv.weight"] == (64, 64, 1, 1)
    assert shapes["head.reg_preds.0.bias"] == (4,)


def test_focus_takes_its_phases_in_the_published_order():
    block = Focus(STYLE, 1, 4, 3)
    block.conv = torch.nn.Identity()
    phases = block(torch.arange(16.0).reshape(1, 1, 4, 4))
    corners = phases[0, :, 0, 0].tolist()
    assert corners == [0.0, 4.0, 1.0, 5.0]  # top left, bottom left, top right, bottom right


def test_import_ends_at_box_objectness_and_classes(nano):
    imported = import_model(nano)
    kinds = ("reg_preds", "obj_preds", "cls_preds")
    assert imported.host.outputs == tuple(tuple(f"head.{k}.{i}" for k in kinds) for i in range(3))
    stem = imported.graph.ops[1]
    assert isinstance(stem, FloatConv)
    assert stem.weight.shape == (16, 3, 6, 6)  # Focus folded in
    assert (stem.stride, stem.padding) == ((2, 2), (2, 2, 2, 2))
    assert sum(isinstance(op, FloatAdd) for op in imported.graph.ops) == 7
    image = torch.rand((1, 3, *SIZE), generator=torch.Generator().manual_seed(0)) * 255
    nano.module.head.training = True  # raw maps, with the blocks in eval mode
    with torch.no_grad():
        raw = nano.module(image)
    nano.module.head.training = False
    found = FloatExecutor(imported.graph).run(image.numpy())
    for scale, names in zip(raw, imported.host.outputs, strict=True):
        joined = np.concatenate([found[n] for n in names], 1)
        assert np.allclose(joined, scale.numpy(), rtol=1e-3, atol=1e-3)


def test_decode_follows_the_formula_row_by_row(nano):
    image = torch.rand((1, 3, *SIZE), generator=torch.Generator().manual_seed(1)) * 255
    with torch.no_grad():
        rows = nano.module(image)
        nano.module.head.training = True  # raw maps, with the blocks in eval mode
        raw = nano.module(image)
        nano.module.head.training = False
    assert rows.shape == (1, 8 * 12 + 4 * 6 + 2 * 3, 85)
    for scale, y, x, row in ((0, 3, 7, 3 * 12 + 7), (1, 2, 5, 96 + 17), (2, 1, 2, 120 + 5)):
        stride, values = (8, 16, 32)[scale], raw[scale][0, :, y, x]
        box = [(values[0] + x) * stride, (values[1] + y) * stride]
        box += [values[2].exp() * stride, values[3].exp() * stride]
        wanted = torch.cat((torch.stack(box), values[4:].sigmoid()))
        assert torch.allclose(rows[0, row], wanted, rtol=1e-4, atol=1e-4)


def fused_state(module):
    """The state dict with every normalisation folded, by definition."""
    state, result = module.state_dict(), {}
    for name, value in state.items():
        if name.endswith(".conv.weight"):
            base = name.removesuffix(".conv.weight")
            gain = state[f"{base}.bn.weight"] / (state[f"{base}.bn.running_var"] + 1e-3).sqrt()
            result[name] = value * gain[:, None, None, None]
            result[f"{base}.conv.bias"] = (
                state[f"{base}.bn.bias"] - state[f"{base}.bn.running_mean"] * gain
            )
        elif "_preds." in name:
            result[name] = value
    return result


def test_fused_and_numbered_tensors_find_their_places(tmp_path, nano):
    fused = fused_state(nano.module)
    image = torch.rand((1, 3, *SIZE), generator=torch.Generator().manual_seed(2)) * 255
    with torch.no_grad():
        wanted = nano.module(image)
    again = build_yolox_nano(tensors=fused, image_size=SIZE)
    assert torch.allclose(again.module(image), wanted, rtol=1e-3, atol=1e-2)
    numbered = {k: v for k, v in fused.items() if "_preds." in k}
    calls = []
    model = again.module
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and "_preds." not in name:
            layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    model(image)
    number = 990  # ten thousand sorts behind nine hundred ninety as a number only
    for name in calls:
        numbered[f"onnx::Conv_{number}"] = fused[f"{name}.weight"]
        numbered[f"onnx::Conv_{number + 1}"] = fused[f"{name}.bias"]
        number += 3
    path = tmp_path / "export.safetensors"
    save_file({k: numbered[k].contiguous() for k in sorted(numbered)}, path)
    loaded = build_arch("yolox-nano", weights=path, seed=None, image_size=SIZE)
    assert loaded.name == "export"
    state = loaded.module.state_dict()
    assert set(state) == set(fused)
    assert all(torch.equal(state[k], v) for k, v in fused.items())
    numbered.pop("onnx::Conv_990")
    with pytest.raises(InputFileError, match="has 207 numbered tensors for 104 convolutions"):
        build_yolox_nano(tensors=numbered)


def test_host_side_is_that_of_yolox(nano):
    host = nano.host
    assert (host.decode, host.place, host.pad_value) == ("yolox", "top_left", 114)
    assert (host.channel_order, host.mean, host.std) == ("bgr", (0.0,) * 3, (1.0,) * 3)
    assert (host.strides, host.anchors, len(host.class_names)) == ((8, 16, 32), (), 80)


def test_what_does_not_fit_is_refused(nano):
    with pytest.raises(InputFileError, match="needs weights or a seed"):
        build_yolox_nano()
    with pytest.raises(InputFileError, match="so it is no YOLOX"):
        build_yolox_nano(tensors={"a": torch.zeros(1)})
    state = nano.module.state_dict()
    short = {k: v for k, v in state.items() if k != "head.stems.0.bn.bias"}
    with pytest.raises(InputFileError, match=r"lacks 1 of .* first 'head.stems.0.bn.bias'"):
        build_yolox_nano(tensors=short)
    with pytest.raises(QuantizationError, match="multiple of the largest stride 32"):
        build_yolox_nano(seed=1, image_size=(100, 64))


@pytest.mark.data
def test_real_weights_load_and_find_something():
    path = REAL / "yolox_nano_416_fp32_initializers.safetensors"
    if not path.exists():
        pytest.skip("YOLOX-Nano weights are not beside the checkout")
    loaded = build_yolox_nano(tensors=read_weights(path), source=path)
    assert loaded.host.height == 416
    skeleton = Yolox(80, (64, 64))
    drop_norms(skeleton)
    assert sum(v.numel() for v in skeleton.state_dict().values()) == sum(
        v.numel() for v in read_weights(path).values()
    )
    # a flat picture holds nothing; trained weights say so, seeded ones would not
    with torch.no_grad():
        rows = loaded.module(torch.full((1, 3, 416, 416), 114.0))
    assert float((rows[..., 4:5] * rows[..., 5:]).max()) < 0.1

# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from quant.errors import InputFileError
from quant.floatgraph import FloatAdd, FloatAvgPool, FloatConv, FloatLinear
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo import mobileone, repvgg
from quant.zoo.arches import build_arch
from quant.zoo.branches import BranchBlock, ConvNorm, ConvShape
from quant.zoo.checkpoint import read_weights
from sim.host import letterbox, normalise, read_image

DATA = Path(__file__).parents[2].parent / "shared" / "data"
WEIGHTS = DATA / "weights" / "mobileone_s0_reparam_fp32.safetensors"
SIZE = (64, 64)
MAKERS = {"mobileone-s0": mobileone.make_mobileone_s0, "repvgg-a0": repvgg.make_repvgg_a0}


@pytest.mark.parametrize(
    ("name", "form", "parameters"),
    [
        ("mobileone-s0", "branches", 5_293_272),
        ("mobileone-s0", "fused", 2_078_504),
        ("repvgg-a0", "branches", 9_108_968),
        ("repvgg-a0", "fused", 8_309_384),
    ],
)
def test_parameter_counts_are_the_published_ones(name, form, parameters):
    with torch.device("meta"):
        model = MAKERS[name](form)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_state_dict_keys_are_the_published_ones():
    with torch.device("meta"):
        one = {
            k: tuple(v.shape) for k, v in MAKERS["mobileone-s0"]("branches").state_dict().items()
        }
        rep = {k: tuple(v.shape) for k, v in MAKERS["repvgg-a0"]("branches").state_dict().items()}
        plain = MAKERS["repvgg-a0"]("fused").state_dict()
    assert one["stage0.rbr_conv.0.conv.weight"] == (48, 3, 3, 3)
    assert "stage0.rbr_conv.1.conv.weight" not in one
    assert one["stage1.0.rbr_scale.conv.weight"] == (48, 1, 1, 1)
    assert one["stage2.15.rbr_conv.3.bn.running_var"] == (128,)
    assert one["stage2.3.rbr_skip.weight"] == (128,)
    assert "stage2.1.rbr_skip.weight" not in one
    assert rep["stage3.13.rbr_identity.running_mean"] == (192,)
    assert rep["stage4.0.rbr_1x1.conv.weight"] == (1280, 192, 1, 1)
    assert plain["stage4.0.rbr_reparam.bias"].shape == (1280,)
    assert one["linear.weight"] == (1000, 1024)


@pytest.mark.parametrize("name", MAKERS)
def test_branches_and_fused_form_import_as_the_same_network(name):
    trained = build_arch(f"{name}-train", weights=None, seed=4, image_size=SIZE)
    fused = build_arch(name, weights=None, seed=4, image_size=SIZE)
    image = np.random.default_rng(0).standard_normal((1, 3, *SIZE)).astype(np.float32)
    with torch.no_grad():  # the branches themselves, unfused
        wanted = trained.module(torch.from_numpy(image)).numpy()
    for loaded in (trained, fused):
        imported = import_model(loaded)
        ops = imported.graph.ops
        convs = 19 + 24 if name == "mobileone-s0" else 22
        assert sum(isinstance(op, FloatConv) for op in ops) == convs
        assert not any(isinstance(op, FloatAdd) for op in ops)
        assert sum(isinstance(op, FloatAvgPool | FloatLinear) for op in ops) == 2
        assert imported.host.outputs == (("linear",),)
        (logits,) = FloatExecutor(imported.graph).run(image).values()
        assert np.allclose(logits[:, :, 0, 0], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "shape",
    [
        ConvShape(8, 8, 3),
        ConvShape(8, 8, 3, groups=8),
        ConvShape(8, 8, 3, groups=2),
        ConvShape(8, 16, 3, 2),
        ConvShape(8, 8, 1),
    ],
)
def test_one_convolution_equals_the_branches(shape):
    torch.manual_seed(0)
    branches = {
        "many": [ConvNorm(shape, shape.kernel) for _ in range(2)],
        "one": ConvNorm(shape, 1),
    }
    if shape.keeps:
        branches["same"] = nn.BatchNorm2d(8)
    block = BranchBlock(shape, branches).eval()
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            norm.weight.data.normal_()
            norm.bias.data.normal_()
    x = torch.randn(2, 8, 7, 7)
    weight, bias = block.fused()
    pad = shape.kernel // 2
    fused = nn.functional.conv2d(x, weight, bias, shape.stride, pad, 1, shape.groups).relu()
    assert torch.allclose(fused, block(x), atol=1e-4)


def test_host_side_is_that_of_imagenet_classifiers():
    host = build_arch("repvgg-a0", weights=None, seed=0).host
    assert (host.height, host.width, host.place, host.decode) == (224, 224, "squash", "classify")
    assert host.channel_order == "rgb"
    assert host.mean == pytest.approx((123.675, 116.28, 103.53))
    assert host.std == pytest.approx((58.395, 57.12, 57.375))
    assert len(host.class_names) == 1000


def test_weights_of_another_form_or_network_are_refused(tmp_path):
    state = build_arch("repvgg-a0", weights=None, seed=0, image_size=SIZE).module.state_dict()
    path = tmp_path / "net.safetensors"
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    loaded = build_arch("repvgg-a0", weights=path, seed=None)
    assert loaded.name == "net"
    assert torch.equal(
        loaded.module.state_dict()["stage0.rbr_reparam.bias"], state["stage0.rbr_reparam.bias"]
    )
    with pytest.raises(InputFileError, match=r"lacks \d+ of \d+ tensors, first 'stage0.rbr_dense"):
        build_arch("repvgg-a0-train", weights=path, seed=None)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputFileError, match=r"has no 'linear\.bias'; name another --arch"):
        build_arch("mobileone-s0", weights=path, seed=None)


@pytest.mark.data
def test_mobileone_s0_recognises_real_images():
    images = DATA / "imagenet" / "val300_224"
    if not WEIGHTS.exists() or not images.exists():
        pytest.skip("MobileOne-S0 weights and images are not beside the checkout")
    loaded = build_arch("mobileone-s0", weights=WEIGHTS, seed=None)
    state = loaded.module.state_dict()
    for name, value in read_weights(WEIGHTS).items():
        assert torch.equal(state[name], value), name
    imported = import_model(loaded)
    executor = FloatExecutor(imported.graph)
    labels = json.loads((DATA / "imagenet" / "labels.json").read_text())
    right = 0
    paths = sorted(images.iterdir())
    for begin in range(0, len(paths), 50):
        part = paths[begin : begin + 50]
        batch = [normalise(letterbox(read_image(p), imported.host)[0], imported.host) for p in part]
        (logits,) = executor.run(np.stack(batch)).values()
        wanted = [labels[f"val300_224/{p.name}"] for p in part]
        right += int((logits[:, :, 0, 0].argmax(1) == wanted).sum())
    assert len(paths) == 300
    assert abs(right - 192) <= 1  # 64.0 percent

# SPDX-License-Identifier: Apache-2.0
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from quant.errors import UnsupportedLayerError
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.blocks import BlockStyle
from quant.zoo.described import DescribedModel, Description
from quant.zoo.loaded import LoadedModel
from quant.zoo.shuffle import ShuffleBlock
from quant.zoo.unshuffle import remove_shuffles
from quant.zoo.yolov5 import detector_host, load_yolov5

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "weights"
STYLE = BlockStyle("ReLU", 1e-3)


def description(second=("Conv", [16, 1, 1])):
    """A detector of two scales whose every kind of layer reads shuffled channels."""
    layers = [
        [-1, 1, "conv_bn_relu_maxpool", [8]],
        [-1, 1, "Shuffle_Block", [24, 2]],
        [-1, 3, "Shuffle_Block", [24, 1]],
        [-1, 1, "Shuffle_Block", [40, 2]],
        [-1, 1, "Shuffle_Block", [40, 1]],
        [-1, 1, "SP", [3]],
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[2, -1], 1, "Concat", [1]],
        [-1, 1, "C3", [16]],
        [5, 1, *second],
        [[8, 9], 1, "Detect", ["nc", "anchors"]],
    ]
    value = {
        "yaml": {
            "depth_multiple": 1.0,
            "width_multiple": 1.0,
            "anchors": [[4, 4], [16, 16]],
            "backbone": layers,
            "head": [],
        },
        "names": ["a", "b"],
        "strides": [8, 16],
        "bn_eps": 0.001,
        "activation": "ReLU",
        "image_size": [64, 64],
    }
    return Description.from_json(value, "test")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    model = DescribedModel(description()).eval().requires_grad_(False)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_(0.2, 0.2)
    return model


def test_shuffle_interleaves_the_halves():
    block = ShuffleBlock(STYLE, 4, 4, 1)
    block.branch2 = nn.Identity()
    x = torch.arange(4.0).reshape(1, 4, 1, 1)
    assert block(x).flatten().tolist() == [0.0, 2.0, 1.0, 3.0]


def test_rearranged_network_computes_the_same(net):
    image = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    wanted = net(image)
    other = copy.deepcopy(net)
    remove_shuffles(other)
    found = other(image)
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)
    inside = other.model[2](other.model[1](other.model[0](image)))
    published = net.model[2](net.model[1](net.model[0](image)))
    assert not torch.allclose(inside, published, atol=0.1)  # another order
    assert torch.allclose(inside.sort(1).values, published.sort(1).values, atol=1e-5)


def test_rearranged_network_imports(net):
    plain = copy.deepcopy(net)
    host = detector_host(plain, description(), "yolov5")
    with pytest.raises(UnsupportedLayerError, match=r"'model.1.stack'"):
        import_model(LoadedModel(plain, host, "net"))
    remove_shuffles(plain)
    imported = import_model(LoadedModel(plain, host, "net"))
    assert imported.host.outputs == (("model.10.m.0",), ("model.10.m.1",))
    image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    found = FloatExecutor(imported.graph).run(image)
    net.detect.training = True
    wanted = net(torch.from_numpy(image))
    net.detect.training = False
    for raw, tensor in zip(wanted, found.values(), strict=True):
        assert np.allclose(tensor, raw.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("second", "kind"),
    [(("SPPF", [40]), "SPPF"), (("Conv", [40, 3, 1, None, 8]), "Conv")],
)
def test_layers_that_cannot_follow_a_shuffle_are_refused(second, kind):
    model = DescribedModel(description(second))
    message = rf"layer 9 \({kind}\) reads shuffled channels; only Conv, C3, Concat, pools"
    with pytest.raises(UnsupportedLayerError, match=message):
        remove_shuffles(model)


@pytest.mark.parametrize(
    "layer",
    [
        [-1, 1, "Shuffle_Block", [24, 3]],
        [-1, 1, "Shuffle_Block", [24, 1]],
        [-1, 2, "Shuffle_Block", [24, 2]],
    ],
)
def test_blocks_that_do_not_fit_are_refused(layer):
    made = description()
    origin, repeats, kind, args = layer
    layers = (*made.layers[:1], (origin, repeats, kind, tuple(args)), *made.layers[2:])
    broken = Description(**{**vars(made), "layers": layers})
    with pytest.raises(UnsupportedLayerError, match=r"layer 1 \(Shuffle_Block\) has arguments"):
        DescribedModel(broken)


@pytest.mark.data
def test_real_yolov5_lite_imports():
    path = REAL / "yolov5lite_s_coco_fp16.safetensors"
    if not path.exists():
        pytest.skip("YOLOv5-Lite-s weights are not beside the checkout")
    loaded = load_yolov5(path, path.with_suffix(".json"), (64, 64))
    assert sum(p.numel() for p in loaded.module.parameters()) == 1_625_469
    imported = import_model(loaded)  # compares every tensor with the module's own
    assert imported.host.outputs == tuple((f"model.21.m.{i}",) for i in range(3))

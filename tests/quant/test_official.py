# SPDX-License-Identifier: Apache-2.0
import copy
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from quant.errors import InputFileError, QuantizationError, UnsupportedLayerError
from quant.ptq.importer import import_model
from quant.zoo.official import load_official, read_official
from quant.zoo.yolov5 import load_yolov5, yolov5_description
from quant.zoo.yolov7 import yolov7_description

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "weights"
NAMES = ("cat", "dog")


def assert_same(loaded, built, size):
    for name, tensor in loaded.module.state_dict().items():
        assert torch.equal(tensor, built.state_dict()[name]), name
        assert tensor.dtype in (torch.float32, torch.int64)
    x = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(3))
    built.detect.set_image_size(size)
    with torch.no_grad():
        assert torch.equal(loaded.module(x), built(x))


@pytest.mark.parametrize("half", [True, False])
def test_yolov5_comes_back_whole(tmp_path, official, half):
    value = yolov5_description("n", NAMES)
    value["yaml"]["width_multiple"] = 0.125
    built = official.write(tmp_path / "net.pt", value, half=half, date="2022-01-01")
    loaded = load_official(tmp_path / "net.pt", (64, 96))
    assert_same(loaded, built, (64, 96))
    assert "models" not in sys.modules
    assert not loaded.module.training
    assert loaded.name == "net"
    host = loaded.host
    assert (host.height, host.width, host.decode) == (64, 96, "yolov5")
    assert host.strides == (8, 16, 32)
    assert host.anchors[2] == ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0))
    assert host.class_names == NAMES
    with pytest.raises(QuantizationError, match="image size 100x64 is not a positive multiple"):
        load_official(tmp_path / "net.pt", (100, 64))


def test_the_moving_average_goes_first(tmp_path, official, small_yolov5):
    value = small_yolov5
    first, second = official.build(value, 1), official.build(value, 2)
    with official as names:
        model = names.network(copy.deepcopy(first), value, "Model")
        ema = names.network(copy.deepcopy(second), value, "Model")
        state = {"model": model, "ema": ema, "opt": {"lr": 0.1}, "best_fitness": 0.5}
        torch.save(state, tmp_path / "net.pt")
    assert_same(load_official(tmp_path / "net.pt", (32, 32)), second, (32, 32))


def test_what_training_leaves_behind_is_passed_over(tmp_path, official, small_yolov5):
    import argparse

    import numpy as np

    value = small_yolov5
    left = {
        "best_fitness": np.array([0.25]),
        "last": np.float64(0.5),
        "opt": argparse.Namespace(save_dir=Path("runs")),
        "optimizer": {"state": {0: {"momentum": torch.zeros(3)}}, "param_groups": []},
    }
    built = official.write(tmp_path / "net.pt", value, **left)
    assert_same(load_official(tmp_path / "net.pt", (32, 32)), built, (32, 32))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_torch(tmp_path, official, small_yolov5, protocol):
    built = official.write(tmp_path / "net.pt", small_yolov5, protocol=protocol)
    assert_same(load_official(tmp_path / "net.pt", (32, 32)), built, (32, 32))


def test_names_by_number_and_older_heads(tmp_path, official, small_yolov5):
    value = small_yolov5

    def change(model):
        model.names = dict(enumerate(NAMES))
        model.yaml["anchors"] = 3  # as after autoanchor: only the head knows them
        head = model.model[-1]
        pixels = head.anchors * 8
        head.register_buffer("anchor_grid", pixels.view(1, 1, -1, 1, 1, 2))

    built = official.write(tmp_path / "net.pt", value, change, root="Model")
    loaded = load_official(tmp_path / "net.pt", (32, 32))
    assert_same(loaded, built, (32, 32))
    assert loaded.host.class_names == NAMES
    assert loaded.host.anchors == (((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),)


def test_activation_and_epsilon_are_the_files_own(tmp_path, official, small_yolov5):
    value = small_yolov5 | {"activation": "ReLU", "bn_eps": 0.01}
    built = official.write(tmp_path / "net.pt", value)
    checkpoint = read_official(tmp_path / "net.pt")
    assert (checkpoint.activation, checkpoint.bn_eps, checkpoint.family) == (
        "ReLU",
        0.01,
        "yolov5",
    )
    assert_same(load_official(tmp_path / "net.pt", (32, 32)), built, (32, 32))


def lite(repeats=3):
    """A YOLOv5-Lite description of one scale."""
    value = yolov5_description("n", NAMES)
    value["yaml"] |= {
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "anchors": value["yaml"]["anchors"][:1],
        "backbone": [
            [-1, 1, "conv_bn_relu_maxpool", [8]],
            [-1, 1, "Shuffle_Block", [16, 2]],
            [-1, repeats, "Shuffle_Block", [16, 1]],
        ],
        "head": [
            [-1, 1, "C3", [16, False]],
            [-1, 1, "Conv", [16, 1, 1]],
            [[4], 1, "Detect", ["nc", "anchors"]],
        ],
    }
    return value | {"strides": [8], "activation": "ReLU"}


@pytest.mark.parametrize("repeats", [1, 3])
def test_yolov5_lite_comes_back_without_its_shuffles(tmp_path, official, repeats):
    built = official.write(tmp_path / "lite.pt", lite(repeats))
    loaded = load_official(tmp_path / "lite.pt", (32, 32))
    assert loaded.module.model[1].plan is not None
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    built.detect.set_image_size((32, 32))
    with torch.no_grad():
        assert torch.allclose(loaded.module(x), built(x), rtol=1e-5, atol=1e-4)
    imported = import_model(loaded)
    assert imported.host.outputs == (("model.5.m.0",),)
    assert imported.check.operations["split"] > 0


def test_shuffles_that_cannot_be_removed_are_refused_with_the_file(tmp_path, official):
    value = lite()
    value["yaml"]["head"][0] = [-1, 1, "SPPF", [16, 5]]
    official.write(tmp_path / "lite.pt", value)
    with pytest.raises(UnsupportedLayerError) as info:
        load_official(tmp_path / "lite.pt", (32, 32))
    assert str(info.value) == (
        f"'{tmp_path / 'lite.pt'}': layer 3 (SPPF) reads shuffled channels; only Conv, C3, Concat, "
        "pools and upsampling may"
    )


def test_a_shuffle_block_of_another_stride_is_refused(tmp_path, official):
    def change(model):
        model.model[1].stride = 1

    official.write(tmp_path / "lite.pt", lite(), change)
    with pytest.raises(
        UnsupportedLayerError, match=r"'model.1' \(ShuffleBlock\) has stride \(1, 1\)"
    ):
        load_official(tmp_path / "lite.pt", (32, 32))


def described(variant, form):
    return {
        "yaml": yolov7_description(variant, form, 2),
        "names": NAMES,
        "strides": (8, 16, 32),
        "bn_eps": 0.001,
        "activation": "SiLU",
    }


@pytest.mark.parametrize("form", ["training", "deploy"])
def test_yolov7_tiny_comes_back_whole(tmp_path, official, form):
    value = described("yolov7-tiny", form)
    value["yaml"]["width_multiple"] = 0.25
    built = official.write(tmp_path / "net.pt", value, root="Model")
    loaded = load_official(tmp_path / "net.pt", (64, 96))
    assert_same(loaded, built, (64, 96))
    assert loaded.host.decode == "yolov7"
    assert loaded.host.anchors[0][0] == (10.0, 13.0)
    assert read_official(tmp_path / "net.pt").activation == "LeakyReLU"


def test_yolov7_comes_back_whole(tmp_path, official):
    value = described("yolov7", "training")
    value["yaml"]["width_multiple"] = 0.125
    built = official.write(tmp_path / "net.pt", value, root="Model")
    loaded = load_official(tmp_path / "net.pt", (32, 32))
    assert_same(loaded, built, (32, 32))
    assert loaded.host.decode == "yolov7"


def set_state(path, **state):
    def change(model):
        model.get_submodule(path).__dict__.update(state)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_state("model.1.conv", stride=(1, 1)),
            r"'model.1.conv' \(Conv2d\) has stride \(1, 1\)",
        ),
        (set_state("model.3.conv", dilation=(2, 2)), r"has dilation \(2, 2\), its description"),
        (set_state("model.2.cv1.bn", eps=0.5), r"'model.2.cv1.bn' \(BatchNorm2d\) has eps 0.5"),
        (set_state("model.4.m", kernel_size=3), r"has kernel_size \(3, 3\), its description"),
        (set_state("model.5", d=2), r"'model.5' \(Concat\) has d 2, its description makes 1"),
        (set_state("model.2.m.0", add=False), r"\(Bottleneck\) has add False"),
        (set_state("model.5", f=[-1, 2]), r"'model.5' reads layers \(4, 2\), its .* \(4, 3\)"),
        (
            lambda m: setattr(m.model[0], "act", nn.ReLU()),
            "'model.0.act' is ReLU, its description says SiLU",
        ),
        (lambda m: delattr(m.model[0], "act"), "'model.0.act' is not in the checkpoint's module"),
        (lambda m: m.model[0].add_module("x", nn.ReLU()), "'model.0.x' is not in .* description"),
        (lambda m: m.model.append(nn.ReLU()), "the last layer 'model.8' is ReLU; built are"),
    ],
)
def test_a_tree_that_is_not_its_description_is_refused(
    tmp_path, official, small_yolov5, change, message
):
    official.write(tmp_path / "net.pt", small_yolov5, change)
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        load_official(tmp_path / "net.pt")
    assert str(caught.value).startswith(f"'{tmp_path / 'net.pt'}': ")


def set_yaml(**yaml):
    return lambda model: model.yaml.update(yaml)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: delattr(m, "yaml"), "has no description"),
        (lambda m: delattr(m, "names"), "class names are no list of texts"),
        (set_yaml(nc=3), "has 2 class names for 3 classes"),
        (set_yaml(ch=4), "reads 3 channels"),
        (set_yaml(backbone=7), "not a model description"),
        (set_yaml(width_multiple=float("nan")), "or a number beyond"),
        (set_yaml(width_multiple=1e6), "has shape"),
        (set_yaml(width_multiple=0.0), "cannot be built|has shape|do not fit"),
        (set_yaml(depth_multiple=1e9), "has 1 repeats, the checkpoint"),
        (set_yaml(head=[[1 << 40]]), "or a number beyond 2147483648"),
        (set_yaml(extra={"a": torch.zeros(1)}), "holds a value of type TensorRecord"),
        (set_state("model.7", stride=None), "head has no strides"),
        (set_state("model.7", stride=torch.tensor([7.5])), r"strides \[7.5\] are not whole"),
        (set_state("model.7", stride=torch.tensor([8.0, 16.0])), "'model.7.anchors' of 2 scales"),
        (
            lambda m: m.model[-1].register_buffer("anchor_grid", torch.zeros(1, 1, 3, 1, 1, 2)),
            "'model.7.anchor_grid' is not its anchors",
        ),
        (
            lambda m: m.model[0].conv.weight.data.fill_(float("nan")),
            "tensor 'model.0.conv.weight' holds NaN or infinity",
        ),
        (
            lambda m: m.model[0].conv.register_parameter("bias", nn.Parameter(torch.zeros(8))),
            "has 1 tensors that the description does not, first 'model.0.conv.bias'",
        ),
        (lambda m: m.model[0].bn.__dict__["_buffers"].pop("running_var"), "lacks 1 of"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, official, small_yolov5, change, message):
    official.write(tmp_path / "net.pt", small_yolov5, change)
    with pytest.raises((InputFileError, UnsupportedLayerError), match=message) as caught:
        load_official(tmp_path / "net.pt")
    assert str(tmp_path / "net.pt") in str(caught.value)


def test_files_that_hold_no_network(tmp_path):
    path = tmp_path / "net.pt"
    for value, message in (
        ({"model": nn.Conv2d(3, 3, 1).state_dict()}, "'model' holds weights without a network"),
        (nn.Conv2d(3, 3, 1).state_dict(), "holds no network under 'model'"),
        ([1, 2], "holds no network under 'model'"),
        ({"model": nn.Conv2d(3, 3, 1)}, "the last layer 'model.-1' is none"),
    ):
        torch.save(value, path)
        with pytest.raises((InputFileError, UnsupportedLayerError), match=message):
            load_official(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "net.pt"
    with pytest.raises(InputFileError, match="does not exist"):
        load_official(path)
    torch.save({"model": 1}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputFileError, match=r"torch's old pickle format, .* torch 1\.6 or newer"):
        load_official(path)
    import tarfile

    with tarfile.open(path, "w") as tar:
        tar.add(__file__, "storages")
    with pytest.raises(InputFileError, match="torch's old tar format"):
        load_official(path)
    path.write_bytes(b"hello")
    with pytest.raises(InputFileError, match=r"\(5 bytes\) is no archive of torch.save"):
        load_official(path)


@pytest.mark.data
def test_the_real_yolov5n_as_a_checkpoint(tmp_path, official):
    path = REAL / "yolov5n_coco_fp16.safetensors"
    if not path.exists():
        pytest.skip("real YOLOv5n weights are not beside the checkout")
    direct = load_yolov5(path, path.with_suffix(".json"), (64, 64))
    value = json.loads(path.with_suffix(".json").read_text())
    with official as names:
        model = names.network(copy.deepcopy(direct.module), value, "Model").half()
        torch.save({"model": model}, tmp_path / "yolov5n.pt")
    loaded = load_official(tmp_path / "yolov5n.pt", (64, 64))
    assert loaded.host == direct.host
    assert_same(loaded, direct.module, (64, 64))

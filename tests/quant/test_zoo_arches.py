# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import torch

from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo.arches import ARCHES, build_arch
from quant.zoo.described import DescribedModel, Description
from quant.zoo.yolov5 import yolov5_description

SMALL = ("yolov5n", "yolov7-tiny", "yolov7-tiny-deploy", "mobileone-s0", "repvgg-a0", "yolox-nano")


def test_every_family_is_listed():
    assert ARCHES == (
        "yolov5n",
        "yolov5s",
        "yolov5m",
        "yolov5l",
        "yolov5x",
        "yolov7",
        "yolov7-deploy",
        "yolov7-tiny",
        "yolov7-tiny-deploy",
        "mobileone-s0",
        "mobileone-s0-train",
        "repvgg-a0",
        "repvgg-a0-train",
        "yolox-nano",
    )


@pytest.mark.parametrize("name", SMALL)
def test_seeded_weights_need_no_file(name):
    loaded = build_arch(name, weights=None, seed=0, image_size=(64, 64))
    assert loaded.name == name
    assert not loaded.module.training
    assert (loaded.host.height, loaded.host.width) == (64, 64)
    with torch.no_grad():
        result = loaded.module(torch.zeros((1, 3, 64, 64)))
    rows = {"classify": (1, 1000), "yolox": (1, 84, 85)}.get(loaded.host.decode, (1, 252, 85))
    assert tuple(result.shape) == rows
    assert bool(torch.isfinite(result).all())


@pytest.mark.parametrize(("size", "parameters"), [("l", 46_563_709), ("x", 86_749_405)])
def test_large_sizes_have_the_published_parameters(size, parameters):
    with torch.device("meta"):
        model = DescribedModel(Description.from_json(yolov5_description(size), "test"))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_unknown_names_and_missing_weights_are_refused(tmp_path):
    with pytest.raises(UnsupportedLayerError, match="architecture 'yolov9' is not known; known: y"):
        build_arch("yolov9", weights=None, seed=0)
    for weights, seed in ((None, None), (Path("x.safetensors"), 1)):
        with pytest.raises(InputFileError, match=r"'yolov7' needs a weights file .* or a seed"):
            build_arch("yolov7", weights=weights, seed=seed)
    for name in ("yolov5n", "yolov7-tiny", "mobileone-s0", "yolox-nano"):
        with pytest.raises(InputFileError, match="does not exist"):
            build_arch(name, weights=tmp_path / "absent.safetensors", seed=None)

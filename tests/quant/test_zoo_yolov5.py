# SPDX-License-Identifier: Apache-2.0
import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from quant.errors import InputFileError, QuantizationError, UnsupportedLayerError
from quant.zoo.described import DescribedModel, Description
from quant.zoo.resolve import load_model
from quant.zoo.yolov5 import yolov5_description

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "weights"
NAMES = ("cat", "dog")


def build(value, size=None):
    return DescribedModel(Description.from_json(value, "test", size)).eval()


@pytest.fixture(scope="module")
def tiny():
    """A narrow YOLOv5 with two classes, as (description, state dict)."""
    value = yolov5_description("n", NAMES)
    value["yaml"]["width_multiple"] = 0.125
    value["image_size"] = [64, 96]
    torch.manual_seed(0)
    return value, build(value).state_dict()


def write(folder, value, tensors, dtype=torch.float32):
    cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}
    save_file({k: v.contiguous() for k, v in cast.items()}, folder / "net.safetensors")
    (folder / "net.json").write_text(json.dumps(value))
    return str(folder / "net.safetensors")


@pytest.mark.parametrize(
    ("size", "parameters"), [("n", 1_872_157), ("s", 7_235_389), ("m", 21_190_557)]
)
def test_parameter_counts_are_the_published_ones(size, parameters):
    model = build(yolov5_description(size))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_state_dict_keys_are_the_published_ones():
    state = build(yolov5_description("n")).state_dict()
    shapes = {k: tuple(v.shape) for k, v in state.items()}
    assert len(shapes) == 349
    assert shapes["model.0.conv.weight"] == (16, 3, 6, 6)
    assert shapes["model.6.m.2.cv2.bn.running_var"] == (64,)
    assert shapes["model.9.cv2.conv.weight"] == (256, 512, 1, 1)
    assert shapes["model.23.cv3.conv.weight"] == (256, 256, 1, 1)
    assert shapes["model.24.anchors"] == (3, 3, 2)
    assert shapes["model.24.m.2.weight"] == (255, 256, 1, 1)


def test_model_traces_and_gives_one_row_per_anchor(tiny):
    model = build(tiny[0])
    x = torch.rand(1, 3, 64, 96)
    traced = torch.fx.symbolic_trace(model)
    assert torch.equal(traced(x), model(x))
    assert model(x).shape == (1, 3 * (8 * 12 + 4 * 6 + 2 * 3), 7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_weights_come_back_as_float32(tmp_path, tiny, dtype):
    value, tensors = tiny
    loaded = load_model(write(tmp_path, value, tensors, dtype))
    assert loaded.name == "net"
    assert not loaded.module.training
    for name, tensor in loaded.module.state_dict().items():
        wanted = tensors[name]
        if wanted.is_floating_point():
            assert tensor.dtype == torch.float32
            wanted = wanted.to(dtype).float()
        assert torch.equal(tensor, wanted), name
    host = loaded.host
    assert (host.height, host.width) == (64, 96)
    assert (host.decode, host.place, host.pad_value) == ("yolov5", "center", 114)
    assert host.strides == (8, 16, 32)
    assert host.anchors[2] == ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0))
    assert host.outputs == ((), (), ())
    assert host.class_names == NAMES


def test_anchors_of_the_file_win(tmp_path, tiny):
    value, tensors = tiny
    moved = dict(tensors)
    moved["model.24.anchors"] = tensors["model.24.anchors"] * 2
    loaded = load_model(write(tmp_path, value, moved))
    assert loaded.host.anchors[0] == ((20.0, 26.0), (32.0, 60.0), (66.0, 46.0))


def test_image_size_can_be_overridden(tmp_path, tiny):
    path = write(tmp_path, *tiny)
    loaded = load_model(path, image_size=(32, 64))
    assert (loaded.host.height, loaded.host.width) == (32, 64)
    assert loaded.module(torch.rand(1, 3, 32, 64)).shape[1] == 3 * (4 * 8 + 2 * 4 + 1 * 2)
    with pytest.raises(
        QuantizationError,
        match="image size 100x64 is not a positive multiple of the largest stride 32; 96 would be",
    ):
        load_model(path, image_size=(100, 64))


def test_arch_replaces_the_json(tmp_path):
    torch.manual_seed(0)
    tensors = build(yolov5_description("n", NAMES)).state_dict()
    path = write(tmp_path, {}, tensors)
    (tmp_path / "net.json").unlink()
    loaded = load_model(path, arch="yolov5n")
    assert loaded.host.class_names == ("class 0", "class 1")
    assert (loaded.host.height, loaded.host.width) == (640, 640)
    with pytest.raises(InputFileError, match=r"description .*--arch"):
        load_model(path)
    with pytest.raises(UnsupportedLayerError, match="architecture 'yolov9z' is not known; known"):
        load_model(path, arch="yolov9z")
    with pytest.raises(InputFileError, match=r"of different models|has shape"):
        load_model(path, arch="yolov5s")


def test_missing_left_over_and_misshapen_tensors_are_refused(tmp_path, tiny):
    value, tensors = tiny
    short = {k: v for k, v in tensors.items() if k != "model.3.bn.bias"}
    with pytest.raises(InputFileError, match=r"lacks 1 of 349 tensors, first 'model.3.bn.bias'"):
        load_model(write(tmp_path, value, short))
    extra = tensors | {"model.99.weight": torch.zeros(1)}
    with pytest.raises(InputFileError, match=r"has 1 tensors .* first 'model.99.weight'"):
        load_model(write(tmp_path, value, extra))
    wrong = tensors | {"model.3.bn.bias": torch.zeros(5)}
    with pytest.raises(InputFileError, match=r"'model.3.bn.bias' has shape \[5\].* needs \[32\]"):
        load_model(write(tmp_path, value, wrong))
    nan = tensors | {"model.3.bn.bias": torch.full((32,), float("nan"))}
    with pytest.raises(InputFileError, match=r"'model.3.bn.bias' holds NaN or infinity"):
        load_model(write(tmp_path, value, nan))


def test_step_counters_may_be_absent(tmp_path, tiny):
    value, tensors = tiny
    few = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    loaded = load_model(write(tmp_path, value, few))
    assert torch.equal(
        loaded.module.state_dict()["model.0.conv.weight"], few["model.0.conv.weight"]
    )


def test_damaged_and_absent_files_are_refused(tmp_path, tiny):
    path = Path(write(tmp_path, *tiny))
    whole = path.read_bytes()
    for length in (0, 5, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputFileError, match="truncated or no safetensors file"):
            load_model(str(path))
    path.write_bytes(whole)
    for text in ("{", "[]", '{"yaml": 3}', '{"names": []}'):
        (tmp_path / "net.json").write_text(text)
        with pytest.raises(InputFileError, match=r"JSON|description"):
            load_model(str(path))
    with pytest.raises(InputFileError, match="does not exist"):
        load_model(str(tmp_path / "absent.safetensors"), arch="yolov5n")


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ([-1, 1, "Focus", [64, 3]], UnsupportedLayerError, "module 'Focus'.*known: Conv"),
        ([-1, 1, "nn.Upsample", ["None", 2, "bilinear"]], UnsupportedLayerError, "only nearest"),
        ([-1, 1, "Conv", []], UnsupportedLayerError, r"layer 0 \(Conv\) has arguments \[\]"),
        ([-1, 2, "Conv", [64]], UnsupportedLayerError, "repeated 2"),
        ([4, 1, "Conv", [64]], InputFileError, r"layer 0 reads \[4\], which does not come before"),
        ([[-1, -3], 1, "Concat", [1]], InputFileError, "which does not come before"),
    ],
)
def test_layers_without_a_meaning_are_refused(tiny, layer, error, message):
    value = copy.deepcopy(tiny[0])
    value["yaml"]["backbone"][0] = layer
    with pytest.raises(error, match=message):
        build(value)


def test_descriptions_without_a_head_or_with_odd_anchors_are_refused(tiny):
    value = copy.deepcopy(tiny[0])
    value["yaml"]["head"].pop()
    with pytest.raises(UnsupportedLayerError, match="does not end with Detect"):
        build(value)
    value = copy.deepcopy(tiny[0])
    value["yaml"]["anchors"].pop()
    with pytest.raises(UnsupportedLayerError, match="3 scales, 2 anchor sets, 3 strides"):
        build(value)


def test_shapes_that_do_not_fit_are_refused(tiny):
    value = copy.deepcopy(tiny[0])
    value["yaml"]["head"][2][0] = [-1, 4]  # joins tensors of two sizes
    with pytest.raises(InputFileError, match="layers do not fit together: Sizes of tensors"):
        build(value)
    value = copy.deepcopy(tiny[0])
    value["yaml"]["backbone"][3][2:] = ["Conv", [256, 3, 1]]  # stride 1 where 2 is needed
    wanted = "64x64 pixels make 16x16 cells of a scale of stride 8; correct the layers or"
    with pytest.raises(InputFileError, match=wanted):
        build(value)


def test_unknown_words_are_refused():
    with pytest.raises(InputFileError, match="model 'yolo' is not known; accepted: demo"):
        load_model("yolo")


def test_importing_the_zoo_or_its_shapes_loads_no_torch():
    code = "import sys, quant.zoo, quant.zoo.shapes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.data
def test_real_yolov5n_loads():
    path = REAL / "yolov5n_coco_fp16.safetensors"
    if not path.exists():
        pytest.skip("real YOLOv5n weights are not beside the checkout")
    loaded = load_model(str(path))
    assert sum(p.numel() for p in loaded.module.parameters()) == 1_872_157
    described = json.loads(path.with_suffix(".json").read_text())
    ours = yolov5_description("n")
    assert {k: described[k] for k in ours} == ours
    assert loaded.host.class_names[:2] == ("person", "bicycle")
    assert loaded.host.anchors[0][1] == (16.0, 30.0)
    same = load_model(str(path), arch="yolov5n", image_size=(64, 64))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    small = load_model(str(path), image_size=(64, 64))
    assert torch.equal(same.module(x), small.module(x))

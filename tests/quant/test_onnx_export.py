# SPDX-License-Identifier: Apache-2.0
"""What torch exports to ONNX imports as the same network, under the names of the ONNX nodes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.class_names import COCO_NAMES
from quant.zoo.classifier import classifier_host
from quant.zoo.loaded import LoadedModel
from quant.zoo.mobileone import make_mobileone_s0
from quant.zoo.onnx_model import load_onnx
from quant.zoo.resolve import load_model
from quant.zoo.yolov7 import build_yolov7, yolov7_description

WEIGHTS = Path(__file__).parents[3] / "shared/data/weights/yolov5n_coco_fp16.safetensors"


def agree(direct: LoadedModel, through: LoadedModel) -> None:
    """Compare both imports: operations, shapes and every output on one seeded image."""
    one, two = import_model(direct), import_model(through)
    assert two.check.operations == one.check.operations
    assert two.check.macs == one.check.macs
    assert [two.graph.shapes[n] for n in two.graph.outputs] == [
        one.graph.shapes[n] for n in one.graph.outputs
    ]
    batch = np.random.default_rng(3).random((1, *one.graph.input.shape), dtype=np.float32)
    wanted, found = (FloatExecutor(i.graph).run(batch) for i in (one, two))
    for a, b in zip(wanted.values(), found.values(), strict=True):
        # the exporter folds normalisation in float32, the importer in float64
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.abs(a).max())


@pytest.mark.parametrize(
    ("opset", "fold"), [(9, True), (11, False), (13, True), (16, False), (18, True), (20, True)]
)
def test_demo_round_trip(opset, fold, tmp_path, export_onnx):
    direct = load_model("demo", image_size=(64, 96))
    path = export_onnx(
        direct.module, tmp_path / "demo.onnx", (64, 96), opset, do_constant_folding=fold
    )
    through = load_onnx(path)
    assert through.name == "demo"
    assert (through.host.strides, through.host.anchors) == (
        direct.host.strides,
        direct.host.anchors,
    )
    assert (through.host.decode, through.host.place) == ("yolov5", "center")
    agree(direct, through)
    imported = import_model(through)
    assert imported.host.outputs == (("/model.17/m.0/Conv",), ("/model.17/m.1/Conv",))
    names = {node.name for node in onnx.load(path).graph.node}
    assert {op.name for op in imported.graph.ops[1:]} <= names
    if not fold:
        assert imported.check.parameters == import_model(direct).check.parameters


@pytest.mark.parametrize("form", ["training", "deploy"])
def test_yolov7_tiny_is_recognised_by_trying_its_head(form, tmp_path, export_onnx):
    description = yolov7_description("yolov7-tiny", form)
    direct = build_yolov7(description, COCO_NAMES, image_size=(64, 64), seed=1)
    path = export_onnx(direct.module, tmp_path / "tiny.onnx")
    through = load_onnx(path)
    assert through.host.strides == (8, 16, 32)
    assert through.host.anchors == direct.host.anchors
    assert through.host.class_names == COCO_NAMES
    assert load_onnx(path, decode="yolov7").host.decode == "yolov7"
    agree(direct, through)


def test_yolov7_training_form_with_its_repconvs(tmp_path, export_onnx):
    description = yolov7_description("yolov7", "training")
    direct = build_yolov7(description, COCO_NAMES, image_size=(64, 64), seed=1)
    agree(direct, load_onnx(export_onnx(direct.module, tmp_path / "yolov7.onnx", opset=12)))


def test_classifier(tmp_path, export_onnx):
    module = make_mobileone_s0("branches", 10).eval()
    direct = LoadedModel(module, classifier_host(10, (64, 64)), "m")
    through = load_onnx(export_onnx(module, tmp_path / "m.onnx", opset=12))
    assert through.host == direct.host
    agree(direct, through)
    raw = load_onnx(tmp_path / "m.onnx", decode="none").host
    assert (raw.decode, raw.place, raw.std) == ("none", "center", (255.0, 255.0, 255.0))


class Mixed(nn.Module):
    """The operations that the other networks do not have."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.Hardswish(),
            nn.AvgPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 1),
            nn.Hardsigmoid(),
            nn.LeakyReLU(0.1),
            nn.MaxPool2d(3, 2, 1),
            nn.Dropout(0.5),
        )
        self.last = nn.Linear(8, 10)

    def forward(self, x):
        first, second = self.body(x).chunk(2, 1)
        up = nn.functional.interpolate(torch.cat([second, first], 1), scale_factor=2)
        return self.last(up.mean((2, 3)))


@pytest.mark.parametrize("opset", [11, 14, 18])
def test_mixed_operations(opset, tmp_path, export_onnx):
    torch.manual_seed(0)
    module = Mixed().eval()
    through = load_onnx(export_onnx(module, tmp_path / "mixed.onnx", opset=opset))
    agree(LoadedModel(module, classifier_host(10, (64, 64)), "mixed"), through)
    operations = import_model(through).check.operations
    assert operations["hardswish"] == operations["hardsigmoid"] == operations["relu6"] == 1


def test_open_image_size(tmp_path, export_onnx):
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
    axes = {"images": {0: "batch", 2: "height", 3: "width"}}
    names = {"input_names": ["images"], "dynamic_axes": axes}
    path = export_onnx(module, tmp_path / "open.onnx", **names)
    loaded = load_onnx(path, decode="none", image_size=(32, 48))
    assert (loaded.host.height, loaded.host.width) == (32, 48)
    assert import_model(loaded).graph.shapes["/1/Relu"] == (4, 16, 24)


def test_notes_of_the_exporter_are_used(tmp_path, export_onnx):
    direct = load_model("demo", image_size=(64, 64))
    classes = len(direct.host.class_names)
    path = export_onnx(direct.module, tmp_path / "demo.onnx")
    model = onnx.load(path)
    names = {i: f"thing {i}" for i in range(classes)}
    onnx.helper.set_model_props(model, {"names": str(names), "stride": "32"})
    onnx.save(model, path)
    assert load_onnx(path).host.class_names == tuple(names.values())
    own = tuple(f"own {i}" for i in range(classes))
    assert load_onnx(path, class_names=own).host.class_names == own


@pytest.mark.data
@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"no {WEIGHTS.name} beside the checkout")
def test_yolov5n_round_trip(tmp_path, export_onnx):
    direct = load_model(str(WEIGHTS), image_size=(96, 128))
    through = load_onnx(export_onnx(direct.module, tmp_path / "yolov5n.onnx", (96, 128), 12))
    assert through.host.anchors == direct.host.anchors
    agree(direct, through)

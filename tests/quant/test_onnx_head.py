# SPDX-License-Identifier: Apache-2.0
"""Anchor heads of ONNX files: anchors and strides are read off what the network itself decodes."""

import re

import pytest
import torch
from torch import nn

from quant.errors import UnsupportedLayerError
from quant.ptq.importer import import_model
from quant.zoo.onnx_model import load_onnx

ANCHORS = [[[10.0, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]]]
STRIDES = (8, 16)
CLASSES = 2


class Detector(nn.Module):
    """Two scales; ``formula`` says how the boxes are decoded, or that they are not."""

    def __init__(self, formula, swap=False):
        super().__init__()
        self.near = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.SiLU())
        self.far = nn.Sequential(nn.Conv2d(8, 8, 2, 2), nn.SiLU())
        self.m = nn.ModuleList([nn.Conv2d(8, 3 * (5 + CLASSES), 1) for _ in range(2)])
        self.formula = formula
        self.swap = swap

    def forward(self, x):
        near = self.near(x)
        maps = [near, self.far(near)]
        rows, raw = [], []
        for i in (1, 0) if self.swap else (0, 1):
            y = self.m[i](maps[i])
            batch, _, ny, nx = y.shape
            y = y.view(batch, 3, 5 + CLASSES, ny, nx).permute(0, 1, 3, 4, 2).contiguous()
            raw.append(y)
            rows.append(self.decode(y.sigmoid(), i).view(batch, -1, 5 + CLASSES))
        if self.formula == "raw":
            return raw
        return torch.cat(rows, 1), raw

    def decode(self, y, i):
        ny, nx = y.shape[2:4]
        row, column = torch.meshgrid(torch.arange(ny), torch.arange(nx), indexing="ij")
        grid = torch.stack((column, row), 2).view(1, 1, ny, nx, 2).float()
        anchors = torch.tensor(ANCHORS[i]).view(1, 3, 1, 1, 2)
        if self.formula == "yolov5":
            y[..., 0:2] = (y[..., 0:2] * 2 - 0.5 + grid) * STRIDES[i]
            y[..., 2:4] = (y[..., 2:4] * 2) ** 2 * anchors
            return y
        xy, wh, scores = y.split((2, 2, 1 + CLASSES), 4)
        if self.formula == "yolov3":
            return torch.cat(((xy + grid) * STRIDES[i], wh.exp() * anchors, scores), 4)
        # as the YOLOv7 exporter multiplies it out
        xy = xy * (2.0 * STRIDES[i]) + STRIDES[i] * (grid - 0.5)
        return torch.cat((xy, wh**2 * (4 * anchors), scores), 4)


OPEN = {"input_names": ["images"], "dynamic_axes": {"images": {0: "n", 2: "h", 3: "w"}}}


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("formula", ["yolov5", "multiplied out"])
@pytest.mark.parametrize("options", [{}, OPEN], ids=["fixed size", "open size"])
def test_head_is_tried_out(formula, swap, options, tmp_path, export_onnx):
    torch.manual_seed(0)
    path = tmp_path / "head.onnx"
    export_onnx(Detector(formula, swap).eval(), path, (64, 96), **options)
    loaded = load_onnx(path, image_size=(64, 96))
    assert (loaded.host.decode, loaded.host.strides) == ("yolov5", STRIDES)
    assert [[list(a) for a in scale] for scale in loaded.host.anchors] == ANCHORS
    assert loaded.host.class_names == ("class 0", "class 1")
    assert import_model(loaded).host.outputs == (("/m.0/Conv",), ("/m.1/Conv",))


REFUSED = {
    "raw": "ends in the raw predictions of '/m.0/Conv' and holds no anchors; export the model with",
    "yolov3": "decodes '/m.0/Conv' otherwise than YOLOv5 and YOLOv7 do (off by ",
}


@pytest.mark.parametrize("formula", REFUSED)
@pytest.mark.parametrize("decode", [None, "yolov5"])
def test_head_that_is_decoded_otherwise(formula, decode, tmp_path, export_onnx):
    torch.manual_seed(0)
    path = export_onnx(Detector(formula).eval(), tmp_path / "head.onnx", (64, 64))
    with pytest.raises(UnsupportedLayerError, match=re.escape(REFUSED[formula])):
        load_onnx(path, decode=decode)
    assert len(import_model(load_onnx(path, decode="none")).graph.outputs) == 2

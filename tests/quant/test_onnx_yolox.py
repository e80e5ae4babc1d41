# SPDX-License-Identifier: Apache-2.0
"""YOLOX: the published ONNX file, and our own network exported, cut at their decoupled heads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from quant.errors import UnsupportedLayerError
from quant.floatgraph import FloatConv
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.class_names import COCO_NAMES
from quant.zoo.onnx_model import load_onnx

FILE = Path(__file__).parents[3] / "shared/data/weights/yolox_nano_416.onnx"


@pytest.mark.data
@pytest.mark.skipif(not FILE.exists(), reason=f"no {FILE.name} beside the checkout")
def test_published_yolox_nano():
    loaded = load_onnx(FILE)
    host = loaded.host
    assert (host.decode, host.place, host.pad_value, host.channel_order) == (
        "yolox", "top_left", 114, "bgr",
    )  # fmt: skip
    assert (host.mean, host.std, host.strides) == ((0.0,) * 3, (1.0,) * 3, (8, 16, 32))
    assert host.class_names == COCO_NAMES
    result = import_model(loaded)
    assert result.host.outputs == tuple(
        tuple(f"/head/{part}_preds.{i}/Conv" for part in ("reg", "obj", "cls")) for i in range(3)
    )
    assert result.check.operations == {
        "add": 7, "concat": 13, "conv": 113, "max_pool": 3, "silu": 104, "upsample": 2,
    }  # fmt: skip
    # the Focus layer's convolution has as many weights before and after it absorbs the slices
    assert result.check.parameters == result.check.fused_parameters == 904_463
    assert result.check.macs == 522_553_408
    stem = result.graph.ops[1]
    assert isinstance(stem, FloatConv)
    assert (stem.weight.shape, stem.stride, stem.padding) == ((16, 3, 6, 6), (2, 2), (2, 2, 2, 2))
    depthwise = [op for op in result.graph.ops if isinstance(op, FloatConv) and op.groups > 1]
    assert len(depthwise) == 30

    # The file returns [1, cells, 4 + 1 + 80] with objectness and classes behind their sigmoid.
    batch = np.random.default_rng(0).integers(0, 256, (1, 3, 416, 416)).astype(np.float32)
    with torch.no_grad():
        wanted = loaded.module(torch.from_numpy(batch)).numpy()[0]
    maps = FloatExecutor(result.graph).run(batch)
    scales = []
    for names in result.host.outputs:
        rows = np.concatenate([maps[n][0] for n in names])
        rows[4:] = 1 / (1 + np.exp(-rows[4:]))
        scales.append(rows.reshape(85, -1).T)
    np.testing.assert_allclose(np.concatenate(scales), wanted, rtol=1e-3, atol=1e-3)


class Focus(nn.Module):
    """Four pixel phases side by side in YOLOX's order, then a convolution."""

    def __init__(self, order):
        super().__init__()
        self.order = order
        self.conv = nn.Conv2d(12, 8, 3, 1, 1)

    def forward(self, x):
        phases = [x[..., row::2, column::2] for row, column in self.order]
        return self.conv(torch.cat(phases, 1))


class Toy(nn.Module):
    """Focus, two scales, decoupled heads; ``decoded`` adds the grid as YOLOX can export it."""

    def __init__(self, order=((0, 0), (1, 0), (0, 1), (1, 1)), decoded=False, joined=True):
        super().__init__()
        self.stem = nn.Sequential(Focus(order), nn.SiLU(), nn.Conv2d(8, 8, 2, 2), nn.SiLU())
        self.down = nn.Sequential(nn.Conv2d(8, 8, 2, 2), nn.SiLU())
        self.reg, self.obj, self.cls = (
            nn.ModuleList(nn.Conv2d(8, f, 1) for _ in range(2)) for f in (4, 1, 3)
        )
        self.decoded = decoded
        self.joined = joined

    def forward(self, x):
        maps = [self.stem(x)]
        maps.append(self.down(maps[0]))
        scales = []
        for i in (1, 0):  # the coarse one first
            reg, obj, cls = self.reg[i](maps[i]), self.obj[i](maps[i]), self.cls[i](maps[i])
            parts = [reg, obj.sigmoid(), cls.sigmoid()]
            scales.append(torch.cat(parts if self.joined else parts[::-1], 1).flatten(2))
        rows = torch.cat(scales, 2).permute(0, 2, 1)
        if self.decoded:
            return torch.cat([rows[..., :2] * 8, rows[..., 2:4].exp() * 8, rows[..., 4:]], -1)
        return rows


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize(
    "order", [((0, 0), (1, 0), (0, 1), (1, 1)), ((0, 1), (1, 1), (0, 0), (1, 0))]
)
def test_focus_and_decoupled_head(order, decoded, tmp_path, export_onnx):
    torch.manual_seed(1)
    module = Toy(order, decoded).eval()
    loaded = load_onnx(export_onnx(module, tmp_path / "toy.onnx", (32, 32)))
    assert (loaded.host.decode, loaded.host.strides) == ("yolox", (4, 8))
    assert len(loaded.host.class_names) == 3
    result = import_model(loaded)
    assert result.host.outputs == tuple(
        tuple(f"/{part}.{i}/Conv" for part in ("reg", "obj", "cls")) for i in range(2)
    )
    assert result.check.operations == {"conv": 9, "silu": 3}
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        x = module.stem(image)
        wanted = {"/cls.0/Conv": module.cls[0](x), "/reg.1/Conv": module.reg[1](module.down(x))}
    found = FloatExecutor(result.graph).run(image.numpy())
    for name, tensor in wanted.items():
        np.testing.assert_allclose(found[name], tensor.numpy(), rtol=1e-4, atol=1e-5)


def test_joined_in_another_order_is_no_yolox(tmp_path, export_onnx):
    path = export_onnx(Toy(joined=False).eval(), tmp_path / "toy.onnx", (32, 32))
    with pytest.raises(UnsupportedLayerError, match=r"does not tell what its outputs \[1, 80, 8\]"):
        load_onnx(path)
    with pytest.raises(UnsupportedLayerError, match=r"has no head of yolox; its outputs are"):
        load_onnx(path, decode="yolox")
    assert load_onnx(path, decode="none").host.outputs == ()

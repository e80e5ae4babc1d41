# SPDX-License-Identifier: Apache-2.0
"""A small bundle on disk for every test that reads one; checkpoints with official class paths."""

import copy
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quant.bundle import Bundle, save_bundle
from quant.hostspec import HostSpec
from quant.record import LayerRecord, QuantRecord
from quant.samples import sample_graph
from quant.zoo.described import DescribedModel, Description
from quant.zoo.yolov5 import yolov5_description


@pytest.fixture(scope="session")
def sample_bundle() -> Bundle:
    """A graph of every node kind with a host spec and a record that use every field."""
    host = HostSpec(
        height=16,
        width=20,
        place="center",
        pad_value=114,
        channel_order="rgb",
        mean=(0.0, 1.5, 0.1),
        std=(255.0, 255.0, 58.395),
        decode="yolov5",
        strides=(8,),
        anchors=(((10.0, 13.0), (16.0, 30.0)),),
        outputs=(("boxes", "scores"),),
        class_names=("person", "Fußgänger"),
    )
    record = QuantRecord(
        kind="integer",
        model="sample",
        source_parameters=1200,
        fused_parameters=1100,
        settings={"weight_bits": 4, "layers": {"head": {"weight_bits": 8}}, "scales": [0.1, 1e-7]},
        notes=("'retarget' inserted before 'bend'",),
        layers=(
            LayerRecord("stem", "conv", 4, 8, "affine", "filter", 18.25, 21.5, 1),
            LayerRecord("pool", "maxpool", 0, 8, "", "", None, None, 0),
        ),
    )
    return Bundle(sample_graph(3), host, record)


@pytest.fixture
def saved_bundle(sample_bundle: Bundle, tmp_path: Path) -> Path:
    """The folder of that bundle."""
    folder = tmp_path / "bundle"
    save_bundle(sample_bundle.graph, sample_bundle.host, sample_bundle.record, folder)
    return folder


YOLO_CLASSES = ("Model", "DetectionModel", "Detect", "IDetect")
COMMON_CLASSES = (
    *("Conv", "C3", "Bottleneck", "SPPF", "SPP", "Concat"),
    *("MP", "SP", "SPPCSPC", "RepConv", "ImplicitA", "ImplicitM"),
    *("Shuffle_Block", "conv_bn_relu_maxpool"),
)
OFFICIAL = {
    "ShuffleBlock": "Shuffle_Block",
    "ShuffleStage": "Sequential",
    "StemPool": "conv_bn_relu_maxpool",
}


class OfficialNames:
    """Saves our networks as the official code would: same class paths, same attributes.

    While entered, classes of the official paths exist, because torch saves only what it finds.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def __enter__(self) -> "OfficialNames":
        self.modules = {n: types.ModuleType(n) for n in ("models", "models.yolo", "models.common")}
        for place, names in (("models.yolo", YOLO_CLASSES), ("models.common", COMMON_CLASSES)):
            for name in names:
                made = type(name, (nn.Module,), {"__module__": place})
                setattr(self.modules[place], name, made)
        for name, module in self.modules.items():
            self._patch.setitem(sys.modules, name, module)
        return self

    def __exit__(self, *error: object) -> None:
        for name in self.modules:
            self._patch.delitem(sys.modules, name)

    def mirror(self, module: nn.Module, kind: str) -> nn.Module:
        """Return an object of the official class with the same contents."""
        places = [*self.modules.values(), nn]
        kind = OFFICIAL.get(kind, kind)
        found = next(getattr(p, kind) for p in places if hasattr(p, kind))
        made = found.__new__(found)
        ours = ("plan", "blocks")  # of networks without their shuffles
        made.__dict__.update((k, v) for k, v in module.__dict__.items() if k not in ours)
        children = {}
        for name, child in module._modules.items():
            below = type(child).__name__
            if below == "Implicit":
                below = "ImplicitA" if bool((child.implicit < 0.5).any()) else "ImplicitM"
            children[name] = self.mirror(child, below)
        made.__dict__["_modules"] = children
        return made

    def network(self, built: DescribedModel, value: dict[str, Any], root: str) -> nn.Module:
        """Return the whole network with what the official training code adds to it."""
        origin = value["yaml"]["backbone"] + value["yaml"]["head"]
        layers = [self.mirror(layer, type(layer).__name__) for layer in built.model]
        for number, layer in enumerate(layers):
            layer.i, layer.f, layer.type = number, origin[number][0], origin[number][2]
            if origin[number][2] == "Concat":
                layer.d = 1
        head = layers[-1]
        head.stride = torch.tensor([float(s) for s in value["strides"]])
        head.grid = [torch.zeros(1)] * len(value["strides"])
        for name in [k for k in head._buffers if k.startswith("grid")]:  # ours, not theirs
            delattr(head, name)
        del head.image_size, head.strides
        model = getattr(self.modules["models.yolo"], root)()
        model.model = nn.Sequential(*layers)
        model.yaml, model.names = copy.deepcopy(value["yaml"]), list(value["names"])
        model.save, model.inplace, model.hyp = [4, 6, 10], True, {"lr0": 0.01}
        return model

    @staticmethod
    def build(value: dict[str, Any], seed: int = 1) -> DescribedModel:
        """Return the network of a description with seeded values that float16 holds exactly."""
        module = DescribedModel(Description.from_json(value, "test"))
        generator = torch.Generator().manual_seed(seed)
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and not name.endswith("anchors"):
                drawn = torch.rand(tensor.shape, generator=generator)
                weight = tensor.ndim == 4 and "implicit" not in name
                tensor.copy_(((drawn - 0.5) * 0.5 if weight else drawn * 0.5 + 0.25).half())
        return module.eval()

    def write(
        self,
        path: Path,
        value: dict[str, Any],
        change: Callable[[nn.Module], object] = bool,
        *,
        half: bool = True,
        root: str = "DetectionModel",
        protocol: int = 2,
        **more: object,
    ) -> DescribedModel:
        """Save the network of a description as a checkpoint; return the one built directly."""
        built = self.build(value)
        with self:
            model = self.network(copy.deepcopy(built), value, root)
            if half:
                model.half()
            change(model)
            state = {"epoch": -1, "model": model, "ema": None, "optimizer": None, **more}
            torch.save(state, path, pickle_protocol=protocol)
        return built


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> OfficialNames:
    """Writes checkpoints with the official class paths."""
    return OfficialNames(monkeypatch)


@pytest.fixture
def small_yolov5() -> dict[str, Any]:
    """A YOLOv5-style description of eight layers, two classes and one scale."""
    value = yolov5_description("n", ("cat", "dog"))
    value["yaml"] |= {
        "width_multiple": 0.125,
        "anchors": value["yaml"]["anchors"][:1],
        "backbone": [
            [-1, 1, "Conv", [64, 6, 2, 2]],
            [-1, 1, "Conv", [64, 3, 2]],
            [-1, 3, "C3", [64]],
            [-1, 1, "Conv", [64, 3, 2]],
            [-1, 1, "SPPF", [64, 5]],
        ],
        "head": [
            [[-1, 3], 1, "Concat", [1]],
            [-1, 1, "Conv", [64, 1, 1]],
            [[6], 1, "Detect", ["nc", "anchors"]],
        ],
    }
    return value | {"strides": [8]}


@pytest.fixture
def export_onnx() -> Callable[..., Path]:
    """A function that writes a torch module as torch's own ONNX exporter does."""

    def export(module: Any, path: Path, size=(64, 64), opset=14, **options) -> Path:
        image = torch.zeros(1, 3, *size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, (image,), str(path), opset_version=opset, dynamo=False, **options
            )
        return path

    return export

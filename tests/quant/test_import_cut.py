# SPDX-License-Identifier: Apache-2.0
"""Where the integer graph ends: found by itself at a head, refused before trained layers."""

import dataclasses
import re

import pytest
import torch
from torch import nn

from quant.errors import UnsupportedLayerError
from quant.hostspec import HostSpec
from quant.ptq.check import check_model
from quant.ptq.importer import import_model
from quant.zoo.loaded import LoadedModel

CLASSES = 2
ANCHORS = 3
ROWS = ANCHORS * (5 + CLASSES)


def host(decode="yolov5", strides=(4, 8), size=32) -> HostSpec:
    anchors = tuple(((4.0, 4.0),) * ANCHORS for _ in strides) if decode == "yolov5" else ()
    return HostSpec(
        size,
        size,
        "center",
        114,
        "rgb",
        (0.0, 0.0, 0.0),
        (255.0,) * 3,
        decode,
        strides,
        anchors,
        tuple(() for _ in strides),
        ("a", "b"),
    )


def load(module: nn.Module, spec: HostSpec | None = None) -> LoadedModel:
    return LoadedModel(module.eval(), spec or host(), "toy")


class Head(nn.Module):
    """YOLOv5's way: one convolution per scale, then views, sigmoid, slices and grids."""

    def __init__(self):
        super().__init__()
        self.m = nn.ModuleList([nn.Conv2d(8, ROWS, 1), nn.Conv2d(16, ROWS, 1)])

    def forward(self, maps):
        raw, boxes = [], []
        for conv, x in zip(self.m, maps, strict=True):
            y = conv(x)
            bs, _, ny, nx = y.shape
            y = y.view(bs, ANCHORS, 5 + CLASSES, ny, nx).permute(0, 1, 3, 4, 2).contiguous()
            raw.append(y)
            z = y.sigmoid()
            z[..., 0:2] = z[..., 0:2] * 2 - 0.5 + torch.arange(nx)[None, None, None, :, None]
            z[..., 2:4] = (z[..., 2:4] * 2) ** 2 * torch.ones(2)
            boxes.append(z.view(bs, -1, 5 + CLASSES))
        return torch.cat(boxes, 1), raw


class Toy(nn.Module):
    def __init__(self, head, swap=False):
        super().__init__()
        self.p3 = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.SiLU())
        self.p4 = nn.Sequential(nn.Conv2d(8, 16, 2, 2), nn.SiLU())
        self.head = head
        self.swap = swap

    def forward(self, x):
        p3 = self.p3(x)
        p4 = self.p4(p3)
        return self.head([p4, p3] if self.swap else [p3, p4])


class XHead(nn.Module):
    """YOLOX's way: three convolutions per scale, two sigmoids, a concat, then the decode."""

    def __init__(self, sigmoid=True):
        super().__init__()
        self.parts = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(c, f, 1) for f in (4, 1, CLASSES)) for c in (8, 16)
        )
        self.sigmoid = sigmoid

    def forward(self, maps):
        scales = []
        for (reg, obj, cls), x in zip(self.parts, maps, strict=True):
            scores = [obj(x), cls(x)]
            if self.sigmoid:
                scores = [s.sigmoid() for s in scores]
            scales.append(torch.cat([reg(x), *scores], 1))
        return torch.cat([s.flatten(start_dim=2) for s in scales], dim=2).permute(0, 2, 1)


def test_anchor_head_is_cut_at_its_convolutions():
    result = import_model(load(Toy(Head())))
    assert result.graph.outputs == ("head.m.0", "head.m.1")
    assert result.host.outputs == (("head.m.0",), ("head.m.1",))
    assert result.check.unsupported == ()
    assert [e.reason for e in result.check.endings] == [
        "'head.view' reshapes [1, 21, 8, 8] to [1, 3, 7, 8, 8]",
        "'head.view_2' reshapes [1, 21, 4, 4] to [1, 3, 7, 4, 4]",
    ]
    assert result.graph.ops[-1].name == "head.m.1"


def test_outputs_come_in_the_order_of_the_strides():
    class Swapped(Head):
        def __init__(self):
            super().__init__()
            self.m = nn.ModuleList([nn.Conv2d(16, ROWS, 1), nn.Conv2d(8, ROWS, 1)])

    result = import_model(load(Toy(Swapped(), swap=True)))
    assert result.graph.outputs == ("head.m.1", "head.m.0")


@pytest.mark.parametrize("sigmoid", [True, False])
def test_decoupled_head_is_cut_before_sigmoid_and_concat(sigmoid):
    result = import_model(load(Toy(XHead(sigmoid)), host("yolox")))
    assert result.host.outputs == (
        ("head.parts.0.0", "head.parts.0.1", "head.parts.0.2"),
        ("head.parts.1.0", "head.parts.1.1", "head.parts.1.2"),
    )
    assert result.graph.outputs == tuple(n for scale in result.host.outputs for n in scale)
    assert result.check.operations == {"conv": 8, "silu": 2}


def test_without_a_detector_the_sigmoid_stays():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.conv(x).sigmoid()

    assert import_model(load(Plain(), host("none", ()))).graph.outputs == ("sigmoid",)


def test_softmax_at_the_end_is_left_to_the_host():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2), nn.Softmax(1)
    )
    result = import_model(load(net, host("classify", ())))
    assert result.graph.outputs == ("3",)
    assert result.graph.shapes["3"] == (2, 1, 1)
    assert result.check.endings[0].reason == "'4' is Softmax"


def test_trained_layer_behind_something_unsupported_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax(1), nn.Conv2d(4, 4, 1))
    message = (
        "'1' is Softmax; nibbleflow builds conv, pool, add, concat, split, upsample, lookup; "
        "end the graph before it with --outputs"
    )
    with pytest.raises(UnsupportedLayerError, match=f"^{re.escape(message)}$"):
        import_model(load(net, host("none", ())))
    result = import_model(load(net, host("none", ())), outputs=("0",))
    assert result.graph.outputs == ("0",)
    assert result.check.endings[0].reason == "chosen with --outputs"
    with pytest.raises(UnsupportedLayerError, match=f"^{re.escape(message)}$"):
        import_model(load(net, host("none", ())), outputs=("2",))


def test_parameter_derived_in_forward_counts_as_trained():
    class Derived(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.conv(x).exp() * (self.scale * 2)

    report = check_model(load(Derived(), host("none", ())))
    assert [u.name for u in report.unsupported] == ["exp", "mul"]


def test_outputs_by_operation_and_by_module():
    toy = Toy(Head())
    spec = host("none", ())
    assert import_model(load(toy, spec), outputs=("p4",)).graph.outputs == ("p4.1",)
    result = import_model(load(toy, spec), outputs=("p4.0", "p3"))
    assert result.graph.outputs == ("p4.0", "p3.1")
    assert result.host.outputs == (("p4.0",), ("p3.1",))


def test_chosen_norm_is_the_fused_convolution():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    result = import_model(load(net, host("none", ())), outputs=("1",))
    assert result.graph.outputs == ("0",)


def test_chosen_outputs_of_a_detector_are_ordered():
    result = import_model(load(Toy(Head())), outputs=("head.m.1", "head.m.0"))
    assert result.host.outputs == (("head.m.0",), ("head.m.1",))


WRONG_OUTPUTS = {
    "near": (
        ("head.m.2",),
        "--outputs names 'head.m.2', which is no operation of the network; near it: head.m.",
    ),
    "twice": (("p3", "p3.1"), "--outputs names 'p3.1' twice; name every output once"),
    "empty": ((), "--outputs is empty; name at least one operation"),
    "stride": (
        ("p3.0", "p4.0"),
        "'p3.0' makes 8 prediction rows of stride 4 (with its neighbours); yolov5 with 3 anchors "
        "and 2 classes needs 21; name the head convolutions",
    ),
    "one missing": (
        ("head.m.0",),
        "'stride 8' has no output; yolov5 needs the strides [4, 8]; name the head convolutions",
    ),
}


@pytest.mark.parametrize("name", WRONG_OUTPUTS)
def test_wrong_outputs(name):
    outputs, message = WRONG_OUTPUTS[name]
    with pytest.raises(UnsupportedLayerError, match=f"^{re.escape(message)}"):
        import_model(load(Toy(Head())), outputs=outputs)


def test_strides_that_do_not_match():
    message = (
        "'head.m.0' is an output of 21x8x8, which is none of the strides [8, 16] of 32x32; name "
        "the head convolutions, scale by scale in the order of their rows, with --outputs"
    )
    loaded = load(Toy(Head()), host(strides=(8, 16)))
    with pytest.raises(UnsupportedLayerError, match=f"^{re.escape(message)}$"):
        import_model(loaded)
    assert check_model(loaded).unsupported[0].message == message


def test_several_outputs_of_one_stride_without_an_order():
    class Loose(XHead):
        def forward(self, maps):
            return [conv(x) for part, x in zip(self.parts, maps, strict=True) for conv in part]

    loaded = load(Toy(Loose()), host("yolox"))
    with pytest.raises(UnsupportedLayerError, match=r"^'head.parts.0.1' is one of several outputs"):
        import_model(loaded)
    names = tuple(f"head.parts.{s}.{i}" for s in (0, 1) for i in (0, 1, 2))
    assert import_model(loaded, outputs=names).graph.outputs == names


def test_check_names_the_chosen_end():
    report = check_model(load(Toy(Head()), host("none", ())), outputs=("p3",))
    assert report.outputs == (("p3.1",),)
    assert report.shapes == {"images": (3, 32, 32), "p3.0": (8, 8, 8), "p3.1": (8, 8, 8)}


def test_host_keeps_its_other_fields():
    spec = host()
    result = import_model(load(Toy(Head()), spec))
    assert dataclasses.replace(result.host, outputs=spec.outputs) == spec


def test_joined_prediction_that_the_network_reads_itself_leaves_joined():
    class Chained(nn.Module):
        """The second scale is computed from the first scale's joined prediction."""

        def __init__(self):
            super().__init__()
            self.reg, self.rest = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 1 + CLASSES, 1)
            self.down = nn.Conv2d(5 + CLASSES, 5 + CLASSES, 2, 2)

        def forward(self, maps):
            first = torch.cat([self.reg(maps[0]), self.rest(maps[0])], 1)
            return torch.cat([s.flatten(start_dim=2) for s in (first, self.down(first))], 2)

    result = import_model(load(Toy(Chained()), host("yolox")))
    assert result.host.outputs == (("head.cat",), ("head.down",))

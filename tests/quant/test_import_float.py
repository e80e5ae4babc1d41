# SPDX-License-Identifier: Apache-2.0
"""Networks that run in float only: counted and measured, never quantized."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from quant.errors import QuantizationError, UnsupportedLayerError
from quant.floatgraph import FloatMultiply, FloatShuffle
from quant.hostspec import HostSpec
from quant.ptq.check import check_model
from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.ptq.quantize import quantize
from quant.ptq.settings import QuantizeSettings
from quant.zoo.loaded import LoadedModel


class Gated(nn.Module):
    """A squeeze-and-excitation gate and a channel shuffle between convolutions."""

    def __init__(self, last):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(8, 2, 1)
        self.excite = nn.Conv2d(2, 8, 1)
        self.shuffle = nn.ChannelShuffle(4)
        self.last = last

    def forward(self, x):
        x = torch.relu(self.stem(x))
        gate = self.excite(torch.relu(self.squeeze(self.pool(x)))).sigmoid()
        return self.last(self.shuffle(gate * x))


def load(last, decode="none", classes=()):
    torch.manual_seed(0)
    strides = (2,) if decode != "none" else ()
    host = HostSpec(
        16, 24, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, decode, strides, (),
        ((),) * len(strides), classes,
    )  # fmt: skip
    return LoadedModel(Gated(last).eval(), host, "gated")


def test_check_counts_the_whole_and_names_what_blocks():
    report = check_model(load(nn.Conv2d(8, 4, 1)))
    assert report.region == "float network"
    assert [(u.name, u.kind) for u in report.unsupported] == [
        ("mul", "mul"),
        ("shuffle", "ChannelShuffle"),
    ]
    assert report.operations == {
        "avg_pool": 1, "channel_shuffle": 1, "conv": 4, "multiply": 1, "relu": 2, "sigmoid": 1,
    }  # fmt: skip
    assert report.macs == 8 * 27 * 96 + 16 + 16 + 32 * 96
    assert report.fused_parameters == report.parameters == (216 + 8) + (16 + 2) + (16 + 8) + 36
    assert report.shapes["mul"] == report.shapes["shuffle"] == (8, 8, 12)
    assert report.outputs == (("last",),)
    assert report.to_json()["region"] == "float network"


def test_it_runs_in_float_as_the_module_does():
    loaded = load(nn.Conv2d(8, 4, 1))
    graph = import_model(loaded, in_float=True).graph
    assert [type(op) for op in graph.ops if isinstance(op, FloatMultiply | FloatShuffle)] == [
        FloatMultiply,
        FloatShuffle,
    ]
    batch = np.random.default_rng(1).random((2, 3, 16, 24), dtype=np.float32)
    with torch.no_grad():
        wanted = loaded.module(torch.from_numpy(batch)).numpy()
    found = FloatExecutor(graph).run(batch)["last"]
    assert np.abs(found - wanted).max() < 1e-6


def test_shuffle_interleaves_groups():
    loaded = load(nn.Identity())
    loaded.module.forward = loaded.module.shuffle.forward
    x = torch.arange(8.0).reshape(1, 8, 1, 1)
    assert loaded.module(x).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


def test_what_float_cannot_run_either_is_the_one_named():
    loaded = load(nn.Sequential(nn.Softmax(1), nn.Conv2d(8, 4, 1)))
    report = check_model(loaded)
    assert report.region == "integer graph"
    assert [u.name for u in report.unsupported] == ["mul", "shuffle", "last.0"]
    with pytest.raises(UnsupportedLayerError, match=r"^'last.0' is Softmax; .*--outputs$"):
        import_model(loaded, in_float=True)
    with pytest.raises(UnsupportedLayerError, match=r"^'mul' multiplies .*\(2 more; "):
        import_model(loaded)


def test_outputs_that_do_not_fit_the_detector_are_refused_in_float_too():
    loaded = load(nn.Conv2d(8, 7, 1), "yolov6", ("a", "b"))
    message = (
        "'last' makes 7 prediction rows of stride 2 (with its neighbours); yolov6 with 1 anchors "
        "and 2 classes needs 6; name the head convolutions, scale by scale in the order of their "
        "rows, with --outputs"
    )
    with pytest.raises(UnsupportedLayerError, match=f"^{re.escape(message)}$"):
        import_model(loaded, in_float=True)
    assert check_model(loaded).unsupported[-1].message == message
    good = import_model(load(nn.Conv2d(8, 6, 1), "yolov6", ("a", "b")), in_float=True)
    assert good.host.outputs == (("last",),)


class ScoredBehind(nn.Module):
    """Multiplies objectness and class scores behind the last convolution."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 5, 1)

    def forward(self, x):
        y = self.head(x).sigmoid()
        return y[:, 1:] * y[:, 1:]


def test_a_product_behind_the_head_still_ends_the_graph():
    report = check_model(LoadedModel(ScoredBehind().eval(), load(None).host, "net"))
    assert report.region == "integer graph"
    assert report.unsupported == ()
    reason = "'mul' multiplies two computed tensors (a gate, as in squeeze-and-excitation)"
    assert {e.reason for e in report.endings} == {reason}


def test_a_float_import_is_not_quantized():
    imported = import_model(load(nn.Conv2d(8, 4, 1)), in_float=True)
    batches = [np.random.default_rng(1).random((1, 3, 16, 24), dtype=np.float32)]
    with pytest.raises(
        QuantizationError, match=r"^'mul' runs in float only; import the model without in_float$"
    ):
        quantize(imported.graph, imported.host, batches, QuantizeSettings(), model="net")

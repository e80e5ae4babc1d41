# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from quant.floatgraph import FloatActivation, FloatConv, FloatGraph, FloatInput
from quant.hostspec import HostSpec
from quant.ptq.executor import FloatExecutor
from quant.ptq.quantize import quantize
from quant.ptq.settings import QuantizeSettings
from sim.golden import GoldenModel

DEPTH = 6


def chain():
    """A deep chain of 3x3 convolutions with SiLU, the kind that fades at few bits."""
    rng = np.random.default_rng(5)
    ops = [FloatInput("x", (3, 16, 16))]
    source, channels = "x", 3
    for i in range(DEPTH):
        weight = rng.standard_t(3, (12, channels, 3, 3)) * (1.2 / np.sqrt(channels * 9))
        bias = rng.normal(0, 0.2, 12).astype(np.float32)
        name = f"c{i}"
        ops.append(
            FloatConv(name, source, weight.astype(np.float32), bias, (1, 1), (1, 1, 1, 1), 1)
        )
        ops.append(FloatActivation(f"{name}.act", name, "silu"))
        source, channels = f"{name}.act", 12
    shapes = {op.name: (12, 16, 16) for op in ops} | {"x": (3, 16, 16)}
    return FloatGraph("chain", tuple(ops), (source,), shapes, 0)


def host():
    outputs = ((f"c{DEPTH - 1}.act",),)
    return HostSpec(
        16, 16, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, "none", (), (), outputs, ("a",)
    )


def images(seed):
    return np.random.default_rng(seed).random((8, 3, 16, 16), dtype=np.float32)


def quantized(correction):
    settings = QuantizeSettings(weight_bits=4, act_bits=6, edge_bits=4, correction=correction)
    return quantize(chain(), host(), [images(1)], settings, model="chain").graph


def run(graph, batch):
    codes = np.floor(batch * 255 + 0.5).astype(np.uint8)
    names = [c.name for c in graph.convs]
    return GoldenModel(graph).run(codes, keep=names, accumulators=names)


def test_every_filter_has_the_float_mean_and_deviation():
    graph, batch = quantized("moments"), images(1)
    sums = run(graph, batch).accumulators
    exact = {}
    FloatExecutor(chain()).run(batch, lambda n, t: exact.__setitem__(n, t.numpy().copy()))
    for node in graph.convs:
        scale = node.weights.scale.astype(np.float64) * graph.formats[node.source].scale
        real = sums[node.name] * scale[None, :, None, None]
        truth = exact[node.name].astype(np.float64)
        spread = truth.std(axis=(0, 2, 3))
        # The bias is a whole number of accumulator steps.
        distance = np.abs(real.mean(axis=(0, 2, 3)) - truth.mean(axis=(0, 2, 3)))
        assert (distance <= 0.501 * scale + 1e-4).all()
        assert np.abs(real.std(axis=(0, 2, 3)) / spread - 1).max() < 0.01


def test_the_requantizer_carries_the_gain():
    before, after = quantized("none"), quantized("moments")
    for old, new in zip(before.convs, after.convs, strict=True):
        assert np.array_equal(old.weights.codes, new.weights.codes)
        gain = new.weights.scale.astype(np.float64) / old.weights.scale
        assert gain.min() >= 0.5
        assert gain.max() <= 2.0
        real = [
            n.requant.multiplier * 2.0 ** -n.requant.shift.astype(np.float64) for n in (old, new)
        ]
        assert np.abs(real[1] / (real[0] * gain) - 1).max() < 2.0**-16


@pytest.mark.parametrize("other", ["none", "mean"])
def test_new_images_come_out_closer_to_float(other):
    batch = images(2)
    name = f"c{DEPTH - 1}"
    truth = FloatExecutor(chain()).run(batch)[f"{name}.act"]

    def error(graph):
        fmt = graph.formats[name]
        real = (run(graph, batch).tensors[name].astype(np.float64) - fmt.zero_point) * fmt.scale
        return np.square(real - truth).mean()

    assert error(quantized("moments")) < error(quantized(other))

# SPDX-License-Identifier: Apache-2.0
"""A codebook goes to tensors whose even steps would cost the outputs too much, and only there."""

from dataclasses import replace

import numpy as np
import pytest

from quant.floatgraph import FloatActivation, FloatConv, FloatGraph, FloatInput
from quant.hostspec import HostSpec
from quant.nodes import Conv
from quant.ptq.choose import COSTLY, WIDEST
from quant.ptq.fakequant import code_differences
from quant.ptq.lowered import run_lowered
from quant.ptq.quantize import quantize
from quant.ptq.settings import QuantizeSettings
from sim.golden import GoldenModel

SIDE = 16
EIGHT = QuantizeSettings(weight_bits=8, act_bits=8)
NEVER = replace(EIGHT, codebook="never")


def network(reach, kind="silu"):
    """Depthwise behind an activation whose first channel is small and whose last reaches far."""
    rng = np.random.default_rng(4)

    def conv(name, source, weight, groups=1):
        pad = weight.shape[2] // 2
        bias = np.zeros(len(weight), np.float32)
        return FloatConv(name, source, weight.astype(np.float32), bias, (1, 1), (pad,) * 4, groups)

    sizes = np.geomspace(1.0 / reach, reach, 6)
    stem = rng.normal(0, 1, (6, 3, 1, 1)) * sizes[:, None, None, None]
    depth = rng.normal(0, 0.4, (6, 1, 3, 3)) / sizes[:, None, None, None]
    ops = (
        FloatInput("x", (3, SIDE, SIDE)),
        conv("stem", "x", stem),
        FloatActivation("stem.act", "stem", kind),
        conv("depth", "stem.act", depth, 6),
        FloatActivation("depth.act", "depth", kind),
        conv("head", "depth.act", rng.normal(0, 0.5, (4, 6, 1, 1))),
    )
    names = ("stem", "stem.act", "depth", "depth.act")
    shapes = {"x": (3, SIDE, SIDE), "head": (4, SIDE, SIDE)} | dict.fromkeys(names, (6, SIDE, SIDE))
    return FloatGraph("net", ops, ("head",), shapes, 0)


def quantized(graph, settings=EIGHT):
    host = HostSpec(
        SIDE, SIDE, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, "none", (), (), (), ()
    )
    images = np.random.default_rng(3).random((8, 3, SIDE, SIDE), dtype=np.float32)
    return quantize(graph, host, [images], settings, model="net")


def head_db(found):
    return next(layer.sqnr_db for layer in found.record.layers if layer.name == "head")


def test_a_small_important_channel_is_saved():
    graph = network(40.0)
    plain, found = quantized(graph, NEVER), quantized(graph)
    assert plain.graph.formats["stem"].codebook is None
    fmt = found.graph.formats["stem"]
    assert fmt.codebook is not None
    assert fmt.bits == 8 < fmt.decoded_bits <= WIDEST
    assert fmt.zero_point in fmt.codebook
    assert head_db(found) > head_db(plain) + 10.0
    stem = next(n for n in found.graph.nodes if isinstance(n, Conv))
    assert len(stem.table) == 1 << min(16, fmt.decoded_bits + 2)
    notes = [n for n in found.record.notes if "decode through a codebook" in n]
    assert len(notes) == 1
    assert f"'stem' {fmt.decoded_bits} bits" in notes[0]
    assert not any("codebook" in n for n in plain.record.notes)


def test_engines_agree_on_codebooks():
    graph = network(40.0)
    lowered = quantized(graph).graph
    assert lowered.formats["stem"].codebook is not None
    codes = np.random.default_rng(9).integers(0, 256, (2, 3, SIDE, SIDE)).astype(np.uint8)
    golden = GoldenModel(lowered).run(codes, keep="all").tensors
    for name, tensor in run_lowered(lowered, codes).items():
        if name in golden:
            assert np.array_equal(golden[name], tensor), name
    differences = code_differences(lowered, graph, codes)
    assert max(d.largest for d in differences.values()) <= 1


def test_clips_have_no_table_and_keep_even_steps():
    formats = quantized(network(40.0, "relu")).graph.formats
    assert all(f.codebook is None for f in formats.values())


@pytest.mark.parametrize(("costly", "books"), [(COSTLY, 1), (10.0, 0)])
def test_only_costly_steps_are_replaced(monkeypatch, costly, books):
    monkeypatch.setattr("quant.ptq.choose.COSTLY", costly)
    formats = quantized(network(40.0)).graph.formats
    assert (sum(f.codebook is not None for f in formats.values()) > 0) == books


def test_always_takes_every_codebook_that_errs_less():
    graph = network(1.0)
    auto, always = (
        quantized(graph, replace(EIGHT, codebook=choice)) for choice in ("auto", "always")
    )
    assert auto.graph.formats["depth"].codebook is None
    assert always.graph.formats["depth"].codebook is not None
    assert head_db(always) > head_db(auto)
    note = next(n for n in always.record.notes if "codebook" in n)
    assert "tensors decode through a codebook, whose error is below that of even steps: " in note

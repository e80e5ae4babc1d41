# SPDX-License-Identifier: Apache-2.0
"""The convolution and the linear layer as cells: every beat in its cycle, words to load."""

import dataclasses

import numpy as np
import pytest

from hw.conv_cell import conv_cell, linear_as_conv, linear_cell
from hw.conv_process import conv_process
from hw.cycles import conv_cycles
from hw.geometry import conv_geometry
from hw.timing import Times, simulate_settled
from hw.tokens import cell_graph
from quant.nodes import Conv, Linear
from quant.samples import sample_codes, sample_conv, sample_graph, sample_weights
from quant.schedule import Folding
from quant.weights import Granularity
from sim.golden import run_conv

FRAMES = 3

PWLQ = {"weight_bits": 5, "scheme": "pwlq"}

# Arguments of sample_conv, picture, folding: bound by compute, by the input, by the taps of a fold.
LAYERS = {
    "dense": ((8, 8), {"table": True}, (7, 8), (4, 4)),
    "input bound": ((8, 8, 1, 2, 0), {"act_bits": 8}, (8, 7), (8, 2)),
    "full rate": ((8, 8, 1, 1, 0), {"act_bits": 4}, (5, 6), (8, 8)),
    "replayed": ((6, 9, 1, 1, 0), {"weight_bits": 8}, (5, 6), (3, 2)),
    "strided": ((4, 8, 3, 2), {"act_bits": 8}, (9, 7), (8, 2)),
    "asymmetric": ((2, 3, 5, 1, (4, 0, 1, 3)), {}, (6, 5), (1, 2)),
    "grouped": ((8, 12, 3, 1, 1, 2), {}, (5, 6), (3, 2)),
    "depthwise": ((8, 8, 3, 1, 1, 8), {"table": True}, (6, 5), (4, 1)),
    "partial sums": ((8, 8), {"granularity": Granularity.C_SHAPE}, (5, 6), (4, 2)),
    "scaled acts": ((8, 8), {"granularity": Granularity.F_SHAPE, **PWLQ}, (5, 6), (4, 2)),
    "low map": ((3, 4, 3, 1, (1, 1, 2, 1)), {}, (2, 10), (4, 1)),
}


def layer(name):
    arguments, options, size, folding = LAYERS[name]
    node, source = sample_conv(11, *arguments, **options)
    return node, source, (arguments[0], *size), Folding(*folding)


@pytest.mark.parametrize("name", LAYERS)
def test_engine_has_the_cycles_of_the_recurrence(name):
    node, source, shape, folding = layer(name)
    times = simulate_settled(cell_graph(name, conv_cell(node, shape, source, folding, "")))
    assert isinstance(times, Times)
    planned = conv_cycles(node, shape, folding)
    assert times.interval_cycles == planned.interval_cycles
    assert times.latency_cycles == planned.latency_cycles


@pytest.mark.parametrize("name", LAYERS)
def test_process_has_the_cycles_of_the_recurrence(name, process_times):
    node, _, shape, folding = layer(name)
    process = conv_process(conv_geometry(node, shape, folding))
    taken, given = process_times((process,), 8)
    ends = given[process.out_beats - 1 :: process.out_beats]
    planned = conv_cycles(node, shape, folding)
    assert ends[0] - taken[0] + 1 == planned.latency_cycles
    assert ends[-1] - ends[-2] == planned.interval_cycles


@pytest.mark.rtl
@pytest.mark.parametrize(
    "name", ["dense", "input bound", "depthwise", "partial sums", "scaled acts"]
)
def test_every_beat_in_its_cycle(name, cell_device):
    node, source, shape, folding = layer(name)
    device = cell_device(conv_cell(node, shape, source, folding, "dut_"))
    frames = sample_codes(3, (FRAMES, *shape), source.bits)
    expected, _ = run_conv(node, source, frames)
    device.check(expected, frames)


def linear_layer() -> Linear:
    node = sample_graph(1).node("linear")
    assert isinstance(node, Linear)
    return node


@pytest.mark.rtl
def test_linear_layer_reads_the_stream_in_its_order(cell_device):
    """The stream has the channels of a pixel together, the columns of the layer are (C, H, W)."""
    graph, node = sample_graph(1), linear_layer()
    source, shape = graph.formats[node.source], graph.shapes[node.source]
    device = cell_device(linear_cell(node, shape, source, Folding(5, 4), "dut_"))
    frames = sample_codes(3, (FRAMES, *shape), source.bits)
    weights = node.weights.integers()[:, :, 0, 0].astype(np.int64)
    acc = node.bias + frames.reshape(FRAMES, -1).astype(np.int64) @ weights.T
    r = node.requant
    shift = r.shift.astype(np.int64)
    scaled = (acc * r.multiplier.astype(np.int64) + (1 << (shift - 1))) >> shift
    codes = np.clip(scaled + r.zero_point, r.low, r.high)
    assert len(np.unique(codes)) > 10
    device.check(codes.reshape(FRAMES, 10, 1, 1), frames)


def test_linear_as_conv_keeps_the_integers():
    node, shape = linear_layer(), (8, 4, 2)
    conv = linear_as_conv(node, shape)
    assert isinstance(conv, Conv)
    assert conv.weights.shape == (10, 8, 4, 2)
    assert np.array_equal(
        conv.weights.integers().reshape(10, -1), node.weights.integers().reshape(10, -1)
    )


@pytest.mark.parametrize("granularity", Granularity)
def test_linear_as_conv_keeps_the_integers_of_every_granularity(granularity):
    """C-shape-wise is filter-wise there; channels become channels at positions."""
    weights = sample_weights(3, (10, 64, 1, 1), granularity=granularity, scheme="codebook")
    assert (weights.multiplier_bits > 0) == (granularity not in ("layer", "filter"))
    node = dataclasses.replace(linear_layer(), weights=weights)
    conv = linear_as_conv(node, (8, 4, 2))
    assert np.array_equal(conv.weights.integers().reshape(10, 64, 1, 1), weights.integers())


def test_weights_to_load():
    """32-bit words, the lowest bits of a memory word first; no memory image besides."""
    node, source = sample_conv(5, 8, 12, kernel=1, padding=0, granularity=Granularity.LAYER)
    folding = Folding(6, 2)
    filled = conv_cell(node, (8, 3, 3), source, folding, "x_", "ultra")
    loaded = conv_cell(node, (8, 3, 3), source, folding, "x_", "ultra", load=True)
    assert filled.load is None
    assert set(filled.files) - set(loaded.files) == {"x_weights.mem"}
    assert (loaded.parameters["WeightFile"], loaded.parameters["LoadWeights"]) == ("", 1)
    image = loaded.load
    assert (image.bits, image.depth) == (48, 8)
    expected = []
    for line in filled.files["x_weights.mem"].split():
        expected += [int(line, 16) & 0xFFFFFFFF, int(line, 16) >> 32]
    assert image.words.tolist() == expected
    assert not image.words.flags.writeable

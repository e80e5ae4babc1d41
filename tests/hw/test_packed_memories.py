# SPDX-License-Identifier: Apache-2.0
"""Memories of packed cells: operands where the chain reads them, zero filters, offsets, loads."""

import itertools

import numpy as np
import pytest

from hw.conv_cell import conv_cell
from hw.geometry import conv_geometry
from hw.memories import filter_words
from hw.packed_memories import offset_bits, operand_bits, operand_words, window_bits
from hw.packing import packed_operands
from quant.errors import PlanError
from quant.samples import sample_conv
from quant.schedule import Folding
from quant.weights import Granularity

SHAPE = (8, 5, 7)


def layer(filters=8, kernel=3, **options):
    node, source = sample_conv(3, 8, filters, kernel, padding=kernel // 2, act_bits=4, **options)
    return node, source


@pytest.mark.parametrize("core", ["outer4", "pack6"])
def test_every_operand_stands_where_its_block_reads_it(core):
    node, source = layer(6, scheme="symmetric")
    g = conv_geometry(node, SHAPE, Folding(4, 4, core=core), source)
    assert (g.output_folds, g.zero_filters, g.out_lanes, g.channel_folds) == (2, 2, 2, 2)
    operands, _ = packed_operands(node)
    memories = operand_words(node, g)
    assert len(memories) == g.cascade
    columns = range(3) if core == "pack6" else (0,)
    places = itertools.product(range(2), range(3), range(3) if core == "outer4" else (0,), range(2))
    chains = g.simd // g.cascade
    for word, (fold, row, column, part) in enumerate(places):
        for p, c, k, j in itertools.product(range(4), range(chains), range(g.cascade), columns):
            f, channel = 4 * fold + p, 4 * part + c * g.cascade + k
            wanted = operands[f, channel, row, column + j] if f < 6 else 0
            lane = (p * chains + c) * len(columns) + j
            assert memories[k][word, lane] == wanted
    assert memories[0].shape == (g.output_folds * g.fold_taps, 4 * chains * len(columns))


def test_parameters_of_zero_filters_are_zero():
    node, source = layer(6)
    g = conv_geometry(node, SHAPE, Folding(4, 4, core="outer4"), source)
    words = filter_words(np.arange(1, 7), g)
    assert words.reshape(-1).tolist() == [1, 2, 3, 4, 5, 6, 0, 0]


def test_widths():
    node, source = layer(scheme="affine")
    operands, offsets = packed_operands(node)
    assert operand_bits(node) == 4
    assert (int(operands.min()), int(operands.max())) == (-8, 7)
    low, high = int(offsets.min()), int(offsets.max())
    bits = offset_bits(node)
    assert -(1 << (bits - 1)) <= low
    assert high < 1 << (bits - 1)
    assert window_bits(node, source) == (8 * 9 * 15).bit_length()


def test_loaded_words_are_those_of_all_memories_side_by_side():
    node, source = layer(scheme="symmetric")
    folding = Folding(4, 8, core="pack6")
    filled = conv_cell(node, SHAPE, source, folding, "x_", "ultra")
    loaded = conv_cell(node, SHAPE, source, folding, "x_", "ultra", load=True)
    places = conv_geometry(node, SHAPE, folding, source).cascade
    names = [f"x_weights{k}.mem" for k in range(places)]
    assert set(filled.files) - set(loaded.files) == set(names)
    assert filled.parameters["WeightFile"] == "x_weights"
    assert loaded.parameters["WeightFile"] == ""
    image = loaded.load
    assert image is not None
    assert image.bits == 4 * 8 * 3 * 4
    per_place = image.bits // places
    words = image.words.reshape(image.depth, -1)
    for depth in range(image.depth):
        whole = sum(int(word) << 32 * i for i, word in enumerate(words[depth]))
        for k, name in enumerate(names):
            part = whole >> (k * per_place) & ((1 << per_place) - 1)
            assert part == int(filled.files[name].split()[depth], 16)


def refused(node, source, folding):
    with pytest.raises(PlanError) as caught:
        conv_geometry(node, SHAPE, folding, source)
    return str(caught.value)


def test_refusals():
    node, source = layer(scheme="symmetric")
    assert refused(node, source, Folding(3, 4, core="outer4")) == (
        "'conv' is planned with PE=3; core 'outer4' computes filters in pairs; use an even PE"
    )
    assert refused(node, None, Folding(4, 4, core="pack6")) == (
        "'conv' is planned with core 'pack6', whose proof needs the format of its input; give "
        "source"
    )
    parts, parts_source = layer(granularity=Granularity.C_SHAPE)
    assert refused(parts, parts_source, Folding(4, 4, core="outer4")) == (
        "'conv' has group multipliers; the cell of core 'outer4' takes none; use plain_lut or "
        "plain_dsp"
    )
    assert refused(node, source, Folding(4, 3, core="pack6")) == (
        "'conv' has 8 channels, not a multiple of SIMD=3; divisors near 3: 2, 4"
    )

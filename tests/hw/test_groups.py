# SPDX-License-Identifier: Apache-2.0
"""Tables and multipliers of quantization groups, in the order in which the cell reads them."""

import dataclasses
import itertools

import numpy as np
import pytest

from hw.geometry import conv_geometry
from hw.group_words import group_words, sum_bits
from hw.groups import factor_place, group_tables, kernel_weights
from quant.samples import sample_conv, sample_weights
from quant.schedule import Folding
from quant.weights import Granularity
from quant.widths import accumulator_bits, partial_sum_bits

# Arguments of sample_conv, folding.
LAYERS = {
    "dense": ((8, 6, 3), {}, Folding(3, 2)),
    "one fold": ((8, 6, (1, 3)), {"padding": 0}, Folding(6, 8)),
    "point": ((8, 6, 1), {"padding": 0}, Folding(2, 4)),
    "grouped": ((8, 6, 3), {"groups": 2}, Folding(3, 1)),
    "depthwise": ((8, 8, 3), {"groups": 8}, Folding(2, 1)),
    "one filter": ((4, 1, 3), {}, Folding(1, 2)),
}


def layer(name, granularity, **options):
    arguments, more, folding = LAYERS[name]
    node, source = sample_conv(3, *arguments, **more, **options, granularity=granularity)
    return node, source, conv_geometry(node, (arguments[0], 5, 6), folding)


@pytest.mark.parametrize("granularity", Granularity)
@pytest.mark.parametrize("name", LAYERS)
def test_every_product_meets_the_value_of_its_group(name, granularity):
    """Tap by tap as the cell reads: fold, kernel row, kernel column, channels."""
    node, _, g = layer(name, granularity, scheme="codebook")
    filters, channels, kh, kw = node.weights.shape
    for values in (node.weights.multipliers, node.weights.selectors):
        words = group_words(values, g)
        full = np.broadcast_to(values, node.weights.shape)
        assert g.fold_taps % words.taps == 0
        taps = itertools.product(
            range(0, filters, g.pe), range(kh), range(kw), range(0, channels, g.simd)
        )
        for tap, (f, i, j, c) in enumerate(taps):
            word = words.values[tap // words.taps % len(words.values)]
            for p, s in itertools.product(range(g.pe), range(g.simd)):
                assert word[s if words.by_channel else p] == full[f + p, c + s, i, j]
        # The words begin again with every window.
        assert g.output_folds * g.fold_taps // words.taps % len(words.values) == 0


@pytest.mark.parametrize(
    ("name", "granularity", "taps", "shape", "by_channel"),
    [
        ("dense", Granularity.FILTER, 36, (2, 3), False),
        ("dense", Granularity.C_SHAPE, 4, (18, 3), False),
        ("dense", Granularity.CHANNEL, 1, (4, 2), True),
        ("dense", Granularity.F_SHAPE, 1, (36, 2), True),
        ("point", Granularity.C_SHAPE, 2, (3, 2), False),
        ("depthwise", Granularity.C_SHAPE, 1, (36, 2), False),
        ("depthwise", Granularity.F_SHAPE, 1, (9, 1), True),
    ],
)
def test_no_word_is_stored_twice(name, granularity, taps, shape, by_channel):
    node, _, g = layer(name, granularity, scheme="codebook")
    values = np.random.default_rng(1).permutation(node.weights.multipliers.size)
    words = group_words(values.reshape(node.weights.multipliers.shape), g)
    assert (words.taps, words.values.shape, words.by_channel) == (taps, shape, by_channel)


def test_what_multipliers_scale():
    places = {g: factor_place(sample_weights(2, (4, 4, 3, 3), granularity=g)) for g in Granularity}
    assert places == {
        "layer": "none",
        "filter": "none",
        "channel": "acts",
        "f-shape": "acts",
        "c-shape": "parts",
    }
    whole = sample_weights(2, (4, 4, 3, 3), granularity=Granularity.LAYER)
    scaled = dataclasses.replace(whole, multipliers=np.full((1, 1, 1, 1), 3))
    assert factor_place(scaled) == "parts"


@pytest.mark.parametrize("granularity", Granularity)
def test_tables_in_use_are_numbered_without_gaps(granularity):
    weights = sample_weights(5, (6, 4, 3, 3), granularity=granularity, scheme="codebook")
    twice = dataclasses.replace(weights, tables=np.concatenate([weights.tables] * 2))
    upper = dataclasses.replace(twice, selectors=twice.selectors + len(weights.tables))
    for same in (weights, twice, upper):
        tables, numbers = group_tables(same)
        assert len(tables) == len(np.unique(numbers)) == numbers.max() + 1
        decoded = tables[np.broadcast_to(numbers, same.shape), same.codes]
        assert np.array_equal(decoded * same.multipliers, weights.integers())


def test_sums_before_their_multiplier_have_their_own_width():
    node, source, _ = layer("dense", Granularity.C_SHAPE)
    part = partial_sum_bits(node, source, by_position=True)
    assert sum_bits(node, source) == part < accumulator_bits(node, source)
    # One multiplier for all positions: the whole fold is one sum.
    weights = node.weights
    even = dataclasses.replace(weights, multipliers=np.full_like(weights.multipliers, 2))
    one = dataclasses.replace(node, weights=even)
    assert sum_bits(one, source) == partial_sum_bits(one, source, by_position=False) > part
    wide, source, _ = layer("dense", Granularity.F_SHAPE)
    assert sum_bits(wide, source) == accumulator_bits(wide, source)


@pytest.mark.parametrize("granularity", Granularity)
def test_weights_of_a_linear_layer_as_a_kernel(granularity):
    weights = sample_weights(7, (5, 24, 1, 1), granularity=granularity, scheme="codebook")
    kernel = kernel_weights(weights, (4, 2, 3))
    assert kernel.shape == (5, 4, 2, 3)
    assert np.array_equal(kernel.integers().reshape(5, 24, 1, 1), weights.integers())

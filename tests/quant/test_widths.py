# SPDX-License-Identifier: Apache-2.0
"""Widths of partial sums: the bounds are reached, by every corner of the activations."""

import itertools

import numpy as np
import pytest

from quant.samples import sample_conv
from quant.weights import Granularity, signed_bits
from quant.widths import partial_sum_bits, partial_sum_interval


@pytest.mark.parametrize("scheme", ["affine", "codebook"])
def test_partial_sums_reach_their_bounds(scheme):
    node, source = sample_conv(
        4, 3, 4, (2, 3), granularity=Granularity.C_SHAPE, scheme=scheme, padding=0
    )
    weights = node.weights
    entries = weights.integers() // weights.multipliers
    assert weights.multipliers.max() > 1
    low, high = partial_sum_interval(node, source)
    for f, i, j in itertools.product(range(4), range(2), range(3)):
        sums = [
            sum(a * int(w) for a, w in zip(acts, entries[f, :, i, j], strict=True))
            for acts in itertools.product((0, source.max_decoded), repeat=3)
        ]
        assert (low[f, i, j], high[f, i, j]) == (min(sums), max(sums))
    assert partial_sum_bits(node, source, by_position=True) == signed_bits(
        int(low.min()), int(high.max())
    )
    whole = signed_bits(int(low.sum(axis=(1, 2)).min()), int(high.sum(axis=(1, 2)).max()))
    assert partial_sum_bits(node, source, by_position=False) == whole


def test_one_corner_needs_one_bit_more():
    """-8 * 255 * 8 = -16320 has 15 bits; with a ninth channel 16."""
    bits = []
    for channels in (8, 9):
        node, source = sample_conv(
            1, channels, 1, 1, padding=0, granularity=Granularity.LAYER, scheme="symmetric"
        )
        object.__setattr__(node.weights, "codes", np.zeros_like(node.weights.codes))
        bits.append(partial_sum_bits(node, source, by_position=True))
    assert bits == [15, 16]

# SPDX-License-Identifier: Apache-2.0
"""Group multipliers in Verilator at the ends of every proven width."""

import dataclasses

import numpy as np
import pytest

from hw.conv_cell import conv_cell
from quant.nodes import Requantizer
from quant.samples import sample_codes, sample_conv
from quant.schedule import Folding
from quant.weights import Granularity, Weights
from quant.widths import accumulator_bits, accumulator_interval
from sim.golden import run_conv

pytestmark = pytest.mark.rtl

SHAPE = (8, 4, 5)


def extreme_layer(granularity, multiplier):
    """Return a layer of one filter of largest and one of smallest weights; all bits are seen.

    The requantizer keeps the upper eight bits of the accumulator, so that a wrong carry shows.
    """
    groups = granularity.group_shape((2, 8, 3, 3))
    codes = np.zeros((2, 8, 3, 3), np.uint8)
    codes[0] = 15
    weights = Weights(
        codes=codes,
        bits=4,
        tables=np.array([np.arange(16) - 8]),
        selectors=np.zeros(groups),
        multipliers=np.full(groups, multiplier),
        scale=np.ones(1, np.float32),
        granularity=granularity,
        scheme="symmetric",
    )
    # One multiplier differs, or all would leave the whole sum.
    weights = dataclasses.replace(weights, multipliers=weights.multipliers - _first(groups))
    node, source = sample_conv(1, 8, 2, weights=weights)
    node = dataclasses.replace(node, bias=np.zeros(2, np.int64))
    bits = accumulator_bits(node, source)
    requant = Requantizer(
        np.full(2, 1 << 16), np.full(2, 16 + bits - 8), np.full(2, 128), 0, 255, 8
    )
    return dataclasses.replace(node, requant=requant), source


def _first(groups):
    ones = np.zeros(groups, np.uint8)
    ones.reshape(-1)[0] = 1
    return ones


def frames_of(source):
    return np.stack([np.full(SHAPE, q) for q in (255, 0, source.zero_code, 255)])


@pytest.mark.parametrize(
    ("granularity", "multiplier"),
    [(Granularity.C_SHAPE, 63), (Granularity.F_SHAPE, 255), (Granularity.CHANNEL, 255)],
)
def test_extremes_reach_the_proven_width(granularity, multiplier, cell_device):
    node, source = extreme_layer(granularity, multiplier)
    frames = frames_of(source)
    expected, sums = run_conv(node, source, frames)
    low, high = accumulator_interval(node, source)
    assert (sums.min(), sums.max()) == (low.min(), high.max())
    cell_device(conv_cell(node, SHAPE, source, Folding(2, 4), "dut_")).check(expected, frames)


@pytest.mark.parametrize("name", ["PartBits", "AccBits"])
def test_one_bit_less_is_seen(name, cell_device):
    """Both proofs are tight: the widths that they give cannot be smaller."""
    node, source = extreme_layer(Granularity.C_SHAPE, 63)
    frames = frames_of(source)
    expected, _ = run_conv(node, source, frames)
    cell = conv_cell(node, SHAPE, source, Folding(2, 4), "dut_")
    narrow = {**cell.parameters, name: cell.parameters[name] - 1}
    device = cell_device(dataclasses.replace(cell, parameters=narrow))
    assert not np.array_equal(device.run(frames)[1], expected)


@pytest.mark.parametrize(
    ("granularity", "groups", "folding"),
    [
        (Granularity.C_SHAPE, 1, Folding(2, 4, core="plain_dsp")),
        (Granularity.F_SHAPE, 8, Folding(4, 1)),
        (Granularity.CHANNEL, 2, Folding(2, 2)),
    ],
)
def test_eight_bit_codes_and_a_decoded_input(granularity, groups, folding, cell_device):
    node, source = sample_conv(
        9, 8, 8, stride=2, groups=groups, weight_bits=8, granularity=granularity, table=True,
        codebook=True, scheme="affine",
    )  # fmt: skip
    assert node.weights.multiplier_bits > 0
    assert len(np.unique(node.weights.selectors)) > 1
    frames = sample_codes(4, (3, *SHAPE), source.bits)
    expected, _ = run_conv(node, source, frames)
    assert len(np.unique(expected)) > 10
    cell_device(conv_cell(node, SHAPE, source, folding, "dut_")).check(expected, frames)

# SPDX-License-Identifier: Apache-2.0
"""Proofs of packed cores: intervals against every corner, unpacking at the limit and beyond it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hw.packing import (
    LANE_LIMIT,
    LaneProof,
    lane_interval,
    packed_operands,
    prove_core,
)
from quant.errors import PlanError
from quant.samples import sample_conv
from quant.schedule import Core
from quant.weights import Granularity

LANE = 11


def unpack11(product, lanes):
    """Return the lanes of 11 bits of a product: signed bits plus the bit below."""
    found = []
    for i in range(lanes):
        bits = (product >> LANE * i) & (2**LANE - 1)
        below = (product >> (LANE * i - 1)) & 1 if i else 0
        found.append((bits ^ 2 ** (LANE - 1)) - 2 ** (LANE - 1) + below)
    return found


def corners(count, largest):
    return itertools.product((0, largest), repeat=count)


@pytest.mark.parametrize("cascade", [1, 2])
@pytest.mark.parametrize("core", ["outer4", "pack6"])
def test_interval_is_that_of_every_corner(core, cascade):
    rng = np.random.default_rng(cascade)
    operands = rng.integers(-8, 8, (3, 4, 2, 3))
    largest = 13
    sums = []
    for f, c, kh in itertools.product(range(3), range(0, 4, cascade), range(2)):
        chain = operands[f, c : c + cascade, kh]
        for acts in corners(2 * cascade, largest):
            a = np.array(acts).reshape(cascade, 2)
            if core == "outer4":
                sums += [int(chain[:, k] @ a[:, 0]) for k in range(3)]
            else:
                # Correlation: the last weight of the row meets the first pixel.
                w = chain[:, ::-1]
                sums += [int(w[:, 0] @ a[:, 0]), int(w[:, 2] @ a[:, 1])]
                sums += [int(w[:, j] @ a[:, 1] + w[:, j + 1] @ a[:, 0]) for j in (0, 1)]
    assert lane_interval(operands, core, cascade, largest) == (min(sums), max(sums))


def test_lanes_are_exact_up_to_the_limit_and_not_beyond():
    for lanes in itertools.product((-LANE_LIMIT, -1, 0, 1, LANE_LIMIT), repeat=4):
        assert unpack11(sum(v << LANE * i for i, v in enumerate(lanes)), 4) == list(lanes)
    # A borrow from below makes the first value outside the limit wrap.
    assert unpack11(-1 + ((-LANE_LIMIT - 1) << LANE), 2) == [-1, LANE_LIMIT + 1]
    assert unpack11((LANE_LIMIT + 1) << LANE, 2) == [0, -LANE_LIMIT - 1]


def test_pack12_recovers_overlapping_lanes():
    rng = np.random.default_rng(3)
    for w in itertools.product((-7, -1, 0, 7), repeat=3):
        draws = [*corners(4, 15), *rng.integers(0, 16, (4, 4)).tolist()]
        for a in draws:
            values = [sum(w[j] * a[i - j] for j in range(3) if 0 <= i - j < 4) for i in range(6)]
            product = sum(v << 7 * i for i, v in enumerate(values))
            spills = []
            for i in range(5):
                spill = ((product >> 7 * (i + 1)) - values[i + 1]) % 8
                spills.append(spill - 8 if spill > 3 else spill)
            found = [
                ((product >> 7 * i) % 128) + 128 * spills[i] - (spills[i - 1] if i else 0)
                for i in range(5)
            ]
            found.append((product >> 35) - spills[4])
            assert found == values


def symmetric(**options):
    return sample_conv(1, 8, 8, scheme="symmetric", act_bits=4, **options)


def with_codes(node, codes):
    return replace(node, weights=replace(node.weights, codes=np.uint8(codes)))


def extreme(code, *, act_bits=4):
    node, source = sample_conv(
        1, 8, 8, scheme="symmetric", act_bits=act_bits, granularity=Granularity.LAYER
    )
    return with_codes(node, np.full(node.weights.shape, code)), source


@pytest.mark.parametrize(
    ("core", "code", "act_bits", "cascade", "low", "high"),
    [
        ("outer4", 0, 4, 8, -960, 0),
        ("outer4", 15, 6, 2, 0, 882),
        ("pack6", 0, 4, 4, -960, 0),
        ("pack6", 15, 4, 4, 0, 840),
        ("pack6", 7, 4, 8, -240, 0),
        ("w4a8", 0, 8, 4, -960, 0),
        ("pack12", 1, 4, 1, -3, 0),
        ("pack12", 15, 4, 1, 0, 2),
    ],
)
def test_extreme_layers(core: Core, code, act_bits, cascade, low, high):
    node, source = extreme(code, act_bits=act_bits)
    assert prove_core(node, source, core, 8) == LaneProof(
        core, cascade, low, high, prove_core(node, source, core, 8).operand_bits
    )


def test_smaller_weights_allow_longer_chains():
    node, source = sample_conv(1, 32, 8, scheme="symmetric", act_bits=4)
    small = with_codes(node, np.clip(node.weights.codes, 6, 10))
    assert prove_core(extreme(0)[0], source, "pack6", 8).cascade == 4
    assert prove_core(node, source, "pack6", 32).cascade == 8
    assert prove_core(small, source, "pack6", 32).cascade == 16


def refused(node, source, core: Core, simd=8):
    with pytest.raises(PlanError) as caught:
        prove_core(node, source, core, simd)
    return str(caught.value)


def test_refusals():
    node, source = extreme(0)
    assert refused(node, source, "pack12") == (
        "'conv': three weights of core 'pack12' make words -132104..-132104; limit "
        "-131072..131071; quantize it with narrow weights (-7..7) or use pack6"
    )
    assert refused(node, source, "plain_lut") == (
        "'conv': core 'plain_lut' is not packed; use outer4, pack6, pack12, w4a8"
    )
    assert refused(node, source, "w4a8") == (
        "'conv' reads activations of 4 bits; core 'w4a8' takes 5 to 8; choose another core"
    )
    wide, wide_source = sample_conv(1, 8, 8, scheme="codebook", act_bits=4, weight_bits=5)
    operands, _ = packed_operands(wide)
    low, high = int(operands.min()), int(operands.max())
    assert max(-low, high) > 16
    assert refused(wide, wide_source, "outer4").startswith(f"'conv' has weights {low}..{high}, ")
    strided, strided_source = symmetric(stride=2)
    assert refused(strided, strided_source, "pack6") == (
        "'conv' has a 3x3 kernel with horizontal stride 2; core 'pack6' takes rows of 3 with "
        "stride 1; use outer4"
    )
    odd, odd_source = symmetric()
    with pytest.raises(PlanError) as caught:
        prove_core(odd, odd_source, "pack6", 3)
    assert str(caught.value) == (
        "'conv' has 8 channels per filter, not a multiple of SIMD=3; divisors near 3: 2, 4"
    )


def test_lanes_beyond_their_bits_are_refused():
    """Five-bit weights times six-bit activations: one block alone is too much."""
    node, source = sample_conv(1, 8, 8, scheme="symmetric", act_bits=6, weight_bits=5)
    edge = with_codes(node, np.zeros(node.weights.shape))
    operands, _ = packed_operands(edge)
    assert int(operands.min()) == -16
    assert prove_core(edge, source, "outer4", 8).low == -16 * 63
    wide = replace(source, bits=6)
    assert lane_interval(operands, "outer4", 2, wide.max_decoded)[0] == -2 * 16 * 63


def test_carries_beyond_three_bits_are_refused():
    node, _ = extreme(1)
    _, source = extreme(1, act_bits=5)
    assert refused(node, source, "pack12") == (
        "'conv': lanes of core 'pack12' carry -6..0, its top one holds -221..0; limits -4..3 "
        "and -128..127; use pack6"
    )


@pytest.mark.parametrize("granularity", [Granularity.LAYER, Granularity.FILTER])
@pytest.mark.parametrize("scheme", ["affine", "symmetric", "pwlq"])
def test_operands_and_offsets_are_the_weights(scheme, granularity):
    node, _ = sample_conv(2, 8, 8, scheme=scheme, granularity=granularity)
    operands, offsets = packed_operands(node)
    integers = node.weights.integers()
    assert np.array_equal(operands + offsets[:, None, None, None], integers)
    if scheme != "pwlq":
        assert operands.min() >= -8
        assert operands.max() <= 7
        assert bool(np.any(offsets)) == (scheme == "affine")


def test_depthwise_layers_are_refused():
    node, source = sample_conv(2, 8, 8, 3, 1, 1, 8, act_bits=4, scheme="symmetric")
    assert refused(node, source, "outer4", 1) == (
        "'conv' is depthwise; core 'outer4' shares activations between filters; use plain_lut or "
        "plain_dsp"
    )

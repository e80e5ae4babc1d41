# SPDX-License-Identifier: Apache-2.0
"""Stored integers of every scheme at every granularity: contract, decoding, nearest levels."""

import re
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from quant.errors import QuantizationError
from quant.graph import QGraph
from quant.nodes import Input, Output
from quant.ptq.lower import sqnr_db
from quant.ptq.schemes.integers import MULTIPLIER_BITS
from quant.ptq.schemes.mixture import CANDIDATES, RULES, mixed, multiplier_cost
from quant.ptq.schemes.setting import Setting, quantize_layer
from quant.ptq.schemes.tables import deduplicated_tables, e2m1_tables
from quant.ptq.weightquant import SCHEME_BITS, LayerGroups, Rounding, SchemeName
from quant.samples import sample_conv
from quant.weights import ENTRY_LIMIT, Granularity, Weights, signed_bits
from sim.golden import GoldenModel

SCHEMES = get_args(SchemeName)
PAIRS = [(s, b) for s in SCHEMES for b in sorted({*SCHEME_BITS[s], 4, 5}) if b >= SCHEME_BITS[s][0]]
PAIRS = [(s, b) for s, b in PAIRS if b <= SCHEME_BITS[s][1]]


def drawn(shape=(6, 5, 3, 3), seed=0):
    rng = np.random.default_rng(seed)
    return (rng.laplace(size=shape) * rng.lognormal(0, 0.4, (shape[0], 1, *shape[2:]))).astype(
        np.float32
    )


def decoded(weights):
    """The contract's formula in plain loops."""
    found = np.zeros(weights.shape, np.int64)
    for place in np.ndindex(*weights.shape):
        group = tuple(
            i if n > 1 else 0 for i, n in zip(place, weights.selectors.shape, strict=True)
        )
        table = weights.tables[int(weights.selectors[group])]
        found[place] = int(weights.multipliers[group]) * int(table[int(weights.codes[place])])
    return found


@pytest.mark.parametrize(("scheme", "bits"), PAIRS)
@pytest.mark.parametrize("granularity", list(Granularity))
def test_codes_are_the_nearest_stored_levels(scheme, bits, granularity):
    weight = drawn()
    weights = LayerGroups(weight, granularity).quantize(Rounding(scheme, bits)).weights
    assert weights.bits == bits
    assert weights.granularity is granularity
    assert int(np.abs(weights.tables).max()) <= ENTRY_LIMIT[bits]
    assert weights.multiplier_bits <= MULTIPLIER_BITS[granularity]
    assert (decoded(weights) == weights.integers()).all()
    scale = np.broadcast_to(weights.scale.astype(np.float64), 6)
    units = weight / scale[:, None, None, None]
    levels = (
        np.broadcast_to(weights.multipliers, weight.shape)[..., None].astype(np.float64)
        * weights.tables[np.broadcast_to(weights.selectors, weight.shape)]
    )
    distance = np.abs(units[..., None] - levels).min(axis=-1)
    assert (np.abs(units - weights.integers()) <= distance * (1 + 1e-12)).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_integers_lose_little_against_real_levels(scheme):
    weight = drawn((16, 64, 3, 3))
    bits = 5 if scheme.startswith("pwlq") and scheme != "pwlq16" else 4
    # Small groups have free codebooks of their own, 16 tables cannot follow.
    coarse = (Granularity.LAYER, Granularity.FILTER, Granularity.CHANNEL)
    for granularity in coarse if scheme == "codebook" else Granularity:
        found = LayerGroups(weight, granularity).quantize(Rounding(scheme, bits))
        real = sqnr_db(weight, found.real)
        stored = sqnr_db(weight, found.stored_real)
        # Shared tables cost a free codebook most; small groups of PWLQ have ratios of their own.
        assert stored > real - (2.0 if scheme == "codebook" else 0.8)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 8])
def test_wider_multipliers_come_closer_to_real_scales(bits):
    weight = drawn((8, 128, 3, 3))
    rounding = Rounding("affine", 4, multiplier_bits=bits)
    found = LayerGroups(weight, Granularity.C_SHAPE).quantize(rounding)
    assert int(found.weights.multipliers.max()) == (1 << bits) - 1
    lost = sqnr_db(weight, found.real) - sqnr_db(weight, found.stored_real)
    limit = {1: 9.0, 2: 2.0, 3: 0.6, 4: 0.2, 5: 0.1, 6: 0.03, 8: 0.01}[bits]
    assert lost < limit


def test_groups_of_one_scale_need_no_multiplier():
    weight = drawn((6, 5, 1, 1))
    for granularity in (Granularity.C_SHAPE, Granularity.FILTER):
        found = LayerGroups(weight, granularity).quantize(Rounding("affine", 4))
        assert found.weights.multiplier_bits == 0


@pytest.mark.parametrize("granularity", list(Granularity))
def test_a_raised_scale_holds_for_its_filter_alone(granularity):
    weight = drawn()
    least = np.full(6, 1e-12)
    least[2] = 50.0
    groups = LayerGroups(weight, granularity)
    raised = groups.quantize(Rounding("affine", 4), least).weights
    usual = groups.quantize(Rounding("affine", 4)).weights
    scale = np.broadcast_to(raised.scale, 6)
    assert scale[2] == np.float32(50.0)
    assert not raised.integers()[2].any()
    others = [0, 1, 3, 4, 5]
    assert (raised.integers()[others] == usual.integers()[others]).all()


@pytest.mark.parametrize("granularity", list(Granularity))
def test_weights_of_zero_stay_zero(granularity):
    weight = drawn()
    weight[1] = 0.0
    for scheme, bits in (("affine", 4), ("pwlq", 5), ("e2m1-spare", 4), ("codebook", 4)):
        found = LayerGroups(weight, granularity).quantize(Rounding(scheme, bits))
        assert not found.weights.integers()[1].any()


def test_tables_of_a_true_four_bits_by_hand():
    tables = deduplicated_tables()
    assert tables.shape == (16, 16)
    assert tables[0].tolist() == list(range(-7, 9))
    assert tables[7].tolist() == [-31, -26, -21, -16, -11, -6, -4, -2, 0, 2, 4, 6, 11, 16, 21, 26]
    plain = e2m1_tables(spare=False)
    assert sorted(set(plain[0].tolist())) == [
        *(-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12),
    ]
    spare = e2m1_tables(spare=True)
    assert spare.shape == (7, 16)
    assert spare[1].tolist()[-2:] == [12, 16]
    assert spare[2].tolist()[:2] == [-16, -12]


def test_the_order_of_codes_at_four_bits():
    """On heavy tails: PWLQ as printed, affine, PWLQ-16, E2M1 with a spare, the free codebook."""
    weight = np.random.default_rng(2).laplace(size=(32, 370, 1, 1)).astype(np.float32)
    groups = LayerGroups(weight, Granularity.FILTER)
    found = [
        sqnr_db(weight, groups.quantize(Rounding(s, 4, "mse")).stored_real)
        for s in ("pwlq", "affine", "pwlq16", "e2m1-spare", "codebook")
    ]
    assert found == sorted(found)


def test_importance_moves_levels_to_where_it_counts():
    weight = drawn((4, 64, 1, 1))
    energy = np.ones((1, 64, 1, 1))
    energy[:, :32] = 100.0
    for scheme in ("codebook", "e2m1-spare"):
        rounding = Rounding(scheme, 4, "mse")
        plain = LayerGroups(weight, Granularity.FILTER).quantize(rounding)
        weighed = LayerGroups(weight, Granularity.FILTER, energy).quantize(rounding)

        def lost(found):
            return float((energy * np.square(found.stored_real - weight)).sum())

        assert lost(weighed) < lost(plain)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("e2m1", 5), "scheme 'e2m1' with 5 stored bits is not available; it has 4"),
        (("pwlq", 2), "scheme 'pwlq' with 2 stored bits is not available; it has 3 to 8"),
        (("affine", 9), "scheme 'affine' with 9 stored bits is not available; it has 2 to 8"),
    ],
)
def test_roundings_that_do_not_exist(fields, message):
    with pytest.raises(QuantizationError, match=f"^{re.escape(message)}$"):
        Rounding(*fields)


def test_breakpoints_and_multipliers_are_checked():
    with pytest.raises(
        QuantizationError, match=r"^PWLQ with 4 breakpoints is not available; choose 1 to 3$"
    ):
        Rounding("pwlq", 6, breakpoints=4)
    with pytest.raises(
        QuantizationError, match=r"^group multipliers of 9 bits are not available; 1 to 8$"
    ):
        Rounding("affine", 4, multiplier_bits=9)


@pytest.mark.parametrize("count", [2, 3])
def test_several_breakpoints_are_better_and_stored(count):
    weight = np.random.default_rng(4).standard_t(4, (4, 800, 1, 1)).astype(np.float32)
    groups = LayerGroups(weight, Granularity.FILTER)
    one = groups.quantize(Rounding("pwlq", 5))
    more = groups.quantize(Rounding("pwlq", 6, breakpoints=count))
    assert sqnr_db(weight, more.real) > sqnr_db(weight, one.real) + 1.0
    assert sqnr_db(weight, more.stored_real) > sqnr_db(weight, more.real) - 0.7
    assert more.breakpoints.real.shape == (4, count)


def test_breakpoints_of_both_forms_meet():
    weight = drawn((4, 64, 3, 3))
    found = LayerGroups(weight, Granularity.C_SHAPE).quantize(Rounding("pwlq", 5))
    points, weights = found.breakpoints, found.weights
    scale = np.repeat(weights.scale.astype(np.float64), 9)
    assert (points.tops == np.abs(found.grouping.rows(weight)).max(axis=1)).all()
    assert (points.integers < points.integer_tops).all()
    # A table's breakpoint is that of the nearest of 16 ratios.
    apart = np.abs(points.integers * scale - points.real[:, 0]) / points.tops
    assert float(np.median(apart)) < 0.05


def test_mixtures_take_the_best_by_their_rule():
    weight = drawn((6, 40, 3, 3))
    each = [quantize_layer(weight, Setting(Rounding("affine", 4), str(g))) for g in CANDIDATES]
    errors = [float(np.square(e.real - weight).sum()) for e in each]
    best = quantize_layer(weight, Setting(Rounding("affine", 4), "mixture"))
    assert best.weights.granularity is each[int(np.argmin(errors))].weights.granularity
    # The wide operand of F-shapes is never bought for nothing.
    costs = [multiplier_cost(e.weights, 8) for e in each]
    stored = [float(np.square(e.stored_real - weight).sum()) for e in each]
    prices = [e * c for e, c in zip(stored, costs, strict=True)]
    found = mixed(weight, Rounding("affine", 4), "hardware")
    assert found.weights.granularity is each[int(np.argmin(prices))].weights.granularity
    assert len(RULES) == 3


@pytest.mark.parametrize("scheme", ["affine", "pwlq"])
def test_the_groups_of_a_point_are_stored_alike_filter_and_c_shape_wise(scheme):
    weight = drawn((6, 40, 1, 1))
    bits = 5 if scheme == "pwlq" else 4
    first, second = (
        quantize_layer(weight, Setting(Rounding(scheme, bits), g)) for g in ("filter", "c-shape")
    )
    assert (first.real == second.real).all()
    assert (first.weights.integers() == second.weights.integers()).all()
    assert (first.weights.scale == second.weights.scale).all()
    assert CANDIDATES[-1] is Granularity.C_SHAPE


def test_stored_bits_keep_tiny_groups_out_of_a_mixture():
    # Depthwise: by error every weight gets its own group, at more bits than it has.
    weight = drawn((32, 1, 3, 3))
    by_error = quantize_layer(weight, Setting(Rounding("affine", 4), "mixture")).weights
    by_bits = quantize_layer(weight, Setting(Rounding("affine", 4), "mixture-bits")).weights
    assert by_error.granularity is Granularity.C_SHAPE
    assert by_bits.groups < by_error.groups


def test_multiplier_cost_by_hand():
    codes = np.zeros((2, 4, 1, 2), np.uint8)
    table = np.arange(16, dtype=np.int16)[None] - 8
    for granularity, multiplier, expected in (
        (Granularity.FILTER, 1, 8 * 4),
        # Table entries of 4 bits meet 8-bit inputs, the sum over 4 channels a 6-bit multiplier.
        (Granularity.C_SHAPE, 63, 8 * 4 + (8 + 4 + 2) * 6 / 4),
        (Granularity.F_SHAPE, 255, 8 * signed_bits(-8 * 255, -8 * 255)),
    ):
        shape = granularity.group_shape((2, 4, 1, 2))
        multipliers = np.full(shape, multiplier, np.uint8)
        weights = Weights(
            codes, 4, table, np.zeros(shape, np.uint8), multipliers, np.ones(1, np.float32),
            granularity, "symmetric",
        )  # fmt: skip
        assert multiplier_cost(weights, 8) == expected


@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize(("scheme", "bits"), [("affine", 4), ("pwlq", 5), ("codebook", 4)])
def test_golden_decodes_them(scheme, bits, granularity):
    conv, source = sample_conv(
        1, 3, 6, weight_bits=8, scheme="affine", granularity=Granularity.FILTER, table=False,
        names=("conv", "image"),
    )  # fmt: skip
    weights = (
        LayerGroups(drawn(conv.weights.shape), granularity).quantize(Rounding(scheme, bits)).weights
    )
    conv = replace(conv, weights=weights)
    graph = QGraph("one", (Input("image", (3, 6, 7), source), conv, Output("out", "conv")))
    codes = np.random.default_rng(1).integers(0, 1 << source.bits, (1, 3, 6, 7)).astype(np.uint8)
    run = GoldenModel(graph).run(codes, accumulators=["conv"])
    integers = decoded(weights)
    decode = np.arange(1 << source.bits) if source.codebook is None else np.asarray(source.codebook)
    values = decode[codes[0]].astype(np.int64)
    top, left, bottom, right = conv.padding
    padded = np.full((3, 6 + top + bottom, 7 + left + right), source.zero_point, np.int64)
    padded[:, top : top + 6, left : left + 7] = values
    found = run.accumulators["conv"][0]
    for f, y, x in np.ndindex(*found.shape):
        window = padded[
            :,
            y * conv.stride[0] : y * conv.stride[0] + integers.shape[2],
            x * conv.stride[1] : x * conv.stride[1] + integers.shape[3],
        ]
        assert found[f, y, x] == int(conv.bias[f]) + int((window * integers[f]).sum())


def test_multipliers_are_the_nearest_integers():
    # Steps of the two kernel positions are 3 and 1.52 of the scale's three units.
    weight = np.stack([np.arange(16.0), np.arange(16.0) * 1.52 / 3.0], axis=-1)
    weight = weight.reshape(1, 16, 1, 2).astype(np.float32)
    rounding = Rounding("affine", 4, multiplier_bits=2)
    weights = LayerGroups(weight, Granularity.C_SHAPE).quantize(rounding).weights
    assert weights.multipliers.reshape(-1).tolist() == [3, 2]

# SPDX-License-Identifier: Apache-2.0
"""Packed cores that group multipliers leave: by kernel column, by channel, by table."""

import dataclasses

import numpy as np
import pytest

from hw.core_choice import cores_left, prove_group_core
from hw.packing import LaneProof, prove_core
from quant.errors import PlanError
from quant.samples import sample_conv
from quant.weights import Granularity


def layer(granularity, scheme="symmetric", **options):
    return sample_conv(2, 8, 8, act_bits=4, granularity=granularity, scheme=scheme, **options)


def possible(granularity, scheme="symmetric", **options):
    node, source = layer(granularity, scheme, **options)
    left = cores_left(node, source, 8)
    assert list(left) == ["outer4", "pack6", "pack12", "w4a8"]
    return [core for core, proof in left.items() if isinstance(proof, LaneProof)]


def test_without_multipliers_the_proof_is_that_of_the_core():
    node, source = layer(Granularity.FILTER)
    assert prove_group_core(node, source, "pack6", 8) == prove_core(node, source, "pack6", 8)
    assert possible(Granularity.FILTER) == ["outer4", "pack6"]


def test_multipliers_by_kernel_column_leave_single_taps():
    node, source = layer(Granularity.C_SHAPE)
    assert possible(Granularity.C_SHAPE) == ["outer4"]
    with pytest.raises(PlanError) as caught:
        prove_group_core(node, source, "pack6", 8)
    assert str(caught.value) == (
        "'conv' has group multipliers that differ between the columns of a kernel row; core "
        "'pack6' sums three columns at once; use outer4"
    )


def test_multipliers_by_kernel_row_alone_leave_rows():
    node, source = layer(Granularity.C_SHAPE)
    factors = np.broadcast_to(node.weights.multipliers[..., :1], node.weights.multipliers.shape)
    weights = dataclasses.replace(node.weights, multipliers=factors)
    proof = prove_group_core(dataclasses.replace(node, weights=weights), source, "pack6", 8)
    # What the core sums has no multiplier in it: the lanes are those of the entries.
    ones = dataclasses.replace(weights, multipliers=np.ones_like(factors))
    bare = dataclasses.replace(node, weights=ones)
    assert proof == prove_core(bare, source, "pack6", 8)


@pytest.mark.parametrize("granularity", [Granularity.CHANNEL, Granularity.F_SHAPE])
def test_multipliers_by_channel_widen_the_activations(granularity):
    node, source = layer(granularity)
    assert possible(granularity) == []
    with pytest.raises(PlanError) as caught:
        prove_group_core(node, source, "outer4", 8)
    assert str(caught.value) == (
        "'conv' reads activations of 12 bits; core 'outer4' takes 1 to 6; choose another core"
    )
    small = np.clip(node.weights.multipliers, 1, 4)  # 15 * 4 has six bits
    weights = dataclasses.replace(node.weights, multipliers=small)
    assert prove_group_core(dataclasses.replace(node, weights=weights), source, "outer4", 8)


def test_wide_tables_leave_none():
    assert possible(Granularity.FILTER, "pwlq", weight_bits=5) == []


def test_every_core_left_out_says_why():
    node, source = layer(Granularity.FILTER, stride=2)
    left = cores_left(node, source, 8)
    assert isinstance(left["outer4"], LaneProof)
    for core in ("pack6", "pack12", "w4a8"):
        with pytest.raises(PlanError) as caught:
            prove_group_core(node, source, core, 8)
        assert left[core] == str(caught.value)

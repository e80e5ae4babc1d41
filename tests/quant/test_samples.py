# SPDX-License-Identifier: Apache-2.0
"""The samples are legal, repeat themselves and cover what they promise."""

import numpy as np
import pytest

from quant.graph import QGraph
from quant.nodes import Conv, Input, Output
from quant.samples import sample_codes, sample_conv, sample_format, sample_graph, sample_weights
from quant.weights import Granularity


def test_graphs_repeat_themselves_and_differ_by_seed():
    assert sample_graph(4).digest == sample_graph(4).digest
    digests = {sample_graph(s, act_bits=a).digest for s in range(3) for a in (4, 8)}
    assert len(digests) == 6


@pytest.mark.parametrize("act_bits", [4, 5, 6, 7, 8])
@pytest.mark.parametrize("weight_bits", [2, 4, 8])
def test_graphs_exist_at_every_width(act_bits, weight_bits):
    graph = sample_graph(1, act_bits=act_bits, weight_bits=weight_bits)
    assert len({type(n) for n in graph.nodes}) == 12
    assert {n.weights.bits for n in graph.convs} == {weight_bits}
    assert graph.formats["boxes"].bits == act_bits
    assert graph.formats["scores"].bits == 12
    assert len(graph.formats["boxes"].ranges) == 3


@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize("scheme", ["affine", "symmetric", "pwlq", "codebook"])
@pytest.mark.parametrize("table", [False, True])
def test_convolutions_are_legal_in_a_graph(granularity, scheme, table):
    for bits in (4, 5) if scheme == "pwlq" else (1, 4, 8):
        node, fmt = sample_conv(
            bits, 16, 16, weight_bits=bits, table=table, granularity=granularity, scheme=scheme
        )
        image = Input("x", (16, 6, 6), sample_format(16, 8, zero=fmt.zero_point))
        graph = QGraph("one", (image, node, Output("y", "conv")))
        assert isinstance(graph.node("conv"), Conv)
        assert (node.table is not None) == table
        assert node.requant.multiplier[-1] == 0


def test_group_multipliers_have_the_width_of_their_granularity():
    shape = (16, 16, 3, 3)
    largest = {
        g: int(sample_weights(0, shape, granularity=g).multipliers.max()) for g in Granularity
    }
    assert largest[Granularity.LAYER] == largest[Granularity.FILTER] == 1
    assert 16 <= largest[Granularity.C_SHAPE] <= 31
    assert 128 <= largest[Granularity.F_SHAPE] <= 255


def test_pwlq_tables_have_their_integer_breakpoint():
    table = sample_weights(1, (8, 4, 3, 3), weight_bits=5, scheme="pwlq").tables[0]
    assert table[:16].tolist() == list(range(-16, 16, 2))
    assert table[16] == 15
    assert table[24] == -15
    assert np.array_equal(table[16:24], -table[24:])


def test_codebooks_increase_and_contain_their_zero():
    fmt = sample_format(3, 4, codebook=True, zero=5)
    assert fmt.codebook == (*range(12), 12, 15, 18, 21)
    assert fmt.zero_code == 5


def test_codes_use_their_width():
    assert sample_codes(0, (4, 50, 50), 4).max() == 15
    assert sample_codes(0, (4, 50, 50), 8).dtype == np.uint8
    assert sample_codes(0, (4, 50, 50), 12).dtype == np.uint16

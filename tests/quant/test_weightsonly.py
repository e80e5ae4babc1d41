# SPDX-License-Identifier: Apache-2.0
"""Weights alone: both accountings, and the published figures of YOLOv7 from shapes alone."""

import re
from dataclasses import replace

import numpy as np
import pytest

from quant.bundle.layout import MemoryKind
from quant.errors import GraphError, QuantizationError
from quant.memory import published_ratio, published_ratio_of_counts
from quant.ptq.schemes.integers import MULTIPLIER_BITS
from quant.ptq.weightquant import LayerGroups, Rounding
from quant.weights import Granularity
from quant.weightsonly import (
    LayerWeights,
    WeightsModel,
    honest_ratio_of_shapes,
    weights_memory,
)
from quant.zoo.yolov7 import yolov7_description
from tests.quant.skeletons import skeleton


def yolov7():
    """YOLOv7 as trained: convolution shapes and the count of all else."""
    parameters = list(skeleton(yolov7_description("yolov7", "training")).named_parameters())
    shapes = [tuple(p.shape) for n, p in parameters if p.ndim == 4 and n.endswith("weight")]
    weights = sum(int(np.prod(s)) for s in shapes)
    return shapes, sum(p.numel() for _, p in parameters) - weights


@pytest.fixture(scope="module")
def trained():
    return yolov7()


def deploy_shapes(shapes):
    """The fused form: the 1x1 branch of every RepConv is gone into its 3x3."""
    left = list(shapes)
    for branch in ((256, 128, 1, 1), (512, 256, 1, 1), (1024, 512, 1, 1)):
        place = len(left) - 1 - left[::-1].index(branch)
        assert left[place - 1] == (*branch[:2], 3, 3)
        del left[place]
    return left


def test_yolov7_has_the_published_counts(trained):
    shapes, others = trained
    assert len(shapes) == 95
    assert sum(int(np.prod(s)) for s in shapes) == 37_569_632
    assert others == 53_050


# (overhead per group as published, C-shape, mixture of the finer shapes)
@pytest.mark.parametrize(
    ("overhead", "c_shape", "mixture"), [(20, "3.93", "3.92"), (40, "3.88", "3.86")]
)
def test_the_published_ratios_from_shapes(trained, overhead, c_shape, mixture):
    shapes, others = trained
    ratio = published_ratio(shapes, Granularity.C_SHAPE, 4, overhead, others)
    assert f"{ratio:.2f}" == c_shape
    finest = sum(max(f, c) * kh * kw for f, c, kh, kw in shapes)
    weights = sum(int(np.prod(s)) for s in shapes)
    ratio = published_ratio_of_counts(weights, finest, 4, overhead, others)
    assert f"{ratio:.2f}" == mixture


# Codes, tables, selectors, multipliers, 32-bit scales, 16-bit biases of the fused network.
@pytest.mark.parametrize(
    ("scheme", "bits", "granularity", "four_bit_head", "eight_bit_head"),
    [
        ("affine", 4, Granularity.FILTER, "3.966", "3.915"),
        ("affine", 4, Granularity.C_SHAPE, "3.944", "3.894"),
        ("pwlq", 5, Granularity.FILTER, "3.174", "3.149"),
        ("pwlq", 5, Granularity.C_SHAPE, "3.160", "3.136"),
    ],
)
def test_honest_ratios_beside_them(
    trained, scheme, bits, granularity, four_bit_head, eight_bit_head
):
    shapes = deploy_shapes(trained[0])
    assert len(shapes) == 92
    for head, expected in ((bits, four_bit_head), (8, eight_bit_head)):
        layers = [(s, head if s[0] == 255 else bits, granularity) for s in shapes]
        assert f"{honest_ratio_of_shapes(layers, scheme, MULTIPLIER_BITS):.3f}" == expected


def finer(shape):
    """The finer of F- and C-shape."""
    return Granularity.F_SHAPE if shape[1] > shape[0] else Granularity.C_SHAPE


@pytest.mark.parametrize(
    ("scheme", "bits", "four_bit_head", "eight_bit_head"),
    [("affine", 4, "3.945", "3.894"), ("pwlq", 5, "3.160", "3.136")],
)
def test_honest_ratios_of_the_mixture_of_finer_shapes(
    trained, scheme, bits, four_bit_head, eight_bit_head
):
    shapes = deploy_shapes(trained[0])
    for head, expected in ((bits, four_bit_head), (8, eight_bit_head)):
        layers = [(s, head if s[0] == 255 else bits, finer(s)) for s in shapes]
        assert f"{honest_ratio_of_shapes(layers, scheme, MULTIPLIER_BITS):.3f}" == expected


def rounded(scheme, bits, granularity, shape=(6, 5, 3, 3)):
    weight = np.random.default_rng(3).laplace(size=shape).astype(np.float32)
    found = LayerGroups(weight, granularity).quantize(Rounding(scheme, bits))
    return LayerWeights("conv", found.weights, shape[0])


def test_pwlq_c_shape_by_hand():
    layer = rounded("pwlq", 5, Granularity.C_SHAPE)
    weights = layer.weights
    memory = weights_memory([layer])
    assert {line.kind: (line.count, line.bits) for line in memory.lines} == {
        MemoryKind.CODES: (270, 270 * 5),
        MemoryKind.TABLES: (weights.tables.size, weights.tables.size * weights.table_bits),
        MemoryKind.SELECTORS: (54, 54 * weights.selector_bits),
        MemoryKind.GROUP_MULTIPLIERS: (54, 54 * 6),
        MemoryKind.SCALES: (6, 6 * 32),
        MemoryKind.BIASES: (6, 6 * 16),
    }
    assert memory.bits == sum(line.bits for line in memory.lines)
    assert memory.fp16_bits == 16 * 276
    # Four bits per weight and twice a scale and a zero point per group: the region bit is missing.
    assert memory.published_bits == 4 * 270 + 40 * 54 + 16 * 6
    assert memory.published_fp16_bits == 16 * 276


def test_a_codebook_has_no_published_figure():
    memory = weights_memory([rounded("e2m1", 4, Granularity.FILTER)])
    assert memory.published_ratio is None
    assert memory.honest_ratio > 1.0


def test_shapes_count_at_least_what_is_stored():
    for scheme, bits, granularity in (
        ("affine", 4, Granularity.FILTER),
        ("affine", 4, Granularity.C_SHAPE),
        ("symmetric", 4, Granularity.CHANNEL),
        ("pwlq", 5, Granularity.F_SHAPE),
    ):
        layer = rounded(scheme, bits, granularity)
        one = [(layer.weights.shape, bits, granularity)]
        shapes = honest_ratio_of_shapes(one, scheme, MULTIPLIER_BITS)
        assert shapes <= weights_memory([layer]).honest_ratio


def test_no_layers_are_refused():
    message = "there are 0 layers with weights; memory ratios need 1"
    with pytest.raises(QuantizationError, match=f"^{re.escape(message)}$"):
        weights_memory([])
    with pytest.raises(GraphError, match=r"^weights of 'net' have 0 layers; needed 1$"):
        WeightsModel("net", ())


def test_layers_of_one_name_are_refused():
    layer = rounded("affine", 4, Granularity.FILTER)
    assert WeightsModel("net", (layer, replace(layer, name="other"))).layers[1].name == "other"
    with pytest.raises(GraphError, match=r"^weights of 'net' name the layer 'conv' twice$"):
        WeightsModel("net", (layer, layer))

# SPDX-License-Identifier: Apache-2.0
"""Bit accounting against hand counts and against the published figures of YOLOv7."""

import re
from dataclasses import replace

import numpy as np
import pytest

from quant.bundle import MemoryKind, graph_tensors
from quant.errors import QuantizationError
from quant.formats import RowRange, TensorFormat
from quant.graph import QGraph
from quant.memory import (
    MemoryLine,
    fp16_bits,
    honest_bits,
    memory_summary,
    published_bits,
    published_overhead_bits,
    published_ratio,
    published_ratio_of_counts,
    published_weight_bits,
    weight_bits,
    weight_layers,
)
from quant.nodes import Input, Output, Requantize, Requantizer
from quant.samples import sample_conv, sample_format, sample_graph
from quant.weights import Granularity, Scheme

# YOLOv7 as trained: 95 convolutions.
YOLOV7_WEIGHTS = 37_569_632
YOLOV7_OTHERS = 53_050
C_SHAPE_GROUPS = 101_661
MIXTURE_GROUPS = 122_464


# As published


@pytest.mark.parametrize(
    ("scheme", "groups", "ratio", "printed"),
    [
        ("affine", C_SHAPE_GROUPS, 3.930, 3.93),
        ("pwlq", C_SHAPE_GROUPS, 3.879, 3.88),
        ("affine", MIXTURE_GROUPS, 3.920, 3.92),
        ("pwlq", MIXTURE_GROUPS, 3.858, 3.86),
    ],
)
def test_the_four_printed_figures(
    scheme: Scheme, groups: int, ratio: float, printed: float
) -> None:
    bits = 5 if scheme == "pwlq" else 4
    overhead = published_overhead_bits(scheme, bits)
    assert overhead == {"affine": 20, "pwlq": 40}[scheme]
    counted = published_ratio_of_counts(
        YOLOV7_WEIGHTS, groups, published_weight_bits(scheme, bits), overhead, YOLOV7_OTHERS
    )
    assert f"{counted:.3f}" == f"{ratio:.3f}"
    assert f"{counted:.2f}" == f"{printed:.2f}"


@pytest.mark.parametrize(
    ("overhead", "filter_", "channel", "f_shape", "c_shape", "with_others"),
    [
        (16, 3.989, 3.983, 3.953, 3.957, 3.941),
        (20, 3.986, 3.979, 3.941, 3.947, 3.930),
        (24, 3.984, 3.975, 3.929, 3.936, 3.920),
        (32, 3.978, 3.966, 3.907, 3.915, 3.899),
        (40, 3.973, 3.958, 3.884, 3.895, 3.879),
        (64, 3.957, 3.933, 3.817, 3.834, 3.819),
        (48, 3.968, 3.950, 3.861, 3.874, 3.859),
        (96, 3.936, 3.901, 3.732, 3.756, 3.742),
    ],
)
def test_every_encoding_of_the_study(
    overhead: int,
    filter_: float,
    channel: float,
    f_shape: float,
    c_shape: float,
    with_others: float,
) -> None:
    for groups, expected in (
        (25_629, filter_),
        (39_907, channel),
        (112_379, f_shape),
        (C_SHAPE_GROUPS, c_shape),
    ):
        ratio = published_ratio_of_counts(YOLOV7_WEIGHTS, groups, 4, overhead, 0)
        assert f"{ratio:.3f}" == f"{expected:.3f}"
    ratio = published_ratio_of_counts(YOLOV7_WEIGHTS, C_SHAPE_GROUPS, 4, overhead, YOLOV7_OTHERS)
    assert f"{ratio:.3f}" == f"{with_others:.3f}"


def test_a_counted_region_bit_costs_what_the_study_says() -> None:
    honest = published_ratio_of_counts(YOLOV7_WEIGHTS, C_SHAPE_GROUPS, 5, 40, YOLOV7_OTHERS)
    assert 3.0 < honest <= 3.17


@pytest.mark.parametrize(
    ("granularity", "groups"),
    [
        (Granularity.LAYER, 2),
        (Granularity.FILTER, 8 + 5),
        (Granularity.CHANNEL, 3 + 7),
        (Granularity.F_SHAPE, 27 + 7),
        (Granularity.C_SHAPE, 72 + 5),
    ],
)
def test_ratio_from_shapes(granularity: Granularity, groups: int) -> None:
    shapes = [(8, 3, 3, 3), (5, 7, 1, 1)]
    assert published_ratio(shapes, granularity, 4, 20, 11) == (
        16 * (251 + 11) / (4 * 251 + 20 * groups + 16 * 11)
    )


@pytest.mark.parametrize(
    ("scheme", "bits", "counted", "overhead"),
    [
        ("affine", 4, 4, 20),
        ("affine", 8, 8, 24),
        ("symmetric", 4, 4, 16),
        ("pwlq", 5, 4, 40),
        ("pwlq", 6, 5, 42),
        ("pwlq", 4, 4, 40),
        ("codebook", 4, 4, None),
    ],
)
def test_published_conventions(
    scheme: Scheme, bits: int, counted: int, overhead: int | None
) -> None:
    assert published_weight_bits(scheme, bits) == counted
    assert published_overhead_bits(scheme, bits) == overhead


@pytest.mark.parametrize("counts", [(0, 1, 4, 20, 0), (9, -1, 4, 20, 0), (9, 1, 0, 20, 0)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int, int, int]) -> None:
    n, g, b, o, e = counts
    message = (
        f"cannot compare {n} weights of {b} bits, {g} groups of {o} bits and {e} other "
        "parameters; weights and bits must be at least 1, the rest at least 0"
    )
    with pytest.raises(QuantizationError, match=f"^{re.escape(message)}$"):
        published_ratio_of_counts(*counts)


# Honest


def one_conv(scheme: Scheme, bits: int, granularity: Granularity, *, table: bool) -> QGraph:
    conv, source = sample_conv(
        1,
        3,
        6,
        weight_bits=bits,
        scheme=scheme,
        granularity=granularity,
        table=table,
        names=("conv", "image"),
    )
    return QGraph("one", (Input("image", (3, 6, 7), source), conv, Output("out", "conv")))


def by_kind(lines: tuple[MemoryLine, ...], node: str) -> dict[MemoryKind, tuple[int, int]]:
    return {line.kind: (line.count, line.bits) for line in lines if line.node == node}


def test_affine_filter_wise_by_hand() -> None:
    lines = honest_bits(one_conv("affine", 4, Granularity.FILTER, table=True))
    assert by_kind(lines, "image") == {MemoryKind.ZERO_POINTS: (1, 8)}
    assert by_kind(lines, "conv") == {
        MemoryKind.CODES: (162, 162 * 4),
        MemoryKind.TABLES: (6 * 16, 6 * 16 * 5),
        MemoryKind.SELECTORS: (6, 6 * 3),
        MemoryKind.BIASES: (6, 6 * 32),
        MemoryKind.REQUANT: (12, 6 * 17 + 6 * 6),
        MemoryKind.ZERO_POINTS: (2, 10 + 8),
        MemoryKind.ACTIVATION_TABLES: (1024, 1024 * 8),
    }
    assert by_kind(lines, "out") == {}


def test_symmetric_layer_wise_by_hand() -> None:
    lines = honest_bits(one_conv("symmetric", 4, Granularity.LAYER, table=False))
    assert by_kind(lines, "conv") == {
        MemoryKind.CODES: (162, 162 * 4),
        MemoryKind.TABLES: (16, 16 * 4),
        MemoryKind.BIASES: (6, 6 * 32),
        MemoryKind.REQUANT: (12, 6 * 23),
        MemoryKind.ZERO_POINTS: (1, 8),
    }


def test_pwlq_c_shape_counts_its_region_bit() -> None:
    graph = one_conv("pwlq", 5, Granularity.C_SHAPE, table=False)
    weights = graph.convs[0].weights
    kinds = by_kind(honest_bits(graph), "conv")
    assert kinds[MemoryKind.CODES] == (162, 162 * 5)
    assert kinds[MemoryKind.GROUP_MULTIPLIERS] == (54, 54 * weights.multiplier_bits)
    assert kinds[MemoryKind.SELECTORS] == (54, 54 * weights.selector_bits)
    assert weights.multiplier_bits > 1
    assert weights.selector_bits >= 1
    assert weight_bits(weights) == sum(
        bits
        for kind, (_, bits) in kinds.items()
        if kind
        in (
            MemoryKind.CODES,
            MemoryKind.TABLES,
            MemoryKind.SELECTORS,
            MemoryKind.GROUP_MULTIPLIERS,
        )
    )


def test_codebooks_row_ranges_and_additions_are_counted() -> None:
    lines = honest_bits(sample_graph(1))
    book = sample_format(8, 8, codebook=True, zero=32)
    assert by_kind(lines, "grouped")[MemoryKind.CODEBOOKS] == (256, 256 * book.decoded_bits)
    # Twelve rows in three ranges: no shared zero point, one of eight bits per row.
    assert by_kind(lines, "head")[MemoryKind.ZERO_POINTS] == (12, 12 * 8)
    assert by_kind(lines, "sum") == {
        MemoryKind.REQUANT: (3, 2 * 17 + 6),
        MemoryKind.ZERO_POINTS: (1, 8),
    }
    assert by_kind(lines, "bend") == {
        MemoryKind.ACTIVATION_TABLES: (256, 256 * 8),
        MemoryKind.ZERO_POINTS: (1, 8),
    }
    for silent in ("up", "pool", "cat", "slice", "boxes", "scores"):
        assert by_kind(lines, silent) == {}


def test_a_requantize_node_by_hand() -> None:
    source = TensorFormat.plain(8, 0.5, 3, 3)
    output = TensorFormat.plain(6, 1.0, 5, 3)
    requant = Requantizer(np.array([70000]), np.array([17]), np.array([5]), 0, 63, 6)
    graph = QGraph(
        "r",
        (Input("x", (3, 2, 2), source), Requantize("r", "x", requant, output), Output("y", "r")),
    )
    assert by_kind(honest_bits(graph), "r") == {
        MemoryKind.REQUANT: (2, 23),
        MemoryKind.ZERO_POINTS: (1, 6),
    }
    message = "graph 'r' has 0 convolution or linear layers; memory ratios need 1"
    with pytest.raises(QuantizationError, match=f"^{re.escape(message)}$"):
        memory_summary(graph)


@pytest.mark.parametrize("seed", [1, 2])
def test_counted_bits_are_the_stored_arrays_and_single_numbers(seed: int) -> None:
    graph = sample_graph(seed)
    arrays = sum(t.bit_count for t in graph_tensors(graph))
    singles = sum(line.bits for line in honest_bits(graph)) - arrays
    books = 256 * sample_format(8, 8, codebook=True, zero=32).decoded_bits
    # A few dozen zero points and the constants of one addition are all that is no array.
    assert 0 < singles - books < 400


def test_summary() -> None:
    graph = sample_graph(1)
    summary = memory_summary(graph)
    sizes = [n.weights.codes.size for n in weight_layers(graph)]
    filters = sum(n.weights.shape[0] for n in weight_layers(graph))
    assert summary.bits == sum(summary.bits_of(kind) for kind in MemoryKind)
    assert summary.fp16_bits == fp16_bits(graph) == 16 * (sum(sizes) + filters)
    assert summary.honest_ratio == summary.fp16_bits / summary.bits
    # The sample has a layer with a free codebook, for which the paper has no figure.
    assert summary.published_bits is None
    assert summary.published_ratio is None


@pytest.mark.parametrize(
    ("scheme", "bits", "expected"),
    [("affine", 4, 4 * 162 + 20 * 54), ("pwlq", 5, 4 * 162 + 40 * 54)],
)
def test_published_count_of_a_graph(scheme: Scheme, bits: int, expected: int) -> None:
    graph = one_conv(scheme, bits, Granularity.C_SHAPE, table=True)
    assert published_bits(graph) == expected + 16 * 6
    assert published_bits(graph, 0) == expected
    summary = memory_summary(graph, other_parameters=100)
    assert summary.published_ratio == 16 * (162 + 100) / (expected + 1600)
    assert summary.published_ratio == published_ratio(
        [graph.convs[0].weights.shape],
        Granularity.C_SHAPE,
        published_weight_bits(scheme, bits),
        published_overhead_bits(scheme, bits) or 0,
        100,
    )


def test_honest_ratio_of_a_large_layer_is_near_the_reference() -> None:
    """128 x 128 x 3 x 3, filter-wise affine: between 3.8 and 4, and PWLQ pays its fifth bit."""
    ratios = {}
    for scheme, bits in (("affine", 4), ("pwlq", 5)):
        rng = np.random.default_rng(1)
        template, source = sample_conv(1, 128, 128, scheme=scheme, weight_bits=bits)
        weights = template.weights
        codes = rng.integers(0, 1 << bits, weights.shape).astype(np.uint8)
        node = replace(template, weights=replace(weights, codes=codes))
        graph = QGraph("big", (Input("x", (128, 3, 3), source), node, Output("y", "conv")))
        ratios[scheme] = memory_summary(graph).honest_ratio
    assert 3.8 < ratios["affine"] < 4
    assert 3.0 < ratios["pwlq"] < 3.2


def test_lines_do_not_depend_on_real_scales() -> None:
    conv, source = sample_conv(1, 3, 6)
    fine = replace(conv, weights=replace(conv.weights, scale=np.full(6, 0.25, np.float32)))
    rows = TensorFormat(8, (RowRange(3, 0.1, source.zero_point),))
    first = QGraph("a", (Input("x", (3, 6, 7), source), conv, Output("out", "conv")))
    second = QGraph("a", (Input("x", (3, 6, 7), rows), fine, Output("out", "conv")))
    assert honest_bits(first) == honest_bits(second)

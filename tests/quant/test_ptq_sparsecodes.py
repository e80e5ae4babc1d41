# SPDX-License-Identifier: Apache-2.0
"""Two-region codes: their shape, their error beside even steps, and where they are chosen."""

from dataclasses import replace

import numpy as np
import pytest

from quant.floatgraph import FloatActivation, FloatConv, FloatGraph, FloatInput
from quant.hostspec import HostSpec
from quant.ptq.codebooks import WeightedHistogram, levels_of
from quant.ptq.lowered import run_lowered
from quant.ptq.observers import RealRange, uniform_grid
from quant.ptq.quantize import quantize
from quant.ptq.recipes.blockstages import TaskQ
from quant.ptq.recipes.recipe import Recipe
from quant.ptq.settings import QuantizeSettings
from quant.ptq.sparsecodes import fit_two_region, outlier_error, two_region_entries
from sim.golden import GoldenModel

SIDE = 16


@pytest.mark.parametrize(
    ("step", "entries"),
    [
        (2, (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 17, 19, 21, 23)),
        (8, (0, 1, 2, 3, 4, 5, 6, 7, 15, 23, 31, 39, 47, 55, 63, 71)),
    ],
)
def test_half_the_codes_are_fine_and_half_reach_far(step, entries):
    assert two_region_entries(4, step) == entries


def silu(seed, mean, deviation):
    x = np.random.default_rng(seed).normal(mean, deviation, (1, 200_000)).astype(np.float32)
    return x / (1.0 + np.exp(-x))


def histogram_of(values):
    histogram = WeightedHistogram(RealRange(float(values.min()), float(values.max())))
    histogram.see(values, np.ones(1))
    return histogram


def db(values, error):
    return 10.0 * np.log10(float(np.square(values.astype(np.float64)).sum()) / error)


# SQNR in dB as it was measured independently, on another draw with another search: clipped even
# steps, two regions, and dense codes with 1 % outliers.
@pytest.mark.parametrize(
    ("mean", "deviation", "measured"),
    [(0.0, 1.0, (20.0, 21.6, 21.8)), (-1.0, 2.0, (18.5, 21.2, 22.6))],
)
def test_the_gain_on_silu(mean, deviation, measured):
    values = silu(3, mean, deviation)
    histogram = histogram_of(values)
    scale, zero = uniform_grid(RealRange(histogram.low, histogram.high), 4)
    even = histogram.error(scale * (np.arange(16.0) - zero))
    shares = np.linspace(0.1, 1.0, 60)
    grids = [uniform_grid(RealRange(histogram.low, histogram.high * s), 4) for s in shares]
    clipped = min(histogram.error(s * (np.arange(16.0) - z)) for s, z in grids)
    code = fit_two_region(histogram, 4, 15)
    found = (clipped, code.error, outlier_error(histogram, 4, 0.01))
    for error, expected in zip(found, measured, strict=True):
        assert abs(db(values, error) - expected) < 1.2
    assert code.error < clipped < even


def test_the_fitted_code_is_a_format_with_that_error():
    values = silu(5, -0.5, 1.5)
    histogram = histogram_of(values)
    code = fit_two_region(histogram, 4, 15)
    fmt = code.format(1)
    assert fmt.codebook in [two_region_entries(4, s) for s in (2, 4, 8)]
    assert fmt.decoded_bits == code.width <= 7
    levels = levels_of(fmt)
    nearest = np.abs(values.reshape(-1, 1) - levels).min(axis=1)
    assert abs(float(np.square(nearest).sum()) / code.error - 1.0) < 1e-3


def test_the_narrowest_code_that_is_nearly_as_good():
    code = fit_two_region(histogram_of(silu(5, 2.0, 0.5)), 4, 15)
    assert code.width == 5
    far = np.abs(np.random.default_rng(1).standard_t(2, (1, 100_000))).astype(np.float32)
    assert fit_two_region(histogram_of(far), 4, 15).width == 7
    assert fit_two_region(histogram_of(far), 4, 6).width == 6
    assert fit_two_region(histogram_of(far), 4, 4) is None


def test_nothing_above_zero_has_no_upper_region():
    values = -np.abs(np.random.default_rng(1).normal(0, 1, (1, 1000))).astype(np.float32)
    histogram = WeightedHistogram(RealRange(float(values.min()), 0.0))
    histogram.see(values, np.ones(1))
    assert fit_two_region(histogram, 4, 15) is None


def network(kind="silu"):
    rng = np.random.default_rng(4)

    def conv(name, source, filters, channels, kernel):
        weight = rng.standard_t(3, (filters, channels, kernel, kernel))
        weight *= 1.5 / np.sqrt(channels * kernel**2)
        bias = rng.normal(-1.5, 0.2, filters).astype(np.float32)  # a few values reach far
        pad = (kernel // 2,) * 4
        return FloatConv(name, source, weight.astype(np.float32), bias, (1, 1), pad, 1)

    ops = (
        FloatInput("x", (3, SIDE, SIDE)),
        conv("a", "x", 8, 3, 3),
        FloatActivation("a.act", "a", kind),
        conv("b", "a.act", 8, 8, 3),
        FloatActivation("b.act", "b", kind),
        conv("out", "b.act", 4, 8, 1),
    )
    shapes = {op.name: (8, SIDE, SIDE) for op in ops}
    shapes |= {"x": (3, SIDE, SIDE), "out": (4, SIDE, SIDE)}
    return FloatGraph("net", ops, ("out",), shapes, 0)


def quantized(settings, kind="silu", **options):
    host = HostSpec(
        SIDE, SIDE, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, "none", (), (), (("out",),), ()
    )
    images = np.random.default_rng(3).random((8, 3, SIDE, SIDE), dtype=np.float32)
    return quantize(network(kind), host, [images], settings, model="net", **options)


FOUR = QuantizeSettings(weight_bits=8, act_bits=4, codebook="two-region")


def test_every_engine_of_the_contract_reads_them_alike():
    found = quantized(FOUR)
    books = [found.graph.formats[name].codebook for name in ("a", "b")]
    assert all(book in [two_region_entries(4, s) for s in (2, 4, 8)] for book in books)
    codes = np.random.default_rng(8).integers(0, 256, (2, 3, SIDE, SIDE)).astype(np.uint8)
    golden = GoldenModel(found.graph).run(codes, keep=["a", "b", "out"]).tensors
    torch_codes = run_lowered(found.graph, codes)
    for name in ("a", "b", "out"):
        assert np.array_equal(golden[name], np.asarray(torch_codes[name]))
    note = next(n for n in found.record.notes if "two-region" in n)
    assert note.startswith("2 tensors have two-region codes; the outputs' SQNR with one of them ")
    assert "decoded widths: 'a' " in note or "decoded widths: 'b' " in note
    gain = [layer.sqnr_db for layer in found.record.layers if layer.name == "out"]
    plain = quantized(replace(FOUR, codebook="never")).record.layers
    assert gain[0] > next(layer.sqnr_db for layer in plain if layer.name == "out")


def test_they_need_a_table_and_few_bits():
    assert all(f.codebook is None for f in quantized(FOUR, "relu").graph.formats.values())
    six = quantized(replace(FOUR, act_bits=6)).graph.formats.values()
    regions = {two_region_entries(bits, s) for bits in (4, 6) for s in (2, 4, 8)}
    assert not any(f.codebook in regions for f in six)


def test_taskq_takes_them_unless_told_otherwise():
    def books(sparse, codebook="auto"):
        stage = TaskQ(steps=2, sparse=sparse)
        found = quantized(replace(FOUR, codebook=codebook), recipe=Recipe("t", (stage,)))
        regions = {two_region_entries(4, s) for s in (2, 4, 8)}
        return [found.graph.formats[n].codebook in regions for n in ("a", "b")]

    assert books(True) == [True, True]
    assert books(False) == [False, False]
    assert books(True, "never") == [False, False]

# SPDX-License-Identifier: Apache-2.0
"""Figures of explored networks, and the block RAMs of weights on both sides."""

from dataclasses import replace

import pytest

from hw.devices import find_device
from quant.graph import QGraph
from quant.nodes import Input, Output
from quant.samples import sample_conv, sample_graph
from reports.bench import explored
from reports.bench.weightmemories import Layer, block_rows, finn_block_rams, finn_folding


def test_finn_block_rams():
    shapes = {(4, 4096): 1, (4, 4097): 2, (9, 2049): 2, (18, 1024): 1, (36, 512): 1, (36, 513): 2}
    assert {shape: finn_block_rams(*shape) for shape in shapes} == shapes
    assert finn_block_rams(128, 288) == 4  # reference: PE 4, SIMD 8 of 64 filters of 576
    assert finn_block_rams(2048, 72) == 57


def test_finn_folding():
    layer = Layer(filters=64, columns=576, pixels=100)
    assert layer.cycles(1, 1) == 3_686_400
    assert finn_folding(layer, 3_686_400) == (1, 1)
    assert finn_folding(layer, 500_000) == (1, 8)
    # Words of 36 bits at most: SIMD stays at 9 and PE grows; then SIMD again.
    assert finn_folding(layer, 409_600) == (1, 9)
    assert finn_folding(layer, 409_599) == (2, 9)
    pe, simd = finn_folding(layer, 500)
    assert (pe, layer.cycles(pe, simd) <= 500) == (64, True)


def test_block_rows(monkeypatch):
    node, source = sample_conv(1, 64, 64, 3, act_bits=4, names=("conv", "image"))
    image = replace(Input("image", (64, 8, 8), source), output=replace(source, bits=8))
    graph = QGraph("one", (image, node, Output("out", "conv")))
    monkeypatch.setattr("reports.bench.weightmemories.INTERVALS", (64 * 64 * 9,))
    (row,) = block_rows(graph)
    assert row["layers"] == 1
    assert row["finn_best_bram18"] <= row["finn_bram18"]
    assert row["ratio"] == round(row["bram18"] / row["finn_bram18"], 3)


def test_same_figures_with_and_without_a_plan(monkeypatch):
    pytest.importorskip("ortools", reason="OR-tools is not installed")
    graph = sample_graph(1)
    board = replace(find_device("zcu104"), lut=9000, ff=12_000, dsp=40, bram36=20, uram=0)
    monkeypatch.setattr(explored, "find_device", lambda name: replace(board, lut=int(name)))
    fits, fails = explored.measure(graph, "14000"), explored.measure(graph, "1500")
    assert fits["fits"]
    assert fits["exact_rounds"] >= 1
    assert fits["exact_lut"] <= 14_000 * 80 // 100
    assert fits["exact_interval_cycles"] <= fits["interval_cycles"]
    assert not fails["fits"]
    assert "lookup tables: at least" in fails["lacks"]
    assert set(fits) == set(fails)


def test_weights_from_the_boards_memory_where_the_chip_has_no_room(monkeypatch):
    pytest.importorskip("ortools", reason="OR-tools is not installed")
    node, source = sample_conv(1, 64, 64, 3, act_bits=4, names=("conv", "image"))
    image = replace(Input("image", (64, 8, 8), source), output=replace(source, bits=8))
    graph = QGraph("one", (image, node, Output("out", "conv")))
    board = replace(find_device("zcu104"), lut=6000, ff=12_000, dsp=40, bram36=0, uram=0)
    monkeypatch.setattr(explored, "find_device", lambda name: board)
    found = explored.measure(graph, "small")
    assert not found["fits"]
    assert found["streamed_layers"] == 1
    assert found["streamed_interval_cycles"] >= found["streamed_interval_bound_cycles"]
    # 64 x 64 x 9 weights of 4 bits are 18 KiB, read again for every few pixels of 64.
    reads, rest = divmod(found["streamed_kib_per_frame"], 18)
    assert rest == 0
    assert 8 <= reads <= 64

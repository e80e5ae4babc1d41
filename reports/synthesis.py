# SPDX-License-Identifier: Apache-2.0
"""Synthesis of a network cell by cell: what Yosys counts beside what was estimated.

Each distinct cell is synthesised once. Weight memories are counted by shape on both sides. A large
convolution is not synthesised whole: two of its foldings with few PE are, and what they say is
carried on along the estimate.
"""

from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

from hw.cell import Cell
from hw.cells import node_cell
from hw.divisors import divisors
from hw.estimate import Resources, conv_weights, resources, total
from hw.network import Network
from quant.errors import PlanError
from reports.keptruns import cell_digest, measure_cells

LARGEST_MACS = 64
"""Multiply-accumulates per cycle of the largest cell that is synthesised whole."""

_BATCH = 16


@dataclass(frozen=True)
class SynthesisedCell:
    """One distinct cell of a network.

    Attributes:
        module: Its module.
        owners: Nodes and edges that have one.
        basis: ``synthesised``, or which foldings it was carried on from.
        estimated: What one takes by the estimate, weight memory left out.
        counted: The same by Yosys.
        weights: The weight memory, by shape.
    """

    module: str
    owners: tuple[str, ...]
    basis: str
    estimated: Resources
    counted: Resources
    weights: Resources

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Plan:
    """A distinct cell, and the cells that are synthesised for it: itself, or two smaller ones."""

    cell: Cell
    owners: tuple[str, ...]
    basis: str
    runs: tuple[Cell, ...]


def synthesise_network(
    network: Network,
    kept: Path,
    scratch: Path,
    *,
    largest_macs: int = LARGEST_MACS,
    begin: Callable[[int], Callable[[int], None]] = lambda _: lambda _: None,
) -> list[SynthesisedCell]:
    """Return every distinct cell of a network, synthesised.

    Args:
        network: Cells and edges.
        kept: Folder of kept results; an interrupted run goes on from them.
        scratch: Folder for runs of Yosys.
        largest_macs: As ``LARGEST_MACS``.
        begin: Told the number of runs; returns what is called as they finish.

    Raises:
        ToolError: Yosys fails or drops logic.
    """
    plans = _plans(network, largest_macs)
    runs = [run for plan in plans for run in plan.runs]
    advance = begin(len({cell_digest(run) for run in runs}))
    counted = iter(measure_cells(runs, kept, scratch, batch=_BATCH, progress=advance))
    rows = []
    for plan in plans:
        found = [next(counted) for _ in plan.runs]
        estimated = resources(plan.cell, weights=False)
        if len(found) == 2:
            known = [resources(run, weights=False) for run in plan.runs]
            final = carried_on(known, found, estimated)
        else:
            final = found[0]
        rows.append(
            SynthesisedCell(
                plan.cell.module,
                plan.owners,
                plan.basis,
                estimated,
                final,
                _weights(plan.cell),
            )
        )
    return rows


def network_totals(rows: list[SynthesisedCell]) -> tuple[Resources, Resources]:
    """Return what all cells take, estimated and counted, weight memories on both sides."""
    return (
        total(row.estimated + row.weights for row in rows for _ in row.owners),
        total(row.counted + row.weights for row in rows for _ in row.owners),
    )


def carried_on(known: list[Resources], counted: list[Resources], estimated: Resources) -> Resources:
    """Return what a large cell takes, from two smaller ones.

    Args:
        known: Estimates of the smaller ones.
        counted: What Yosys counts of them.
        estimated: The estimate of the large one.

    Returns:
        The second count, plus the estimated difference times the ratio of counted to estimated
        differences of the two; times the ratio of the second itself where those do not differ.
    """
    values = []
    for (a, b), (x, y), aim in zip(
        zip(astuple(known[0]), astuple(known[1]), strict=True),
        zip(astuple(counted[0]), astuple(counted[1]), strict=True),
        astuple(estimated),
        strict=True,
    ):
        alone = y / b if b else 1
        slope = (y - x) / (b - a) if b != a else alone
        values.append(max(0, round(y + (aim - b) * slope)))
    return Resources(*values)


def _plans(network: Network, largest_macs: int) -> list[_Plan]:
    """Return the distinct cells of a network, nodes first."""
    found: dict[str, tuple[Cell, list[str]]] = {}

    def add(owner: str, cell: Cell) -> None:
        found.setdefault(cell_digest(cell), (cell, []))[1].append(owner)

    for name, cell in network.cells.items():
        add(name, cell)
    for edge in network.edges:
        for piece in (edge.fifo, edge.width):
            if piece is not None:
                add(f"{edge.producer} -> {edge.consumer}", piece)
    for name, stream in network.streams.items():
        branches = len(network.readers(name))
        if branches > 1:
            values = {"Branches": branches, "BeatBits": stream.beat_bits}
            add(name, Cell("nf_fork", values, (stream,), stream, ()))
    return [_plan(network, cell, tuple(owners), largest_macs) for cell, owners in found.values()]


def _plan(network: Network, cell: Cell, owners: tuple[str, ...], largest_macs: int) -> _Plan:
    """Return what is synthesised for a cell."""
    whole = _Plan(cell, owners, "synthesised", (cell,))
    if cell.module != "nf_conv":
        return whole
    pe, simd = int(cell.parameters["Pe"]), int(cell.parameters["Simd"])
    if pe * simd <= largest_macs:
        return whole
    name = owners[0]
    schedule = network.schedule
    smaller: list[Cell] = []
    for fewer in divisors(pe)[:-1]:
        try:
            smaller.append(
                node_cell(
                    network.graph.node(name),
                    network.graph,
                    replace(schedule.folding[name], pe=fewer),
                    f"{network.stems[name]}_pe{fewer}_",
                    schedule.memory.get(f"{name}.weights", "auto"),
                )
            )
        except PlanError:  # a core that does not take so few
            continue
        if len(smaller) == 2:
            few = " and ".join(str(run.parameters["Pe"]) for run in smaller)
            return _Plan(cell, owners, f"carried on from PE={few}", tuple(smaller))
    return whole


def _weights(cell: Cell) -> Resources:
    return conv_weights(cell.parameters) if cell.module == "nf_conv" else Resources()

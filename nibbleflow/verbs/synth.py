# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow synth``: the network's cells through Yosys, counted beside estimated."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, assert_never

from rich.table import Table
from rich.text import Text

from hw.axis_top import axis_top
from hw.cell import Cell, Stream
from hw.conv import rtl_sources
from hw.emit_network import emit_rtl
from hw.estimate import BASIS, resources, total
from hw.nets import port_bits
from hw.network import Network, build_network
from hw.packed_sources import dsp_ports
from nibbleflow.folders import BuildFolder, write_whole
from nibbleflow.foldings import Aim
from nibbleflow.nodes import choose_nodes
from nibbleflow.plans import network_plan
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from quant.bundle import load_bundle
from quant.errors import InputFileError
from reports.ecp5 import PART, PlacedDesign, check_fit, place_design
from reports.synthesis import (
    LARGEST_MACS,
    SynthesisedCell,
    network_totals,
    synthesise_network,
)
from reports.yosys import read_sources

Target = Literal["xcup", "ecp5"]
TARGETS: tuple[Target, ...] = ("xcup", "ecp5")

COUNTED = "counted by Yosys synth_xilinx -family xcup; not Vivado"


def synth(
    build: str | Path,
    *,
    target: str = "xcup",
    nodes: str | None = None,
    largest_macs: int | None = None,
    fps: float | None = None,
    board: str | None = None,
    clock_mhz: float | None = None,
    max_macs: int | None = None,
    core: str | None = None,
    stream_weights: str | None = None,
) -> Result:
    """Synthesise the planned network with open tools.

    Args:
        build: A build folder.
        target: ``xcup``: every distinct cell for UltraScale+, counted beside estimated; ``ecp5``:
            the network (or the cells of ``nodes``, one by one) placed and routed on a Lattice
            ECP5, with the clock rate reached.
        nodes: Only with ``ecp5``: ``all-convs``, ``all`` or names joined by commas.
        largest_macs: Only with ``xcup``: multiply-accumulates per cycle of the largest cell that
            is synthesised whole.
        fps: Frames per second to fold the network for.
        board: Board whose clock and ultra RAM it is planned with.
        clock_mhz: Planned clock.
        max_macs: Multiply-accumulates per cycle to fold the network for.
        core: What multiplies: a core's name, or ``auto``; ``plain_lut`` when left out.
        stream_weights: Layers, joined by commas, whose weights come from outside.

    Returns:
        ``values`` has ``cells``: with ``xcup`` the distinct cells (``module``, ``owners``,
        ``basis``, ``estimated``, ``counted``, ``weights``) and ``estimated`` and ``counted`` of
        the network; with ``ecp5`` the placed designs (``name``, ``mhz``, ``lut4``, ``ff``,
        ``multipliers``, ``blocks``).

    Raises:
        NibbleflowError: The build, a name or an aim is wrong, a tool is missing or fails, or the
            design does not fit.
    """
    chosen = next((known for known in TARGETS if known == target), None)
    if chosen is None:
        raise InputFileError(f"--target '{target}' is not known; use {' or '.join(TARGETS)}")
    if chosen == "xcup" and nodes is not None:
        raise InputFileError("--nodes is for --target ecp5; xcup synthesises every distinct cell")
    if chosen == "ecp5" and largest_macs is not None:
        raise InputFileError("--largest is for --target xcup; ecp5 synthesises designs whole")
    if largest_macs is not None and largest_macs < 1:
        raise InputFileError(f"--largest {largest_macs} must be positive")
    folder = BuildFolder.existing(build)
    graph = load_bundle(folder.bundle).graph
    aim = Aim(fps, board, clock_mhz, max_macs, core, stream_weights)
    plan = network_plan(folder, graph, aim)
    schedule, filled = plan.schedule, plan.ultra_filled
    network = build_network(graph, schedule, ultra_initial_contents=filled)
    match chosen:
        case "xcup":
            largest = LARGEST_MACS if largest_macs is None else largest_macs
            rows = _synthesise(network, folder, largest)
            return _cells_result(folder, network, rows)
        case "ecp5":
            designs = _place(network, folder, nodes, filled=filled)
            return _placed_result(folder, network, designs)
        case _:
            assert_never(chosen)


def _synthesise(network: Network, folder: BuildFolder, largest: int) -> list[SynthesisedCell]:
    with ExitStack() as stack:

        def begin(runs: int) -> Callable[[int], None]:
            return stack.enter_context(progress_bar("synthesising cells", runs))

        kept = folder.synth / "kept"
        return synthesise_network(
            network, kept, folder.synth / "run", largest_macs=largest, begin=begin
        )


def _cells_result(folder: BuildFolder, network: Network, rows: list[SynthesisedCell]) -> Result:
    estimated, counted = network_totals(rows)
    table = Table(title="cells: counted beside estimated, weight memories apart", box=None)
    for column in ("cell", "times", "LUT", "est.", "%", "FF", "est.", "DSP", "est.", "basis"):
        table.add_column(column, justify="left" if column in ("cell", "basis") else "right")
    for row in rows:
        found, guess = row.counted, row.estimated
        table.add_row(
            Text(f"{row.owners[0]} ({row.module.removeprefix('nf_')})"),
            str(len(row.owners)),
            f"{found.all_luts:,}",
            f"{guess.all_luts:,}",
            f"{_error(found.all_luts, guess.all_luts):+.1f}",
            f"{found.ff:,}",
            f"{guess.ff:,}",
            f"{found.dsp:,}",
            f"{guess.dsp:,}",
            row.basis,
        )
    sums = Table(title=f"the network: {COUNTED}", box=None)
    sums.add_column("")
    for column in ("LUT", "of them memory", "FF", "DSP", "BRAM18", "URAM"):
        sums.add_column(column, justify="right")
    for name, used in (("counted", counted), ("estimated", estimated)):
        row_values = (used.all_luts, used.lutram_luts, used.ff, used.dsp, used.bram18, used.uram)
        sums.add_row(name, *(f"{value:,}" for value in row_values))
    values: dict[str, Any] = {
        "target": "xcup",
        "digest": network.graph.digest,
        "basis": COUNTED,
        "cells": [row.to_json() for row in rows],
        "estimated": asdict(estimated),
        "counted": asdict(counted),
    }
    note = Text(f"weight memories by shape, estimates {BASIS}; kept in {folder.synth}")
    result = Result("synth", values, (table, sums, note))
    write_whole(folder.synthesis, result.to_json())
    return result


def _error(counted: int, estimated: int) -> float:
    return 100 * (estimated - counted) / counted if counted else 0.0


def _place(
    network: Network, folder: BuildFolder, nodes: str | None, *, filled: bool
) -> list[PlacedDesign]:
    """Place and route the network, or each of the named cells alone."""
    sources = read_sources([*rtl_sources(), dsp_ports()])
    scratch = folder.synth / "ecp5"
    if nodes is None:
        cells = _all_cells(network)
        streams = [network.input, *network.outputs.values()]
        streamed = list(network.cells.values())
        together = total(resources(cell) for cell in cells)
        check_fit(network.graph.name, cells, together, _pins(streams, streamed))
        project = emit_rtl(network.graph, network.schedule, ultra_initial_contents=filled)
        soft = [f"u_{network.stems[n]}" for n, cell in network.cells.items() if _in_logic(cell)]
        files = sources | dict(project.files)
        with progress_bar("placing and routing", 1) as advance:
            placed = place_design(scratch, files, project.top, soft)
            advance(1)
        return [placed]
    chosen = choose_nodes(network.graph, nodes)
    designs = []
    for node in chosen:
        if node.name not in network.cells:
            raise InputFileError(f"'{node.name}' is an end of the graph and has no cell")
        cell = network.cells[node.name]
        check_fit(node.name, [cell], resources(cell), _pins([*cell.inputs, cell.output], [cell]))
    with progress_bar("placing and routing", len(chosen)) as advance:
        for node in chosen:
            cell, top = network.cells[node.name], f"nf_{network.stems[node.name]}"
            files = sources | {f"{top}.sv": axis_top(cell, top)} | dict(cell.files)
            soft = ["u_cell"] if _in_logic(cell) else []
            designs.append(place_design(scratch / network.stems[node.name], files, top, soft))
            advance(1)
    return designs


def _in_logic(cell: Cell) -> bool:
    """Return whether the products of a cell are to lie in logic."""
    return cell.parameters.get("UseDsp") == 0


def _all_cells(network: Network) -> list[Cell]:
    edges = [piece for edge in network.edges for piece in (edge.fifo, edge.width)]
    return [*network.cells.values(), *(piece for piece in edges if piece is not None)]


def _pins(streams: Sequence[Stream], cells: Sequence[Cell]) -> int:
    """Return the bits of the ports of a top with these streams and cells, clock and reset."""
    words = [len(cell.streamed.words[0]) for cell in cells if cell.streamed is not None]
    widths = [*(port_bits(stream) for stream in streams), *(8 * count for count in words)]
    return 2 + sum(width + 3 for width in widths)


def _placed_result(folder: BuildFolder, network: Network, designs: list[PlacedDesign]) -> Result:
    table = Table(title=f"placed and routed on {PART}", box=None)
    table.add_column("design", no_wrap=True)
    for column in ("MHz", "LUT4", "FF", "MULT18", "DP16KD"):
        table.add_column(column, justify="right")
    for design in designs:
        table.add_row(
            Text(design.name),
            f"{design.mhz:.1f}",
            f"{design.lut4:,}",
            f"{design.ff:,}",
            f"{design.multipliers:,}",
            f"{design.blocks:,}",
        )
    values = {
        "target": "ecp5",
        "digest": network.graph.digest,
        "part": PART,
        "cells": [asdict(design) for design in designs],
    }
    result = Result("synth", values, (table,))
    write_whole(folder.synth / "ecp5.json", result.to_json())
    return result

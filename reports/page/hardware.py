# SPDX-License-Identifier: Apache-2.0
"""Sections about the planned hardware: memory map, boards, speed, FIFOs."""

from collections.abc import Sequence

from hw.device import Device
from hw.estimate import BASIS, Resources
from reports.hardware import HardwareEstimate, Part
from reports.memorymap import fits
from reports.network import NetworkSummary
from reports.page.blocks import (
    Block,
    Cell,
    Column,
    Facts,
    Grid,
    Paragraph,
    Section,
    Tone,
    number_cell,
    text_cell,
)
from reports.page.network import KIB_BITS, Plots
from reports.traffic import COLUMNS, MEGABYTE, TrafficFigures

_WHAT = {
    "weights": "weights",
    "cell": "lines, tables, parameters",
    "fifo": "FIFO",
    "converter": "width converter",
    "fork": "fork",
    "loader": "loader",
    "end": "end of an output",
}


def hardware_facts(
    network: NetworkSummary, estimate: HardwareEstimate, clock_hz: int
) -> tuple[tuple[str, str], ...]:
    """Return what the summary says of the planned hardware."""
    cycles, found = network.cycles, estimate.total
    return (
        (
            "planned speed",
            f"{clock_hz / cycles.interval_cycles:,.1f} frames per second at {clock_hz / 1e6:g} MHz",
        ),
        ("planned interval and latency", _cycles(network)),
        (
            f"resources, {BASIS}",
            f"{found.all_luts:,} LUT, {found.ff:,} FF, {found.dsp:,} DSP, {found.bram18:,} BRAM18, "
            f"{found.uram:,} URAM",
        ),
    )


def memory_blocks(
    estimate: HardwareEstimate, device: Device, named: bool, boards: Sequence[Device], plots: Plots
) -> tuple[Block, ...]:
    """Return the map of a board's memories, what lies in them, and what fits which board.

    Args:
        estimate: Every piece of the network.
        device: The board of the map.
        named: Whether the user named it; else it is the smallest that the network fits.
        boards: Boards of UltraScale+.
        plots: Pictures by name.
    """
    if named:
        text = f"The map is of {device.name}, for which the network is planned."
    elif fits(estimate, device):
        text = (
            f"No board is named (--board), so the map is of {device.name}, the smallest known "
            "board of UltraScale+ that has room for everything."
        )
    else:
        text = (
            "No board is named (--board), and no known board of UltraScale+ has room for "
            f"everything; the map is of the largest, {device.name}."
        )
    tone: Tone = "" if fits(estimate, device) else "bad"
    rows = tuple(_memory_cells(part) for part in estimate.parts if _has_memory(part.resources))
    columns = (
        Column("owner"),
        Column("what"),
        *(Column(name, True) for name in ("BRAM18", "URAM", "LUT as memory")),
    )
    caption = f"{len(rows)} parts with memories, {BASIS}."
    return (
        Paragraph(text, tone),
        plots["memorymap"],
        Grid("memory-table", caption, columns, rows),
        _board_table(estimate, boards),
    )


def traffic_blocks(figures: TrafficFigures) -> tuple[Block, ...]:
    """Return what weights from outside take of the board's bandwidth; nothing without any."""
    if not figures.traffic.weights:
        return ()
    rows = tuple(
        (
            text_cell(name),
            text_cell(port),
            *(number_cell(count) for count in (word, memory, repeats)),
            number_cell(rate / MEGABYTE, "{:,.1f}"),
        )
        for name, port, word, memory, repeats, rate in figures.rows()
    )
    columns = tuple(Column(name, k >= 2) for k, name in enumerate(COLUMNS))
    over = 0 < figures.board_rate < figures.rate(figures.traffic.frame_bytes)
    return (
        Paragraph(f"Weights from outside: {figures.verdict}", "bad" if over else ""),
        Grid("traffic-table", "Layers without a weight memory.", columns, rows),
    )


def speed_section(network: NetworkSummary, plots: Plots) -> Section:
    """Return what limits the speed."""
    cycles = network.cycles
    text = (
        f"'{cycles.bottleneck}' is slowest: its cell takes "
        f"{cycles.nodes[cycles.bottleneck].alone_cycles:,} of {cycles.interval_cycles:,} cycles."
    )
    reason = network.fifos.throughput.reason
    blocks: list[Block] = [Paragraph(text)]
    if reason:
        blocks.append(Paragraph(reason, "warn"))
    return Section("speed", "Bottleneck", (*blocks, plots["utilisation"]))


def fifo_section(network: NetworkSummary, plots: Plots) -> Section:
    """Return FIFO depths and the verdict of their proof."""
    fifos = network.fifos
    proof = fifos.minimal.proof
    if proof.left_beats == 0:
        verdict = Paragraph(
            "Proved free of deadlock: with the least depths a whole frame passes and leaves every "
            "part as it was before, so every further frame passes too.",
            "good",
        )
    else:
        verdict = Paragraph(f"No proof: a frame leaves {proof.left_beats:,} beats behind.", "bad")
    facts = Facts(
        (
            ("assumption", proof.assumption),
            ("beats of the frame, in and out", f"{proof.input_beats:,} and {proof.output_beats:,}"),
            ("beats moved in the proof", f"{proof.moved_beats:,}"),
            ("beats left", f"{proof.left_beats:,}"),
            ("least depths in all", f"{fifos.minimal_bits / KIB_BITS:,.1f} KiB"),
            ("for full throughput", f"{fifos.throughput_bits / KIB_BITS:,.1f} KiB"),
            ("whole tensors instead", f"{fifos.tensor_bits / KIB_BITS:,.1f} KiB"),
        )
    )
    rows = []
    for row in fifos.rows:
        stall = fifos.minimal.stalls.get(row.key)
        rows.append(
            (
                text_cell(" -> ".join(row.key)),
                number_cell(row.beat_bits),
                number_cell(row.minimal),
                number_cell(row.throughput),
                number_cell(row.frame_beats),
                text_cell("; ".join(str(wait) for wait in stall.waits) if stall else ""),
            )
        )
    columns = (
        Column("edge"),
        *(Column(name, True) for name in ("bits of a beat", "least (beats)", "planned (beats)",
                                          "whole tensor (beats)")),
        Column("who waits with one beat less than the least"),
    )  # fmt: skip
    caption = "FIFO of every edge; 0 is a wire. Depths follow from an exact model of the cells."
    grid = Grid("fifo-table", caption, columns, tuple(rows))
    picture = (plots["fifos"],) if "fifos" in plots else ()
    return Section("fifos", "FIFOs", (verdict, facts, *picture, grid))


def _cycles(network: NetworkSummary) -> str:
    cycles = network.cycles
    return f"{cycles.interval_cycles:,} and {cycles.latency_cycles:,} cycles"


def _has_memory(found: Resources) -> bool:
    return bool(found.bram18 or found.uram or found.lutram_luts)


def _memory_cells(part: Part) -> tuple[Cell, ...]:
    found = part.resources
    counts = (found.bram18, found.uram, found.lutram_luts)
    cells = tuple(number_cell(count) for count in counts)
    return (text_cell(part.owner), text_cell(_WHAT[part.kind]), *cells)


def _board_table(estimate: HardwareEstimate, boards: Sequence[Device]) -> Grid:
    found = estimate.total
    rows = []
    for board in boards:
        have = (board.six_input_luts, board.ff, board.dsp, board.bram18, board.uram)
        need = (found.all_luts, found.ff, found.dsp, found.bram18, found.uram)
        shares = [_share(n, h) for n, h in zip(need, have, strict=True)]
        rows.append(
            (
                text_cell(board.name),
                text_cell(board.part),
                *(number_cell(share, "{:,.1f}") for share in shares),
                text_cell("fits" if fits(estimate, board) else "too small"),
            )
        )
    columns = (
        Column("board"),
        Column("part"),
        *(Column(f"{name} (%)", True) for name in ("LUT", "FF", "DSP", "BRAM", "URAM")),
        Column("verdict"),
    )
    caption = (
        f"Share of each board's resources, {BASIS}. Placing and routing want room: much above "
        "80 % of the lookup tables seldom ends well."
    )
    return Grid("board-table", caption, columns, tuple(rows))


def _share(need: int, have: int) -> float | None:
    if have:
        return 100 * need / have
    return None if need else 0.0

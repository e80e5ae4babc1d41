# SPDX-License-Identifier: Apache-2.0
"""The page of a build: which sections it has and what they are made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hw.device import Device
from hw.devices import DEVICES
from hw.estimate import BASIS
from quant.record import BreakpointRecord
from reports.figures import render
from reports.hardware import HardwareEstimate
from reports.memorymap import memory_map_plot, smallest_board
from reports.network import NetworkSummary
from reports.page.blocks import Block, Page, Plot, Section
from reports.page.exploration import exploration_section
from reports.page.hardware import (
    fifo_section,
    hardware_facts,
    memory_blocks,
    speed_section,
    traffic_blocks,
)
from reports.page.inlinesvg import inline_svg
from reports.page.network import (
    nodes_section,
    notes_section,
    stored_blocks,
    summary_section,
    weights_section,
)
from reports.page.reproduce import RunFile, reproduce_section
from reports.page.synthesis import synthesis_section
from reports.page.verification import verification_section, verification_verdict
from reports.summary import Summary
from reports.traffic import TrafficFigures

_BOARDS = tuple(board for board in DEVICES.values() if board.family == "ultrascale+")
# Name of a picture: what it is, what it shows.
_CAPTIONS = {
    "sqnr": ("SQNR of every node", "Errors of weights and outputs; the lowest outputs are marked."),
    "memory": ("Stored memory of every layer", "Every stored bit, by layer and kind."),
    "weights": (
        "Histograms of weights",
        "Float weights and what their codes mean, of the first and last layer, the largest and "
        "those whose weights lost most; of layers in PWLQ the breakpoint, dashed at its median, "
        "shaded from the least to the most of all groups.",
    ),
    "breakpoints": ("PWLQ breakpoints", "First breakpoint of every layer in PWLQ."),
    "fifos": ("FIFO depths", "Bits of every FIFO that is no wire, least and as planned."),
    "utilisation": (
        "Bottleneck chart",
        "Share of the interval in which the slowest stage of each node works; nodes as slow as the "
        "bottleneck are red.",
    ),
    "memorymap": (
        "Memory map",
        "Every block of memory of the board and what lies in it; the table below has the numbers.",
    ),
}


@dataclass(frozen=True, eq=False)
class Hardware:
    """The planned hardware.

    Attributes:
        network: FIFO depths and cycles.
        estimate: What every piece takes.
        clock_hz: Planned clock.
        device: Board that it is planned for; ``None`` when none was named.
    """

    network: NetworkSummary
    estimate: HardwareEstimate
    clock_hz: int
    device: Device | None


@dataclass(frozen=True, eq=False)
class PageInput:
    """Everything that a page shows.

    Attributes:
        summary: Every figure about the bundle.
        breakpoints: PWLQ's breakpoints.
        hardware: The planned hardware; ``None``: nothing is said of it.
        pictures: SVG files by name, as ``report_files`` names them.
        verification: JSON values of the last ``verify``; ``None`` when there was none.
        synthesis: JSON values of the last ``synth`` for UltraScale+; ``None`` without one.
        explored_plan: JSON values of the last ``explore`` for one plan; ``None`` without one.
        explored_front: JSON values of the last ``explore --front``; ``None`` without one.
        runs: What the runs in the build wrote, in order.
        versions: Names and versions of what made the page.
    """

    summary: Summary
    breakpoints: tuple[BreakpointRecord, ...]
    hardware: Hardware | None
    pictures: Mapping[str, bytes]
    verification: Mapping[str, Any] | None
    synthesis: Mapping[str, Any] | None
    explored_plan: Mapping[str, Any] | None
    explored_front: Mapping[str, Any] | None
    runs: tuple[RunFile, ...]
    versions: tuple[tuple[str, str], ...]


def report_page(given: PageInput) -> Page:
    """Return the page of a build.

    Raises:
        InputFileError: A record of the build is damaged.
    """
    summary, hardware = given.summary, given.hardware
    plots = {name: _plot(name, svg) for name, svg in given.pictures.items() if name in _CAPTIONS}
    verdict = verification_verdict(given.verification, summary.digest)
    facts: tuple[tuple[str, str], ...] = ()
    planned: list[Section] = []
    memory: tuple[Block, ...] = ()
    if hardware is not None:
        network, estimate = hardware.network, hardware.estimate
        facts = hardware_facts(network, estimate, hardware.clock_hz)
        board = hardware.device or smallest_board(estimate, _BOARDS)
        plots["memorymap"] = _plot(
            "memorymap", render(lambda: memory_map_plot(estimate, board), "svg")
        )
        named = hardware.device is not None
        figures = TrafficFigures(
            estimate.traffic, network.cycles.interval_cycles, hardware.clock_hz, hardware.device
        )
        memory = (
            *memory_blocks(estimate, board, named, _BOARDS, plots),
            *traffic_blocks(figures),
        )
        planned = [
            speed_section(network, plots),
            exploration_section(given.explored_plan, given.explored_front, summary.digest),
            fifo_section(network, plots),
            synthesis_section(given.synthesis, summary.digest),
        ]
    cycles = hardware.network.cycles if hardware else None
    sections = (
        summary_section(summary, facts, verdict),
        nodes_section(summary, plots, cycles, hardware.estimate if hardware else None, BASIS),
        Section("memory", "Memory", (*memory, *stored_blocks(summary, plots))),
        *planned,
        weights_section(given.breakpoints, plots),
        verification_section(given.verification, summary.digest),
        notes_section(summary),
        reproduce_section(summary.digest, given.runs, given.versions),
    )
    lead = f"{summary.model}, quantized to integers; graph {summary.digest[:12]}"
    footer = "Written by nibbleflow report. One file: nothing is loaded from anywhere."
    return Page(f"{summary.name}: nibbleflow report", lead, sections, footer)


def _plot(name: str, svg: bytes) -> Plot:
    title, caption = _CAPTIONS[name]
    return Plot(f"plot-{name}", title, caption, inline_svg(svg, name, title, caption))

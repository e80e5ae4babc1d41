# SPDX-License-Identifier: Apache-2.0
"""A whole network as hardware: FIFO depths with their proof, and the cycles of every node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from hw.fifo_depths import FifoPlan
from hw.network_cycles import NetworkCycles
from reports.figures import BLUE, ORANGE, VERMILLION, row_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KIB_BITS = 8 * 1024
_BAR = 0.36
BASIS = "exact model of the cells, no RTL was run"


@dataclass(frozen=True, eq=False)
class NetworkSummary:
    """What is known of a network before any RTL runs.

    Attributes:
        fifos: Least and throughput depths of every edge.
        cycles: Cycles with the throughput depths.
    """

    fifos: FifoPlan
    cycles: NetworkCycles

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values."""
        fifos, cycles, proof = self.fifos, self.cycles, self.fifos.minimal.proof
        return {
            "basis": BASIS,
            "interval_cycles": cycles.interval_cycles,
            "latency_cycles": cycles.latency_cycles,
            "settled": cycles.settled,
            "bottleneck": cycles.bottleneck,
            "target_cycles": fifos.throughput.target_cycles,
            "out_of_reach": fifos.throughput.reason or None,
            "minimal_bits": fifos.minimal_bits,
            "throughput_bits": fifos.throughput_bits,
            "tensor_bits": fifos.tensor_bits,
            "proof": {
                "assumption": proof.assumption,
                "input_beats": proof.input_beats,
                "output_beats": proof.output_beats,
                "moved_beats": proof.moved_beats,
                "left_beats": proof.left_beats,
            },
            "fifos": [
                {
                    "producer": row.key[0],
                    "consumer": row.key[1],
                    "beat_bits": row.beat_bits,
                    "frame_beats": row.frame_beats,
                    "minimal": row.minimal,
                    "throughput": row.throughput,
                    "stall": [str(wait) for wait in stall.waits]
                    if (stall := fifos.minimal.stalls.get(row.key))
                    else None,
                }
                for row in fifos.rows
            ],
            "nodes": [
                {
                    "name": name,
                    "alone_cycles": node.alone_cycles,
                    "network_cycles": node.network_cycles,
                    "latency_cycles": node.latency_cycles,
                    "utilisation": node.utilisation,
                }
                for name, node in cycles.nodes.items()
            ],
        }


def fifo_table(summary: NetworkSummary) -> Table:
    """Return one line per edge that holds beats, and the totals."""
    fifos = summary.fifos
    caption = f"beats; assumption of the proof: {fifos.minimal.proof.assumption}"
    table = Table(title="FIFOs", box=None, pad_edge=False, caption=caption)
    table.add_column("edge", max_width=44)
    for name in ("bits", "minimal", "throughput", "tensor"):
        table.add_column(name, no_wrap=True, justify="right")
    for row in fifos.rows:
        if row.throughput:
            counts = (row.beat_bits, row.minimal, row.throughput, row.frame_beats)
            table.add_row(Text(" -> ".join(row.key)), *(f"{n:,}" for n in counts))
    table.add_section()
    totals = (fifos.minimal_bits, fifos.throughput_bits, fifos.tensor_bits)
    table.add_row("all edges, KiB", "", *(f"{bits / _KIB_BITS:,.1f}" for bits in totals))
    return table


def cycle_table(summary: NetworkSummary) -> Table:
    """Return the cycles of every node alone and in the network."""
    cycles = summary.cycles
    caption = (
        f"interval {cycles.interval_cycles:,}, latency {cycles.latency_cycles:,} cycles ({BASIS})"
    )
    table = Table(title="cycles per frame", box=None, pad_edge=False, caption=caption)
    table.add_column("node", no_wrap=True, max_width=44)
    for name in ("alone", "in network", "latency", "busy"):
        table.add_column(name, no_wrap=True, justify="right")
    for name, node in cycles.nodes.items():
        counts = (node.alone_cycles, node.network_cycles, node.latency_cycles)
        share = f"{100 * node.utilisation:.1f} %"
        table.add_row(Text(name), *(f"{n:,}" for n in counts), share)
    return table


def fifo_plot(summary: NetworkSummary) -> Figure:
    """Draw the bits of every FIFO, least and for full throughput."""
    fifos = summary.fifos
    rows = [row for row in fifos.rows if row.throughput]
    figure, axes = row_axes(
        [" -> ".join(row.key) for row in rows],
        "FIFOs between the nodes",
        "KiB",
        f"{fifos.minimal_bits / _KIB_BITS:,.1f} KiB at least, "
        f"{fifos.throughput_bits / _KIB_BITS:,.1f} for full throughput; whole tensors would take "
        f"{fifos.tensor_bits / _KIB_BITS:,.1f}",
    )
    at = range(len(rows))
    for shift, colour, label in (
        (-_BAR / 2, ORANGE, "least without deadlock"),
        (_BAR / 2, BLUE, "full throughput"),
    ):
        depths = [row.minimal if colour == ORANGE else row.throughput for row in rows]
        sizes = [d * row.beat_bits / _KIB_BITS for d, row in zip(depths, rows, strict=True)]
        axes.barh([y + shift for y in at], sizes, _BAR, color=colour, label=label)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7)
    return figure


def cycle_plot(summary: NetworkSummary) -> Figure:
    """Draw the share of the interval in which every node works."""
    cycles = summary.cycles
    figure, axes = row_axes(
        list(cycles.nodes),
        "Share of the interval in which a node works",
        "percent",
        f"one frame every {cycles.interval_cycles:,} cycles; slowest: {cycles.bottleneck}; {BASIS}",
    )
    shares = [100 * node.utilisation for node in cycles.nodes.values()]
    slowest = cycles.nodes[cycles.bottleneck].alone_cycles
    colours = [
        VERMILLION if node.alone_cycles == slowest else BLUE for node in cycles.nodes.values()
    ]
    axes.barh(range(len(shares)), shares, 2 * _BAR, color=colours)
    axes.set_xlim(0, 100)
    return figure

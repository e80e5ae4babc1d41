# SPDX-License-Identifier: Apache-2.0
"""Plots with one row per layer: stored memory, SQNR, planned cycles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quant.bundle import MemoryKind
from quant.errors import PlanError
from reports.cycles import PLANNED
from reports.figures import BLUE, ORANGE, PALETTE, SKY, VERMILLION, row_axes
from reports.summary import LayerSummary, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KIB_BITS = 8 * 1024
_BAR = 0.72
MARKED = 5


def memory_plot(summary: Summary) -> Figure:
    """Draw the stored memory of every layer, stacked by kind; small nodes share one row."""
    rows = _memory_rows(summary.layers)
    ratio = summary.memory.honest_ratio
    figure, axes = row_axes(
        [name for name, _ in rows],
        f"{summary.name}: stored memory per layer",
        "stored memory (KiB)",
        f"{summary.memory.bits / _KIB_BITS:,.1f} KiB in all, every stored bit counted; "
        f"FP16 is {ratio:.2f} times as much",
    )
    at = list(range(len(rows)))
    starts = [0.0] * len(rows)
    for kind, colour in zip(MemoryKind, PALETTE, strict=True):
        widths = [bits.get(kind, 0) / _KIB_BITS for _, bits in rows]
        if not any(widths):
            continue
        axes.barh(at, widths, _BAR, left=starts, color=colour, label=kind.value)
        starts = [a + b for a, b in zip(starts, widths, strict=True)]
    for row, total in enumerate(starts):
        _value_label(axes, total, row, f"{total:,.2f}")
    axes.set_xlim(0, 1.1 * max(starts))
    figure.legend(loc="outside lower center", ncols=4, fontsize=7)
    return figure


def sqnr_plot(summary: Summary) -> Figure:
    """Draw the SQNR of every measured node: of its output, and of its weights.

    The input is left out: it is exact to the byte, and its bar would squeeze all others.
    """
    layers = [
        x
        for x in summary.layers
        if x.kind != "input" and (x.sqnr_db is not None or x.weight_sqnr_db is not None)
    ]
    figure, axes = row_axes(
        [layer.name for layer in layers],
        f"{summary.name}: signal to quantization noise per node",
        "SQNR (dB), more is better",
        f"on calibration images, against the float network; the {MARKED} lowest outputs are marked",
    )
    worst = {layer.name for layer in summary.worst_layers(MARKED)}
    weights, usual, lowest = _Points(), _Points(), _Points()
    for row, layer in enumerate(layers):
        weights.add(layer.weight_sqnr_db, row)
        (lowest if layer.name in worst else usual).add(layer.sqnr_db, row)
    low, high = min([0.0, *usual.x, *lowest.x, *weights.x]), max([1.0, *usual.x, *weights.x])
    axes.hlines([*usual.y, *lowest.y], low, [*usual.x, *lowest.x], SKY, linewidth=1.0)
    axes.plot(weights.x, weights.y, "D", color=ORANGE, markersize=3.5, label="weights")
    axes.plot(usual.x, usual.y, "o", color=BLUE, markersize=4.5, label="output")
    axes.plot(lowest.x, lowest.y, "s", color=VERMILLION, markersize=5, label="output, lowest")
    axes.set_xlim(low, low + 1.05 * (high - low))
    figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    return figure


def cycles_plot(summary: Summary) -> Figure:
    """Draw the planned cycles per frame of every convolution with its folding.

    Raises:
        PlanError: The summary was made without a schedule.
    """
    if summary.cycles is None:
        raise PlanError(f"'{summary.name}' has no planned cycles; summarise it with a schedule")
    rows = [(layer.name, layer.cycles) for layer in summary.layers if layer.cycles is not None]
    slowest = summary.cycles
    equal = sum(plan.interval_cycles == slowest.interval_cycles for _, plan in rows) - 1
    others = f" and {equal} more" if equal else ""
    figure, axes = row_axes(
        [name for name, _ in rows],
        f"{summary.name}: cycles per frame ({PLANNED})",
        "cycles per frame (thousands)",
        f"slowest: {slowest.bottleneck}{others}; estimated {slowest.estimated_fps:.1f} frames per "
        f"second at {slowest.clock_hz / 1e6:g} MHz",
    )
    values = [plan.interval_cycles / 1e3 for _, plan in rows]
    colours = [
        VERMILLION if plan.interval_cycles == slowest.interval_cycles else BLUE for _, plan in rows
    ]
    axes.barh(range(len(rows)), values, _BAR, color=colours)
    for row, ((_, plan), value) in enumerate(zip(rows, values, strict=True)):
        _value_label(axes, value, row, f"{value:,.1f}  (PE {plan.pe} x SIMD {plan.simd})")
    axes.set_xlim(0, 1.3 * max(values))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


@dataclass
class _Points:
    """Points of one series; absent values are left out.

    Attributes:
        x: Values.
        y: Rows.
    """

    x: list[float] = field(default_factory=list)
    y: list[int] = field(default_factory=list)

    def add(self, value: float | None, row: int) -> None:
        """Add one point, or nothing for an absent value."""
        if value is not None:
            self.x.append(value)
            self.y.append(row)


def _memory_rows(layers: Sequence[LayerSummary]) -> list[tuple[str, Mapping[MemoryKind, int]]]:
    """Return (label, bits by kind): one row per layer with weights, one for all other nodes."""
    rows = [(x.name, x.memory_bits) for x in layers if x.weights]
    others = [x.memory_bits for x in layers if not x.weights and x.stored_bits]
    if others:
        total: Counter[MemoryKind] = Counter()
        for bits in others:
            total.update(bits)
        rows.append((f"{len(others)} other nodes", total))
    return rows


def _value_label(axes: Axes, value: float, row: int, text: str) -> None:
    axes.annotate(text, (value, row), (3, 0), textcoords="offset points", va="center", fontsize=6.5)

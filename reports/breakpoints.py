# SPDX-License-Identifier: Apache-2.0
"""PWLQ's breakpoints, float beside integer: a table and a plot with one row per layer."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from quant.record import BreakpointRecord
from reports.figures import BLUE, ORANGE, SKY, row_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OFFSET = 0.18


def real_shares(record: BreakpointRecord) -> list[float]:
    """Return the first real breakpoint over the largest magnitude of each group.

    Groups without any weight but 0 have no share and are left out.
    """
    first = record.real[:: record.breakpoints]
    return [p / top for p, top in zip(first, record.tops, strict=True) if top > 0.0]


def integer_shares(record: BreakpointRecord) -> list[float]:
    """Return the first integer breakpoint over the largest integer of each group."""
    return [p / top for p, top in zip(record.integers, record.integer_tops, strict=True)]


def breakpoint_table(records: Sequence[BreakpointRecord]) -> Table:
    """Return one line per layer: groups, and breakpoint over range, float and integer."""
    table = Table(title="PWLQ breakpoints over the range of their group: least, median, most")
    table.box = None
    table.add_column("layer", no_wrap=True, max_width=40)
    for name in ("groups", "float p/m", "integer p/m", "integer p"):
        table.add_column(name, no_wrap=True, justify="right")
    for record in records:
        places = record.integers
        table.add_row(
            Text(record.layer),
            f"{len(record.tops):,}",
            _three(real_shares(record)),
            _three(integer_shares(record)),
            f"{min(places)}..{max(places)}",
        )
    return table


def breakpoint_plot(name: str, records: Sequence[BreakpointRecord]) -> Figure:
    """Draw the breakpoints of every layer as shares of their group's range.

    Args:
        name: Name of the network.
        records: Breakpoints of its layers, at least one.
    """
    figure, axes = row_axes(
        [record.layer for record in records],
        f"{name}: PWLQ breakpoints",
        "first breakpoint over the largest magnitude of the group",
        "line: least to most of all groups; mark: median",
    )
    for label, shares, offset, colour, mark in (
        ("float", real_shares, -_OFFSET, BLUE, "o"),
        ("integer table", integer_shares, _OFFSET, ORANGE, "D"),
    ):
        found = [(row, values) for row, r in enumerate(records) if (values := shares(r))]
        rows = [row + offset for row, _ in found]
        lows, highs = [min(v) for _, v in found], [max(v) for _, v in found]
        axes.hlines(rows, lows, highs, SKY if colour == BLUE else colour, linewidth=1.0)
        axes.plot(
            [median(v) for _, v in found], rows, mark, color=colour, markersize=4, label=label
        )
    axes.set_xlim(0.0, 1.0)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7)
    return figure


def _three(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{min(values):.3f} {median(values):.3f} {max(values):.3f}"

# SPDX-License-Identifier: Apache-2.0
"""Estimated resources for the terminal: node by node, and in all beside a board."""

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from hw.device import Device
from hw.estimate import BASIS, Resources, total
from reports.hardware import HardwareEstimate
from reports.tables import NAME_WIDTH

_COLUMNS = ("LUT", "of them memory", "FF", "DSP", "BRAM18", "URAM")
_STREAMS = "FIFOs, converters, forks, ends"


def resource_tables(estimate: HardwareEstimate, device: Device | None) -> tuple[Table, Table]:
    """Return what every node takes, and what all take of a board.

    Args:
        estimate: Of the planned network.
        device: The board; ``None`` when none was named.
    """
    nodes = Table(title=f"resources by node, {BASIS}", box=None, pad_edge=False)
    nodes.add_column("node", no_wrap=True, max_width=NAME_WIDTH)
    for column in _COLUMNS:
        nodes.add_column(column, justify="right", no_wrap=True)
    names = dict.fromkeys(part.owner for part in estimate.parts if part.kind == "cell")
    for name in names:
        nodes.add_row(Text(name), *_cells(estimate.of_node(name)))
    streams = total(
        part.resources
        for part in estimate.parts
        if part.owner not in names or part.kind not in ("cell", "weights", "loader")
    )
    nodes.add_row(_STREAMS, *_cells(streams), style="dim")
    sums = Table(title=f"resources, {BASIS}", box=None, pad_edge=False)
    sums.add_column("")
    for column in _COLUMNS:
        sums.add_column(column, justify="right", no_wrap=True)
    sums.add_row("network", *_cells(estimate.total))
    if device is not None:
        used, has = _figures(estimate.total), _board(device)
        sums.add_row(device.name, *(f"{limit:,}" if limit is not None else "" for limit in has))
        shares = (
            "" if limit is None else f"{100 * part / limit:.1f} %" if limit else "-"
            for part, limit in zip(used, has, strict=True)
        )
        sums.add_row("share", *shares)
    return nodes, sums


def resource_values(estimate: HardwareEstimate) -> dict[str, Any]:
    """Return the sums as JSON values, with what they are based on."""
    return {"basis": BASIS, **asdict(estimate.total)}


def _cells(used: Resources) -> tuple[str, ...]:
    return tuple(f"{value:,}" for value in _figures(used))


def _figures(used: Resources) -> tuple[int, ...]:
    return (used.all_luts, used.lutram_luts, used.ff, used.dsp, used.bram18, used.uram)


def _board(device: Device) -> tuple[int | None, ...]:
    return (device.lut, None, device.ff, device.dsp, device.bram18, device.uram)

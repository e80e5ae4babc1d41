# SPDX-License-Identifier: Apache-2.0
"""The memories of a board as a picture: one square per block, in runs of what lies in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw.device import Device
from hw.estimate import BASIS
from reports.figures import (
    BLUE,
    GREEN,
    ON_COLOUR,
    ORANGE,
    PURPLE,
    VERMILLION,
    new_figure,
    short_name,
)
from reports.hardware import HardwareEstimate, Part, PartKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 48
_MOST_ROWS = 28
_ROW_INCHES = 0.2
_WIDTH_INCHES = 10.0
# Letters of the smallest label that fit a column when there are ``_COLUMNS`` of them.
_LETTERS_PER_COLUMN = 3.0
_LEAST_LETTERS = 6
_FREE = "#DDDDDD"
_USES: dict[PartKind, tuple[str, str]] = {
    "weights": (BLUE, "weights"),
    "cell": (GREEN, "lines, tables, parameters"),
    "fifo": (ORANGE, "FIFOs"),
    "converter": (PURPLE, "other"),
    "fork": (PURPLE, "other"),
    "loader": (PURPLE, "other"),
    "end": (PURPLE, "other"),
}


@dataclass(frozen=True)
class _Bank:
    """Blocks of one kind.

    Attributes:
        title: What they are called.
        capacity: How many the board has.
        runs: Parts that take some, with how many.
    """

    title: str
    capacity: int
    runs: tuple[tuple[Part, int], ...]

    @property
    def used(self) -> int:
        return sum(count for _, count in self.runs)

    @property
    def columns(self) -> int:
        return max(_COLUMNS, math.ceil(max(self.capacity, self.used) / _MOST_ROWS))

    @property
    def rows(self) -> int:
        return math.ceil(max(self.capacity, self.used) / self.columns)


def memory_map_plot(estimate: HardwareEstimate, device: Device) -> Figure:
    """Draw every block of memory of a board, and what lies in it.

    Args:
        estimate: Every piece of the network.
        device: The board.
    """
    banks = _banks(estimate, device)
    heights = [bank.rows + 2.2 for bank in banks]
    figure = new_figure(_WIDTH_INCHES, 0.6 + _ROW_INCHES * sum(heights))
    figure.suptitle(f"Memories of {device.name} ({device.part}), {BASIS}", fontsize=10,
                    weight="bold")  # fmt: skip
    rows = figure.subplots(len(banks), 1, squeeze=False, height_ratios=heights)
    for axes, bank in zip(rows[:, 0], banks, strict=True):
        _draw_bank(axes, bank)
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=5, fontsize=7
        )
    return figure


def smallest_board(estimate: HardwareEstimate, boards: Sequence[Device]) -> Device:
    """Return the board of fewest lookup tables that has everything; the largest if none has.

    Args:
        estimate: Every piece of the network.
        boards: Boards of UltraScale+, whose blocks the estimates count; at least one.
    """
    ordered = sorted(boards, key=lambda board: (board.lut, board.name))
    return next((board for board in ordered if fits(estimate, board)), ordered[-1])


def fits(estimate: HardwareEstimate, device: Device) -> bool:
    """Whether a board has as many of every resource as the network takes."""
    found = estimate.total
    return (
        found.all_luts <= device.six_input_luts
        and found.ff <= device.ff
        and found.dsp <= device.dsp
        and found.bram18 <= device.bram18
        and found.uram <= device.uram
    )


def _banks(estimate: HardwareEstimate, device: Device) -> list[_Bank]:
    parts = estimate.parts
    blocks = tuple((part, n) for part in parts if (n := part.resources.bram18))
    ultra = tuple((part, n) for part in parts if (n := part.resources.uram))
    banks = [_Bank("block RAM, halves of 18 Kibit", device.bram18, blocks)]
    if device.uram or ultra:
        banks.append(_Bank("ultra RAM, 288 Kibit each", device.uram, ultra))
    return banks


def _draw_bank(axes: Axes, bank: _Bank) -> None:
    share = f"{bank.used:,} of {bank.capacity:,}"
    over = f": {bank.used - bank.capacity:,} too many" if bank.used > bank.capacity else ""
    axes.set_title(f"{bank.title}: {share}{over}", loc="left", fontsize=8)
    axes.set_xlim(0, bank.columns)
    axes.set_ylim(bank.rows, 0)
    axes.set_axis_off()
    for row, begin, length in _row_spans(0, bank.capacity, bank.columns):
        axes.broken_barh([(begin + i + 0.06, 0.88) for i in range(length)], (row + 0.1, 0.8),
                         color=_FREE)  # fmt: skip
    at = 0
    for part, count in bank.runs:
        colour, label = _USES[part.kind]
        for begin, end, shade, text in (
            (at, min(at + count, bank.capacity), colour, label),
            (max(at, bank.capacity), at + count, VERMILLION, "more than the board has"),
        ):
            if end > begin:
                _draw_run(axes, part.owner, begin, end, bank.columns, shade, text)
        at += count


def _draw_run(
    axes: Axes, owner: str, begin: int, end: int, columns: int, colour: str, label: str
) -> None:
    spans = _row_spans(begin, end, columns)
    for row, column, length in spans:
        axes.broken_barh(
            [(column + 0.06, length - 0.12)], (row + 0.06, 0.88), color=colour, label=label
        )
    row, column, length = max(spans, key=lambda span: span[2])
    letters = int(_LETTERS_PER_COLUMN * length * _COLUMNS / columns)
    if letters >= _LEAST_LETTERS:
        axes.text(
            column + length / 2, row + 0.5, short_name(owner, letters), color=ON_COLOUR,
            fontsize=5.5, ha="center", va="center_baseline",
        )  # fmt: skip


def _row_spans(begin: int, end: int, columns: int) -> list[tuple[int, int, int]]:
    """Return row, first column and length of every piece of the blocks ``begin`` to ``end``."""
    spans = []
    while begin < end:
        row, column = divmod(begin, columns)
        length = min(end - begin, columns - column)
        spans.append((row, column, length))
        begin += length
    return spans

# SPDX-License-Identifier: Apache-2.0
"""Weights from outside: what every layer takes of the bandwidth of the memory on the board."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from hw.device import Device
from hw.traffic import Traffic, bytes_per_second
from reports.tables import NAME_WIDTH

MEGABYTE = 1_000_000
PICTURES = "pictures and results"


@dataclass(frozen=True)
class TrafficFigures:
    """A network's traffic at its planned speed.

    Attributes:
        traffic: Bytes of a frame.
        interval_cycles: Planned cycles of a frame.
        clock_hz: Planned clock.
        device: The board; ``None`` when none was named.
    """

    traffic: Traffic
    interval_cycles: int
    clock_hz: int
    device: Device | None

    def rate(self, frame_bytes: int) -> int:
        """Return the bytes per second of so many a frame."""
        return bytes_per_second(frame_bytes, self.interval_cycles, self.clock_hz)

    @property
    def board_rate(self) -> int:
        """Bytes per second that the memory of the board moves; 0: none, or none is known."""
        return 0 if self.device is None else self.device.external_bytes_per_second

    @property
    def verdict(self) -> str:
        """Say what the board makes of it, in one sentence."""
        rate = self.rate(self.traffic.frame_bytes)
        text = (
            f"{rate / MEGABYTE:,.1f} MB/s in all at the planned speed, as long as no stream of "
            "weights waits"
        )
        if self.device is None:
            return f"{text}."
        if not self.board_rate:
            return f"{text}; {self.device.name} has no memory on the board that is known."
        share = 100 * rate / self.board_rate
        return (
            f"{text}: {share:.1f} % of the {self.board_rate / MEGABYTE:,.0f} MB/s of "
            f"{self.device.name}."
        )

    def rows(self) -> list[tuple[str, str, int, int, int, int]]:
        """Return layer, port, bytes of a word, bytes in memory, rounds and bytes a second."""
        return [
            (p.node, p.port, p.word_bytes, p.memory_bytes, p.repeats, self.rate(p.frame_bytes))
            for p in self.traffic.weights
        ]


COLUMNS = ("layer", "port", "bytes of a word", "bytes in memory", "times a frame", "MB/s")


def traffic_parts(figures: TrafficFigures) -> tuple[Table | Text, ...]:
    """Return a table of the layers whose weights come from outside; nothing without any."""
    if not figures.traffic.weights:
        return ()
    table = Table(title="weights from outside: none of them on the chip", box=None, pad_edge=False)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number < 2 else "right", max_width=NAME_WIDTH)
    for name, port, word, memory, repeats, rate in figures.rows():
        numbers = (f"{word:,}", f"{memory:,}", f"{repeats:,}", f"{rate / MEGABYTE:,.1f}")
        table.add_row(Text(name), port, *numbers)
    pictures = figures.rate(figures.traffic.picture_bytes)
    table.add_row(PICTURES, *("",) * 4, f"{pictures / MEGABYTE:,.1f}", style="dim")
    return table, Text(figures.verdict)


def traffic_values(figures: TrafficFigures) -> dict[str, Any]:
    """Return the same as JSON values."""
    traffic = figures.traffic
    return {
        "weights": [
            {
                "layer": part.node,
                "port": part.port,
                "bytes_on_chip": 0,
                "bytes_in_memory": part.memory_bytes,
                "bytes_per_word": part.word_bytes,
                "repeats": part.repeats,
                "bytes_per_frame": part.frame_bytes,
                "bytes_per_second": figures.rate(part.frame_bytes),
            }
            for part in traffic.weights
        ],
        "picture_bytes_per_frame": traffic.picture_bytes,
        "bytes_per_second": figures.rate(traffic.frame_bytes),
        "board_bytes_per_second": figures.board_rate or None,
    }

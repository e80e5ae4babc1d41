# SPDX-License-Identifier: Apache-2.0
"""Tables of a summary for the terminal, readable at 100 columns."""

import io
from collections.abc import Iterable, Mapping

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from reports.cycles import PLANNED
from reports.summary import LayerSummary, Summary

WIDTH = 100
NAME_WIDTH = 26
MOST_NOTES = 6
_KIB_BITS = 8 * 1024


def summary_table(summary: Summary) -> Table:
    """Return the figures of the whole network, one per line."""
    title = Text(f"{summary.name} ({summary.model})")
    table = Table(title=title, box=None, show_header=False)
    table.add_column("figure", style="bold", no_wrap=True)
    table.add_column("value")
    for name, value in _figures(summary):
        table.add_row(name, Text(value))
    return table


def layer_table(summary: Summary) -> Table:
    """Return one line per node; columns without any entry are left out."""
    table = Table(title="nodes", box=None, pad_edge=False, caption=_layer_caption(summary))
    table.add_column("node", no_wrap=True, max_width=NAME_WIDTH)
    table.add_column("kind", no_wrap=True)
    table.add_column("CxHxW", no_wrap=True, justify="right")
    numeric = ["MMAC", "W/A", "acc", "W dB", "dB", "KiB", "dead"]
    planned = summary.cycles is not None
    if planned:
        numeric += ["PExSIMD", "kcycle"]
    show_dead = summary.dead_filters > 0
    if not show_dead:
        numeric.remove("dead")
    for name in numeric:
        table.add_column(name, no_wrap=True, justify="right")
    for layer in summary.layers:
        cells = _layer_cells(layer, show_dead=show_dead, planned=planned)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def memory_table(summary: Summary) -> Table:
    """Return the stored bits by kind, with their share and the two ratios."""
    memory = summary.memory
    table = Table(title="stored memory by kind", box=None, caption=_ratio_caption(summary))
    table.add_column("kind", no_wrap=True)
    for name in ("bits", "KiB", "share"):
        table.add_column(name, no_wrap=True, justify="right")
    for kind, bits in summary.bits_by_kind().items():
        table.add_row(kind.value, f"{bits:,}", _kib(bits), f"{100 * bits / memory.bits:.2f} %")
    table.add_section()
    table.add_row("all", f"{memory.bits:,}", _kib(memory.bits), "100.00 %", style="bold")
    table.add_row("FP16 of the fused model", f"{memory.fp16_bits:,}", _kib(memory.fp16_bits), "")
    return table


def worst_table(summary: Summary, count: int = 5) -> Table:
    """Return the ``count`` nodes of lowest output SQNR, worst first."""
    table = Table(title="lowest output SQNR", box=None)
    table.add_column("node", no_wrap=True, max_width=2 * NAME_WIDTH)
    table.add_column("kind", no_wrap=True)
    for name in ("W/A bits", "weights dB", "output dB"):
        table.add_column(name, no_wrap=True, justify="right")
    for layer in summary.worst_layers(count):
        cells = (layer.name, layer.kind, _bits(layer), _db(layer.weight_sqnr_db))
        table.add_row(*(Text(cell) for cell in cells), _db(layer.sqnr_db))
    return table


def summary_tables(summary: Summary) -> tuple[Table, ...]:
    """Return every table; the whole network comes last, where a terminal stops scrolling."""
    return (
        layer_table(summary),
        memory_table(summary),
        worst_table(summary),
        summary_table(summary),
    )


def text_of(parts: Iterable[RenderableType], width: int = WIDTH) -> str:
    """Return what a terminal of ``width`` columns shows, without colours or trailing blanks."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, color_system=None, force_terminal=False, legacy_windows=False
    )
    for part in parts:
        console.print(part)
        console.print()
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    return "\n".join(lines).rstrip("\n") + "\n"


def _figures(summary: Summary) -> list[tuple[str, str]]:
    memory, cycles = summary.memory, summary.cycles
    published = memory.published_ratio
    rows = [
        ("graph", summary.digest[:16]),
        ("input", "x".join(map(str, summary.input_shape))),
        (
            "parameters",
            f"{summary.source_parameters:,} as published, {summary.fused_parameters:,} fused",
        ),
        ("multiply-accumulates", f"{summary.macs:,} per frame"),
        ("weight bits", _counts(summary.weight_bits, "weights")),
        ("activation bits", _counts(summary.act_bits, "tensors")),
        ("memory", f"{_kib(memory.bits)} KiB; FP16 {_kib(memory.fp16_bits)} KiB"),
        ("ratio, every stored bit", f"{memory.honest_ratio:.3f}"),
        ("ratio, as published", "not defined" if published is None else f"{published:.3f}"),
    ]
    if cycles is not None:
        speed = f"{cycles.estimated_fps:.1f} estimated at {cycles.clock_hz / 1e6:g} MHz"
        rows += [
            ("slowest node", f"{cycles.bottleneck}: {cycles.interval_cycles:,} cycles ({PLANNED})"),
            ("frames per second", f"{speed} ({PLANNED})"),
        ]
    notes = list(summary.notes[:MOST_NOTES])
    if len(summary.notes) > MOST_NOTES:
        notes.append(f"... and {len(summary.notes) - MOST_NOTES} more, all in summary.json")
    rows += [("notes" if i == 0 else "", note) for i, note in enumerate(notes)]
    return rows


def _layer_cells(layer: LayerSummary, *, show_dead: bool, planned: bool) -> list[str]:
    cells = [
        layer.name,
        layer.kind,
        "x".join(map(str, layer.shape)),
        f"{layer.macs / 1e6:.2f}" if layer.macs else "",
        _bits(layer),
        "" if layer.accumulator_bits is None else str(layer.accumulator_bits),
        _db(layer.weight_sqnr_db),
        _db(layer.sqnr_db),
        _kib(layer.stored_bits) if layer.stored_bits else "",
    ]
    if show_dead:
        cells.append(str(layer.dead_filters or ""))
    if planned:
        plan = layer.cycles
        cells += ["", ""] if plan is None else [
            f"{plan.pe}x{plan.simd}",
            f"{plan.interval_cycles / 1e3:.1f}",
        ]  # fmt: skip
    return cells


def _layer_caption(summary: Summary) -> str:
    text = "W/A: bits of weights and output codes; acc: accumulator bits; dB: SQNR"
    return text + (f"; cycles {PLANNED}" if summary.cycles is not None else "")


def _ratio_caption(summary: Summary) -> str:
    published = summary.memory.published_ratio
    shown = "not defined for an encoding here" if published is None else f"{published:.3f}"
    return f"ratio to FP16: {summary.memory.honest_ratio:.3f}; as published: {shown}"


def _bits(layer: LayerSummary) -> str:
    return f"{layer.weight_bits or '-'}/{layer.act_bits}"


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _kib(bits: int) -> str:
    return f"{bits / _KIB_BITS:,.2f}"


def _counts(counts: Mapping[int, int], unit: str) -> str:
    return ", ".join(f"{bits} bits: {count:,} {unit}" for bits, count in counts.items())

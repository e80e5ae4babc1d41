# SPDX-License-Identifier: Apache-2.0
"""Sections about the network itself: summary, nodes, stored memory, weights."""

from collections.abc import Mapping

from hw.network_cycles import NetworkCycles
from quant.record import BreakpointRecord
from reports.breakpoints import integer_shares, real_shares
from reports.hardware import HardwareEstimate
from reports.page.blocks import (
    Block,
    Cell,
    Column,
    Facts,
    Grid,
    Paragraph,
    Plot,
    Remarks,
    Section,
    number_cell,
    text_cell,
)
from reports.summary import LayerSummary, Summary

KIB_BITS = 8 * 1024
Plots = Mapping[str, Plot]


def summary_section(
    summary: Summary, hardware_facts: tuple[tuple[str, str], ...], verdict: Paragraph
) -> Section:
    """Return what the whole network is, with the verdict of its last verification."""
    memory = summary.memory
    published = "no figure" if memory.published_ratio is None else f"{memory.published_ratio:.2f}"
    facts = (
        ("model", summary.model),
        ("input", " × ".join(map(str, summary.input_shape))),
        ("multiply-accumulates per frame", f"{summary.macs:,}"),
        ("parameters, as published and fused", _pair(summary)),
        ("weights by stored bits", _counts(summary.weight_bits)),
        ("tensors by bits of a code", _counts(summary.act_bits)),
        ("stored, every bit counted", f"{memory.bits / KIB_BITS:,.1f} KiB"),
        ("smaller than FP16, every bit counted", f"{memory.honest_ratio:.2f} times"),
        ("the same in the paper's accounting", published),
        *hardware_facts,
        ("graph", summary.digest),
    )
    return Section("summary", "Summary", (verdict, Facts(facts)))


def nodes_section(
    summary: Summary,
    plots: Plots,
    cycles: NetworkCycles | None,
    estimate: HardwareEstimate | None,
    basis: str,
) -> Section:
    """Return the table of all nodes: bits, errors, cycles, resources."""
    columns = [
        Column("node"),
        Column("kind"),
        Column("C × H × W"),
        Column("weight bits", True),
        Column("code bits", True),
        Column("weights' SQNR (dB)", True),
        Column("output SQNR (dB)", True),
        Column("million MACs", True),
        Column("stored (KiB)", True),
    ]
    if cycles is not None:
        columns += [
            Column("PE × SIMD"),
            Column("cycles per frame", True),
            Column("latency (cycles)", True),
            Column("busy (%)", True),
        ]
    if estimate is not None:
        columns += [
            Column(name, True) for name in ("LUT", "of them memory", "FF", "DSP", "BRAM18", "URAM")
        ]
    rows = tuple(
        (*_node_cells(layer), *_cycle_cells(layer, cycles), *_resource_cells(layer, estimate))
        for layer in summary.layers
    )
    sentences = [
        "SQNR is of calibration images, against the float network.",
        "Cycles are planned, of every cell alone; latency is in the network."
        if cycles is not None
        else "",
        f"Resources are {basis}." if estimate is not None else "",
    ]
    caption = f"{len(rows)} nodes. " + " ".join(filter(None, sentences))
    grid = Grid("node-table", caption, tuple(columns), rows)
    return Section("nodes", "Nodes", (grid, *_plots(plots, "sqnr")))


def stored_blocks(summary: Summary, plots: Plots) -> tuple[Block, ...]:
    """Return the stored bits by kind, and their picture."""
    memory = summary.memory
    rows = tuple(
        (
            text_cell(kind.value),
            number_cell(bits),
            number_cell(bits / KIB_BITS, "{:,.1f}"),
            number_cell(100 * bits / memory.bits, "{:.2f}"),
        )
        for kind, bits in summary.bits_by_kind().items()
    )
    columns = (Column("kind"), Column("bits", True), Column("KiB", True), Column("share (%)", True))
    caption = (
        f"Stored bits by kind: {memory.bits:,} in all; FP16 of the fused model takes "
        f"{memory.fp16_bits:,}."
    )
    return (Grid("stored-table", caption, columns, rows), *_plots(plots, "memory"))


def weights_section(breakpoints: tuple[BreakpointRecord, ...], plots: Plots) -> Section:
    """Return histograms of weights, with PWLQ's breakpoints where layers are in PWLQ."""
    blocks: list[Block] = list(_plots(plots, "weights"))
    if breakpoints:
        rows = tuple(_breakpoint_cells(record) for record in breakpoints)
        columns = (
            Column("layer"),
            Column("groups", True),
            *(Column(f"{what}, {which}", True) for what in ("real", "integer")
              for which in ("least", "most")),
        )  # fmt: skip
        caption = (
            "PWLQ's first breakpoint over the largest magnitude of its group, as it was found and "
            "as the integer tables have it."
        )
        blocks += [*_plots(plots, "breakpoints"), Grid("breakpoint-table", caption, columns, rows)]
    else:
        blocks.append(Paragraph("No layer is in PWLQ, so there are no breakpoints."))
    return Section("weights", "Weights", tuple(blocks))


def notes_section(summary: Summary) -> Section:
    """Return the decisions of the quantization and the remarks of the report."""
    settings = tuple((key, _shown(value)) for key, value in summary.settings.items())
    blocks: list[Block] = [Remarks(summary.notes)] if summary.notes else []
    return Section("notes", "Quantization", (*blocks, Facts(settings)))


def _plots(plots: Plots, name: str) -> tuple[Plot, ...]:
    return (plots[name],) if name in plots else ()


def _pair(summary: Summary) -> str:
    return f"{summary.source_parameters:,} and {summary.fused_parameters:,}"


def _counts(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{count:,} of {bits} bits" for bits, count in counts.items())


def _node_cells(layer: LayerSummary) -> tuple[Cell, ...]:
    return (
        text_cell(layer.name),
        text_cell(layer.kind),
        Cell(" × ".join(map(str, layer.shape)), layer.shape[0] * layer.shape[1] * layer.shape[2]),
        number_cell(layer.weight_bits or None),
        number_cell(layer.act_bits),
        number_cell(layer.weight_sqnr_db, "{:.1f}"),
        number_cell(layer.sqnr_db, "{:.1f}"),
        number_cell(layer.macs / 1e6 if layer.macs else None, "{:,.2f}"),
        number_cell(layer.stored_bits / KIB_BITS, "{:,.2f}"),
    )


def _cycle_cells(layer: LayerSummary, cycles: NetworkCycles | None) -> tuple[Cell, ...]:
    if cycles is None:
        return ()
    plan, node = layer.cycles, cycles.nodes.get(layer.name)
    if node is None:
        return (text_cell(""), *(number_cell(None),) * 3)
    folding = Cell(f"{plan.pe} × {plan.simd}", plan.pe * plan.simd) if plan else text_cell("")
    return (
        folding,
        number_cell(node.alone_cycles),
        number_cell(node.latency_cycles),
        number_cell(100 * node.utilisation, "{:.1f}"),
    )


def _resource_cells(layer: LayerSummary, estimate: HardwareEstimate | None) -> tuple[Cell, ...]:
    if estimate is None:
        return ()
    found = estimate.of_node(layer.name)
    counts = (found.all_luts, found.lutram_luts, found.ff, found.dsp, found.bram18, found.uram)
    return tuple(number_cell(count) for count in counts)


def _breakpoint_cells(record: BreakpointRecord) -> tuple[Cell, ...]:
    ends: list[float | None] = []
    for shares in (real_shares(record), integer_shares(record)):
        ends += [min(shares), max(shares)] if shares else [None, None]
    groups = number_cell(len(record.tops))
    return (text_cell(record.layer), groups, *(number_cell(end, "{:.3f}") for end in ends))


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_shown(entry)}" for key, entry in value.items()) or "none"
    return "none" if value is None else str(value)

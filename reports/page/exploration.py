# SPDX-License-Identifier: Apache-2.0
"""The section about the last exploration: plans between which to choose, and what was proved."""

from collections.abc import Mapping
from typing import Any

from hw.estimate import BASIS
from hw.explore import Uses
from quant.errors import InputFileError
from reports.figures import render
from reports.page.blocks import (
    Block,
    Column,
    Facts,
    Grid,
    Paragraph,
    Plot,
    Section,
    number_cell,
    text_cell,
)
from reports.page.inlinesvg import inline_svg
from reports.pareto import pareto_plot

COMMAND = "nibbleflow explore BUILD --front"
_RESOURCES = ("lut", "ff", "dsp", "bram18", "uram")
Json = Mapping[str, Any]


def exploration_section(plan: Json | None, front: Json | None, digest: str) -> Section:
    """Return what the last explorations found.

    Args:
        plan: JSON values of the last ``explore`` for one plan; ``None`` when there was none.
        front: JSON values of the last ``explore --front``; ``None`` when there was none.
        digest: Digest of the graph.

    Raises:
        InputFileError: A record is not one of ``explore``.
    """
    blocks: list[Block] = []
    try:
        if plan is not None:
            if plan["digest"] == digest:
                blocks += [Paragraph("The last plan that was asked for:"), _facts(plan)]
            else:
                text = "The last plan that was asked for was of another graph."
                blocks.append(Paragraph(text, "warn"))
        if front is None:
            text = f"No front was explored; {COMMAND} finds the plans between which to choose."
            blocks.append(Paragraph(text))
        elif front["digest"] != digest:
            text = f"The last front was of another graph; run {COMMAND} again."
            blocks.append(Paragraph(text, "warn"))
        else:
            blocks += _front(front)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputFileError(
            f"the record of the last exploration is damaged ({error!r}); run nibbleflow explore "
            "again"
        ) from None
    return Section("exploration", "Exploration", tuple(blocks))


def _facts(record: Json) -> Facts:
    proved = "proved optimal" if record["optimal"] else "not all proved optimal"
    facts = [
        ("board", record["board"] or "none"),
        ("objective", record["objective"]),
        ("verdict", f"{proved}, for the tables of estimates"),
    ]
    bound = record["bound"]
    if bound is not None:
        speed = f"{record['plans'][0]['fps']:,.1f} frames per second"
        facts += [
            ("found", speed),
            ("bound", f"{bound['fps']:,.1f} frames per second, cost {bound['cost']:.4f} or more"),
        ]
    kib = record["plans"][0].get("external_kib")
    if bound is not None and kib:
        facts.append(("weights from outside", f"{kib:,} KiB a frame"))
    # A front counts by the tables alone.
    kept_back = Uses(**record.get("kept_back", {}))
    if any(kept_back):
        facts.append(("kept back", f"{kept_back}; what is proved is proved of the rest"))
    return Facts((*facts, ("time", f"{record['seconds']:,.1f} s")))


def _front(record: Json) -> tuple[Block, ...]:
    plans = record["plans"]
    outside = any(plan.get("external_kib") for plan in plans)
    counted = (*_RESOURCES, *(["external_kib"] if outside else []))
    rows = tuple(
        (
            text_cell(f"{plan['bits']} {plan['scheme']}"),
            number_cell(plan["fps"], "{:,.1f}"),
            number_cell(plan["interval_cycles"]),
            *(number_cell(plan[key]) for key in counted),
            number_cell(plan["sqnr_db"], "{:.1f}"),
            text_cell("yes" if plan["optimal"] else "no"),
        )
        for plan in plans
    )
    columns = (
        Column("network"),
        *(Column(name, True) for name in ("frames per second", "cycles per frame", "LUT", "FF",
                                          "DSP", "BRAM18", "URAM")),
        *([Column("KiB of weights from outside", True)] if outside else []),
        Column("SQNR (dB)", True),
        Column("proved cheapest"),
    )  # fmt: skip
    caption = f"{len(rows)} plans that no other one beats, {BASIS}."
    name, title = "pareto", "Pareto plot"
    shown = "Frames per second against every resource, by bits and scheme."
    svg = render(lambda: pareto_plot(plans, BASIS), "svg")
    picture = Plot(f"plot-{name}", title, shown, inline_svg(svg, name, title, shown))
    return (_facts(record), picture, Grid("plan-table", caption, columns, rows))

# SPDX-License-Identifier: Apache-2.0
"""The section about the last exploration: plans between which to choose, and what was proved."""

from collections.abc import Mapping
from typing import Any

from hw.estimate import BASIS
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


def exploration_section(record: Json | None, digest: str) -> Section:
    """Return the plans of the last ``explore``.

    Args:
        record: JSON values of the last ``explore``; ``None`` when there was none.
        digest: Digest of the graph.

    Raises:
        InputFileError: The record is not one of ``explore``.
    """
    heading = ("exploration", "Exploration")
    if record is None:
        text = f"Nothing was explored; {COMMAND} finds the plans between which to choose."
        return Section(*heading, (Paragraph(text),))
    try:
        if record["digest"] != digest:
            text = f"The last exploration was of another graph; run {COMMAND} again."
            return Section(*heading, (Paragraph(text, "warn"),))
        return Section(*heading, _blocks(record))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputFileError(
            f"the record of the last exploration is damaged ({error!r}); run nibbleflow explore "
            "again"
        ) from None


def _blocks(record: Json) -> tuple[Block, ...]:
    plans = record["plans"]
    proved = "proved optimal" if record["optimal"] else "not all proved optimal"
    facts = [
        ("board", record["board"] or "none"),
        ("objective", record["objective"]),
        ("verdict", f"{proved}, for the tables of estimates"),
        ("time", f"{record['seconds']:,.1f} s"),
    ]
    bound = record["bound"]
    if bound is not None:
        facts.insert(
            3,
            ("bound", f"{bound['fps']:,.1f} frames per second, cost {bound['cost']:.4f} or more"),
        )
    rows = tuple(
        (
            text_cell(f"{plan['bits']} {plan['scheme']}"),
            number_cell(plan["fps"], "{:,.1f}"),
            number_cell(plan["interval_cycles"]),
            *(number_cell(plan[key]) for key in _RESOURCES),
            number_cell(plan["sqnr_db"], "{:.1f}"),
            text_cell("yes" if plan["optimal"] else "no"),
        )
        for plan in plans
    )
    columns = (
        Column("network"),
        *(Column(name, True) for name in ("frames per second", "cycles per frame", "LUT", "FF",
                                          "DSP", "BRAM18", "URAM", "SQNR (dB)")),
        Column("proved cheapest"),
    )  # fmt: skip
    caption = f"{len(rows)} plans that no other one beats, {BASIS}."
    name, title = "pareto", "Pareto plot"
    shown = "Frames per second against every resource, by bits and scheme."
    svg = render(lambda: pareto_plot(plans, BASIS), "svg")
    picture = Plot(f"plot-{name}", title, shown, inline_svg(svg, name, title, shown))
    return (Facts(tuple(facts)), picture, Grid("plan-table", caption, columns, rows))

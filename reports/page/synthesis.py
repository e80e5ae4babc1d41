# SPDX-License-Identifier: Apache-2.0
"""The section about the last synthesis: counted cells beside estimated ones."""

from collections.abc import Mapping
from typing import Any

from quant.errors import InputFileError
from reports.page.blocks import Cell, Column, Grid, Paragraph, Section, number_cell, text_cell

COMMAND = "nibbleflow synth BUILD"
Json = Mapping[str, Any]


def synthesis_section(record: Json | None, digest: str) -> Section:
    """Return what the last ``synth`` counted.

    Args:
        record: JSON values of the last ``synth`` for UltraScale+; ``None`` when there was none.
        digest: Digest of the graph.

    Raises:
        InputFileError: The record is not one of ``synth``.
    """
    heading = ("synthesis", "Synthesis")
    if record is None:
        text = f"Nothing was synthesised; {COMMAND} counts every distinct cell with Yosys."
        return Section(*heading, (Paragraph(text),))
    try:
        if record["digest"] != digest:
            text = f"The last synthesis was of another graph; run {COMMAND} again."
            return Section(*heading, (Paragraph(text, "warn"),))
        basis = Paragraph(
            f"Cells as they were planned for that run, {record['basis']}. Weight memories are "
            "counted by their shape."
        )
        return Section(*heading, (basis, _totals(record), _cells(record)))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputFileError(
            f"the record of the last synthesis is damaged ({error!r}); run nibbleflow synth again"
        ) from None


def _totals(record: Json) -> Grid:
    rows = tuple(
        (
            text_cell(what),
            *(number_cell(count) for count in _counts(record[what])),
        )
        for what in ("counted", "estimated")
    )
    names = ("LUT", "of them memory", "FF", "DSP", "BRAM18", "URAM")
    columns = (Column("network"), *(Column(name, True) for name in names))
    return Grid("synthesis-total", "The whole network, counted and estimated.", columns, rows)


def _counts(found: Json) -> tuple[int, ...]:
    luts = found["lut"] + found["lutram_luts"]
    return (luts, found["lutram_luts"], *(found[k] for k in ("ff", "dsp", "bram18", "uram")))


def _cells(record: Json) -> Grid:
    rows = []
    for cell in record["cells"]:
        cells: list[Cell] = [
            text_cell(cell["owners"][0]),
            text_cell(cell["module"]),
            number_cell(len(cell["owners"])),
        ]
        counted, estimated = _counts(cell["counted"]), _counts(cell["estimated"])
        for place in (0, 2):
            error = None
            if counted[place]:
                error = 100 * (estimated[place] - counted[place]) / counted[place]
            cells += [
                number_cell(counted[place]),
                number_cell(estimated[place]),
                number_cell(error, "{:+.1f}"),
            ]
        cells += [number_cell(counted[3]), number_cell(cell["weights"]["bram18"])]
        rows.append((*cells, text_cell(cell["basis"])))
    columns = (
        Column("first owner"),
        Column("module"),
        Column("times", True),
        *(
            Column(f"{name}{what}", True)
            for name in ("LUT", "FF")
            for what in (" counted", " estimated", " error (%)")
        ),
        Column("DSP", True),
        Column("BRAM18 of weights", True),
        Column("basis"),
    )
    caption = f"{len(rows)} distinct cells, weight memories apart."
    return Grid("synthesis-table", caption, columns, tuple(rows))

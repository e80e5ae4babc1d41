# SPDX-License-Identifier: Apache-2.0
"""The section about the last verification, from the record that ``verify`` keeps in the build."""

from collections.abc import Mapping
from typing import Any

from quant.errors import InputFileError
from reports.page.blocks import (
    Block,
    Column,
    Facts,
    Grid,
    Listing,
    Paragraph,
    Section,
    number_cell,
    text_cell,
)

COMMAND = "nibbleflow verify BUILD"
SHOWN_DIFFERENCES = 5
Json = Mapping[str, Any]


def verification_verdict(record: Json | None, digest: str) -> Paragraph:
    """Return in a sentence whether the engines agree.

    Args:
        record: JSON values of the last ``verify``; ``None`` when there was none.
        digest: Digest of the graph.

    Raises:
        InputFileError: The record is not one of ``verify``.
    """
    if record is None:
        return Paragraph(f"Not verified yet; run {COMMAND}.", "warn")
    try:
        if record["digest"] != digest:
            return Paragraph(
                f"The last verification was of another graph; run {COMMAND} again.", "warn"
            )
        wrong, failed, values = record["mismatches"], record["failures"], record["values"]
        names = ", ".join(record["engines"])
        if wrong or failed:
            return Paragraph(
                f"Engines differ: {wrong:,} of {values:,} values, {failed:,} failures ({names}).",
                "bad",
            )
        return Paragraph(
            f"Bit-identical: {values:,} values of {len(record['engines'])} engines ({names}) were "
            "compared, none differs.",
            "good",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(error) from None


def verification_section(record: Json | None, digest: str) -> Section:
    """Return everything about the last verification; see ``verification_verdict``."""
    blocks: list[Block] = [verification_verdict(record, digest)]
    if record is not None:
        try:
            blocks += _blocks(record)
        except (KeyError, TypeError, ValueError) as error:
            raise _malformed(error) from None
    return Section("verification", "Verification", tuple(blocks))


def _blocks(record: Json) -> list[Block]:
    engines = record["engines"]
    rows = []
    for engine in engines[1:]:
        verdicts = [v for v in record["nodes"] if v["engine"] == engine]
        rows.append(
            (
                text_cell(engine),
                number_cell(len({v["name"] for v in verdicts})),
                number_cell(len(verdicts)),
                number_cell(sum(v["values"] for v in verdicts)),
                number_cell(sum(v["mismatches"] for v in verdicts)),
            )
        )
    columns = (
        Column("engine"),
        *(Column(name, True) for name in ("nodes", "cases", "values compared", "wrong")),
    )
    caption = f"Every engine against the {engines[0]} model, in {record['seconds']:,.0f} seconds."
    blocks: list[Block] = [Grid("engine-table", caption, columns, tuple(rows))]
    if "interval_counted" in record:
        blocks.append(_network_facts(record))
        blocks.append(_run_table(record))
    return [*blocks, *_differences(record)]


def _network_facts(record: Json) -> Facts:
    pairs = [
        (f"whole network in RTL, {what}", _planned(record[f"{what}_planned"], counted))
        for what in ("interval", "latency")
        for counted in (record[f"{what}_counted"],)
    ]
    speed = f"{record['macs_per_second'] / 1e6:,.1f} million MACs per second"
    return Facts((*pairs, ("simulated speed", speed)))


def _planned(planned: int, counted: int | None) -> str:
    shown = "not counted" if counted is None else f"counted {counted:,}"
    return f"planned {planned:,}, {shown} cycles"


def _run_table(record: Json) -> Grid:
    rows = tuple(
        (
            text_cell(run["name"]),
            number_cell(run["frames"]),
            number_cell(run["cycles"]),
            number_cell(run["values"]),
            number_cell(run["mismatches"]),
            text_cell(run["failure"] or "ended"),
        )
        for run in record["runs"]
    )
    columns = (
        Column("run"),
        *(Column(name, True) for name in ("frames", "cycles", "values", "wrong")),
        Column("end"),
    )
    return Grid("run-table", "Runs of the whole network in Verilator.", columns, rows)


def _differences(record: Json) -> list[Block]:
    """Return the first differences with the commands that replay them."""
    found = [v["first"] for v in record["nodes"] if v["first"] is not None]
    blocks: list[Block] = []
    for first in found[:SHOWN_DIFFERENCES]:
        place = ", ".join(f"{key} {value}" for key, value in first.items() if key != "replay")
        blocks.append(Listing(f"First difference: {place}. Replay:", str(first.get("replay", ""))))
    return blocks


def _malformed(error: Exception) -> InputFileError:
    return InputFileError(
        f"the record of the last verification is damaged ({error!r}); run nibbleflow verify again"
    )

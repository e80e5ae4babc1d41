# SPDX-License-Identifier: Apache-2.0
"""Text reports of Vivado: the header that all have, and tables drawn with bars.

Source: UG906 and UG835 describe ``report_utilization`` and ``report_timing_summary``; the layout
of the text is that of public reports of Vivado 2018 to 2023.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from quant.errors import InputFileError
from reports.vendor.records import Resources, VendorModule, VendorReport

# Names of the rows of a flat report; the family decides which. A star marks a footnote.
_FLAT = {
    "lut": ("CLB LUTs", "Slice LUTs"),
    "ff": ("CLB Registers", "Slice Registers"),
    "dsp": ("DSPs",),
    "bram18": ("RAMB18",),
    "bram36": ("RAMB36/FIFO",),
    "uram": ("URAM",),
}
# Names of the columns of a hierarchical report.
_COLUMNS = {
    "lut": ("Total LUTs",),
    "ff": ("FFs",),
    "dsp": ("DSP Blocks", "DSP48 Blocks", "DSPs"),
    "bram18": ("RAMB18",),
    "bram36": ("RAMB36",),
    "uram": ("URAM",),
}
# Not every family has ultra RAM; the others are always there.
_OPTIONAL = frozenset({"uram"})


@dataclass(frozen=True)
class Header:
    """The lines ``| Name : value`` at the top of a report.

    Attributes:
        command: The command that wrote it.
        tool: Tool and version.
        design: Top module.
        device: Part.
    """

    command: str
    tool: str
    design: str
    device: str


def read_header(text: str, file: str) -> Header | None:
    """Return the header of a Vivado report; ``None`` when the text is no such report.

    Raises:
        InputFileError: A line of the header is missing.
    """
    found: dict[str, str] = {}
    for name, value in re.findall(r"^\| ([A-Z][\w ]*?) *: (.*?) *$", text, re.MULTILINE):
        found.setdefault(name, value)
    if "Command" not in found:
        return None
    for name in ("Tool Version", "Design", "Device"):
        if name not in found:
            raise InputFileError(f"{file} has no line '| {name} :'; write the report again")
    version = found["Tool Version"].split(" (")[0]
    return Header(found["Command"], version, found["Design"], found["Device"])


def parse_utilization(text: str, header: Header, file: str) -> VendorReport:
    """Return the record of ``report_utilization``, flat or hierarchical.

    Raises:
        InputFileError: A table or row is missing or damaged.
    """
    tables = list(_tables(text, file))
    hierarchical = [t for t in tables if t[0][1][:2] == ["Instance", "Module"]]
    modules = (
        _instances(hierarchical[0], file)
        if hierarchical
        else [VendorModule(header.design, _flat(tables, file))]
    )
    return VendorReport(
        file, "utilization", header.tool, header.design, header.device, None, None, None,
        tuple(modules),
    )  # fmt: skip


_Row = tuple[int, list[str]]
"""Line number and cells; the first cell keeps its indentation."""


def _tables(text: str, file: str) -> Iterator[list[_Row]]:
    """Yield tables: runs of lines between bars, all with as many cells as the first.

    Raises:
        InputFileError: A row is cut, or a table has no end.
    """
    table: list[_Row] = []
    rules = 0
    for number, line in enumerate(text.splitlines(), 1):
        line = line.rstrip()
        if line.startswith("+-"):
            rules += 1
            if rules == 3:
                yield table
                table, rules = [], 0
        elif not line and rules == 2 and len(table) == 1:
            table, rules = [], 0  # a table without rows has no third bar
        elif rules:
            if not line.startswith("|") or not line.endswith("|"):
                _fail(file, number, f"'{line[:40]}' is no row of a table")
            first, *rest = line[1:-1].split("|")
            table.append((number, [first[1:].rstrip(), *(cell.strip() for cell in rest)]))
            if rules == 1:
                table[-1][1][0] = first.strip()
            if len(rest) + 1 != len(table[0][1]):
                _fail(file, number, f"{len(rest) + 1} cells under {len(table[0][1])} names")
    if rules and (rules != 2 or len(table) != 1):
        raise InputFileError(f"{file} ends inside a table; write the report again")


def _flat(tables: Sequence[list[_Row]], file: str) -> Resources:
    used: dict[str, tuple[int, str]] = {}
    for table in tables:
        names = table[0][1]
        if names[0] == "Site Type" and "Used" in names:
            column = names.index("Used")
            for number, cells in table[1:]:
                used.setdefault(cells[0].strip().rstrip("*"), (number, cells[column]))
    return _counts(used, _FLAT, "row", file)


def _instances(table: list[_Row], file: str) -> list[VendorModule]:
    """Return one module per instance; rows of a module's own logic alone are part of its row."""
    names = table[0][1]
    path: list[str] = []
    found = []
    for number, cells in table[1:]:
        instance = cells[0].strip()
        depth = (len(cells[0]) - len(cells[0].lstrip())) // 2
        if instance.startswith("("):
            continue
        if depth > len(path):
            _fail(file, number, f"'{instance}' lies below no instance")
        path = [*path[:depth], instance]
        used = {name: (number, cell) for name, cell in zip(names, cells, strict=True)}
        name = "/".join(path[1:]) or instance
        found.append(VendorModule(name, _counts(used, _COLUMNS, "column", file)))
    if not found:
        raise InputFileError(f"{file} has no instance in its table; write the report again")
    return found


def _counts(
    used: dict[str, tuple[int, str]], names: dict[str, tuple[str, ...]], what: str, file: str
) -> Resources:
    counts: dict[str, int | None] = {}
    for field, aliases in names.items():
        hits = [used[alias] for alias in aliases if alias in used]
        if not hits:
            if field not in _OPTIONAL:
                wanted = " or ".join(f"'{alias}'" for alias in aliases)
                raise InputFileError(f"{file} has no {what} {wanted}; write the report again")
            counts[field] = None
            continue
        number, cell = hits[0]
        match = re.fullmatch(r"(\d+)(\([\d.<]+%\))?", cell)
        if match is None:
            _fail(file, number, f"'{cell}' is not a count")
        counts[field] = int(match.group(1))
    return Resources(**counts)


def parse_timing(text: str, header: Header, file: str) -> VendorReport:
    """Return the record of ``report_timing_summary``: slack and clock of the whole design.

    Raises:
        InputFileError: A section is missing or damaged, or the design has no timing constraints.
    """
    (slacks,) = _section(text, "Design Timing Summary", file)[:1]
    if slacks[0] in ("NA", "inf"):
        raise InputFileError(f"{file} has no slack: no path is constrained; read clock.xdc first")
    wns = _time(slacks[0], "WNS", file)
    periods = [_time(_period(row), "period", file) for row in _section(text, "Clock Summary", file)]
    # Slack belongs to one clock; with several, the period reached is not known from the summary.
    reached = round(periods[0] - wns, 3) if len(periods) == 1 else None
    top = VendorModule(header.design, None)
    return VendorReport(
        file, "timing", header.tool, header.design, header.device, min(periods), reached, wns,
        (top,),
    )  # fmt: skip


def _section(text: str, title: str, file: str) -> list[list[str]]:
    """Return the rows under the names and their underlines in the section ``title``."""
    parts = text.split(f"\n| {title}\n")
    if len(parts) != 2:
        raise InputFileError(f"{file} has no section '{title}'; write the report again")
    lines = parts[1].splitlines()[2:]
    rows = []
    under = False
    for line in lines:
        words = line.split()
        if under and not words:
            break
        if under:
            rows.append(words)
        under = under or (bool(words) and set("".join(words)) == {"-"} and len(words) > 1)
    if not rows:
        raise InputFileError(f"{file} has no figures in '{title}'; write the report again")
    return rows


def _period(row: list[str]) -> str:
    """Return the period of ``name {rise fall} period frequency``; generated clocks are indented."""
    return row[-2] if len(row) >= 3 else ""


def _time(text: str, what: str, file: str) -> float:
    if re.fullmatch(r"-?\d+\.\d+", text) is None:
        raise InputFileError(f"{file}: {what} is '{text}', not a time in ns")
    return float(text)


def _fail(file: str, number: int, reason: str) -> NoReturn:
    raise InputFileError(f"{file}, line {number}: {reason}; write the report again")

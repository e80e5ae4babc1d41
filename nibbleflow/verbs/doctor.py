# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow doctor``: what can run here."""

from dataclasses import asdict

from rich.table import Table

from nibbleflow.result import Result
from sim.tools import probe_tools


def doctor() -> Result:
    """Say which tools are here, and what each is needed for.

    Returns:
        ``values`` has ``tools``: name, found, version, path, needed_for, way_out.
    """
    tools = probe_tools()
    table = Table(title="what can run here", box=None)
    for column in ("tool", "", "version", "needed for", "way out"):
        table.add_column(column)
    for tool in tools:
        mark = "[green]yes[/]" if tool.found else "[yellow]no[/]"
        way = "" if tool.found else tool.way_out
        table.add_row(tool.name, mark, tool.version or "", tool.needed_for, way)
    rows = [{k: str(v) if k == "path" and v else v for k, v in asdict(t).items()} for t in tools]
    return Result("doctor", {"tools": rows}, (table,))

# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow compare``: a user's own hardware against the golden vectors."""

from dataclasses import asdict
from pathlib import Path

from rich.table import Table
from rich.text import Text

from nibbleflow.folders import BuildFolder
from nibbleflow.result import Result
from quant.errors import InputFileError
from sim.dumps import compare_dump


def compare(build: str | Path, dump: str | Path) -> Result:
    """Compare dumped outputs with the vectors that ``vectors`` wrote.

    Args:
        build: A build folder with ``vectors/`` inside.
        dump: Folder with ``NODE/output.mem`` or ``NODE/output.npy`` (and, if dumped,
            ``accumulator``) for any of the nodes.

    Returns:
        ``values`` has ``nodes`` and ``mismatches``; not ``ok`` when any value differs.

    Raises:
        NibbleflowError: There are no vectors, or the dump has nothing readable.
    """
    folder = BuildFolder.existing(build)
    if not folder.vectors.is_dir():
        raise InputFileError(
            f"{build} has no vectors yet; run 'nibbleflow vectors {build} --image X' first"
        )
    found = compare_dump(folder.vectors, Path(dump))
    table = Table(title=f"{dump} against {folder.vectors}", box=None)
    for column in ("node", "tensor", "values", "wrong"):
        table.add_column(column)
    for row in found:
        table.add_row(row.node, row.tensor, f"{row.values:,}", f"{row.mismatches:,}")
    wrong = sum(row.mismatches for row in found)
    parts: list[Table | Text] = [table]
    parts.extend(Text(row.first, style="red") for row in found if row.first)
    values = {
        "nodes": [asdict(row) for row in found],
        "values": sum(row.values for row in found),
        "mismatches": wrong,
    }
    return Result("compare", values, tuple(parts), ok=wrong == 0)

# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.estimaterows FOLDER --json FILE``: memories and held-out cells.

Memories are synthesised now; held-out cells are those of the kept data, whose synthesis takes most
of an hour (``python -m reports.bench.estimatefit``).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from quant.errors import NibbleflowError
from reports.bench.estimateruns import read_runs
from reports.bench.memoryshapes import memory_rows
from reports.bench.residuals import residual_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and write; return the exit code."""
    parser = argparse.ArgumentParser(description="Estimates beside Yosys.")
    parser.add_argument("folder", type=Path, help="folder to work in")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        memories = memory_rows(given.folder)
        residuals = residual_rows(read_runs())
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    names = ("bram18", "uram", "lutram_luts")
    for row in memories:
        row["equal"] = all(row[name] == row[f"{name}_counted"] for name in names)
    found = {"memories": memories, "residuals": residuals}
    given.json.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

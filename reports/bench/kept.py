# SPDX-License-Identifier: Apache-2.0
"""Rows kept in a scratch folder, so that a long benchmark goes on where it was stopped."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from reports.bench.record import Row
from reports.bench.runner import Runner

CHECKOUT = Path(__file__).resolve().parents[2]
Kept = TypeVar("Kept", Row, list[Row], dict[str, list[Row]])


def kept_row(runner: Runner, name: str, digest: str, measure: Callable[[], Kept]) -> Kept:
    """Return the kept row, or rows, of this name and digest, else measure and keep them.

    Args:
        runner: Runs the commands; those of a kept row count as its own.
        name: Name of the row, part of a file's name.
        digest: State of all that the row depends on.
        measure: Runs the commands.
    """
    kept = runner.path(runner.folder / f"row-{name}.json")
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["digest"] == digest:
            runner.commands += found["commands"]
            row: Kept = found["row"]
            return row
    before = len(runner.commands)
    row = measure()
    commands = runner.commands[before:]
    kept.write_text(
        json.dumps({"digest": digest, "commands": commands, "row": row}, indent=1) + "\n",
        encoding="utf-8",
    )
    return row


def sources_digest(root: Path, names: Sequence[str]) -> str:
    """Return a digest of some files, and of all files in some folders but compiled Python.

    Args:
        root: The checkout.
        names: Files and folders in it.
    """
    found = hashlib.sha256()
    for name in names:
        start = root / name
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()

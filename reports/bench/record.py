# SPDX-License-Identifier: Apache-2.0
"""What a benchmark leaves behind: figures, and everything needed to repeat them."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from quant.errors import InputFileError

Figure = str | int | float | bool | None
Row = dict[str, Figure]


@dataclass(frozen=True)
class BenchRecord:
    """Result of one benchmark.

    Attributes:
        name: Name of the benchmark.
        title: What was measured, one line.
        commands: Command lines that were run, in order, from the checkout's folder.
        date: UTC day, ``YYYY-MM-DD``.
        versions: Version by tool; null for a tool that is not there.
        machine: Cores and processor model.
        wall_seconds: Time of all commands.
        figures: Measured rows, units in the keys; what tables show.
        lists: Further rows by name; each name is a key of the file, beside ``figures``.
    """

    name: str
    title: str
    commands: tuple[str, ...]
    date: str
    versions: Mapping[str, str | None]
    machine: Mapping[str, str | int]
    wall_seconds: float
    figures: tuple[Row, ...]
    lists: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        values = asdict(self)
        lists: dict[str, Any] = values.pop("lists")
        return values | lists


def write_record(record: BenchRecord, folder: Path) -> Path:
    """Write ``<name>.json`` into ``folder``, whole or not at all.

    Raises:
        InputFileError: The file cannot be written.
    """
    path = folder / f"{record.name}.json"
    partial = folder / f".{record.name}.partial-{os.getpid()}"
    text = json.dumps(record.to_json(), indent=1, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputFileError(f"cannot write {path}: {error.strerror}") from None
    return path


def read_record(path: Path) -> BenchRecord:
    """Read what ``write_record`` wrote.

    Raises:
        InputFileError: The file is missing or is no benchmark record.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["commands"] = tuple(values["commands"])
        values["figures"] = tuple(dict(row) for row in values["figures"])
        known = {entry.name for entry in fields(BenchRecord)}
        lists = {
            name: tuple(dict(row) for row in values.pop(name))
            for name in [*values]
            if name not in known
        }
        return BenchRecord(**values, lists=lists)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{path} is no benchmark record ({error}); make it again with make bench"
        ) from None

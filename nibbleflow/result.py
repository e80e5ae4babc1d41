# SPDX-License-Identifier: Apache-2.0
"""What every verb returns: JSON values and a table for people."""

import json
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType


@dataclass(frozen=True, eq=False)
class Result:
    """Result of one verb.

    Attributes:
        verb: Name of the verb.
        values: JSON values; the keys that others script against are in ARCHITECTURE.md.
        parts: What the terminal shows.
        ok: Whether the exit code is 0.
    """

    verb: str
    values: dict[str, Any]
    parts: tuple[RenderableType, ...] = ()
    ok: bool = True

    def to_json(self) -> str:
        """Return the values as indented JSON text."""
        return json.dumps(self.values, indent=1, allow_nan=False) + "\n"

    def table(self) -> RenderableType:
        """Return what the terminal shows."""
        return Group(*self.parts)

    def __rich__(self) -> RenderableType:
        """Show the table."""
        return self.table()

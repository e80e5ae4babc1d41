# SPDX-License-Identifier: Apache-2.0
"""Names of exported files and C identifiers for nodes with any name."""

import re
from collections.abc import Sequence


def unique_stems(names: Sequence[str]) -> dict[str, str]:
    """Return a file name and C identifier stem for each name: ASCII letters, digits, underscores.

    Names that become equal, upper and lower case aside, get their position appended.

    Args:
        names: Different names.
    """
    taken: set[str] = set()
    stems: dict[str, str] = {}
    for index, name in enumerate(names):
        stem = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if not stem[:1].isalpha():
            stem = f"n_{stem}"
        while stem.lower() in taken:
            stem = f"{stem}_{index}"
        taken.add(stem.lower())
        stems[name] = stem
    return stems


def shown(name: str) -> str:
    """Return ``name`` so that it cannot end a comment of generated text: one ASCII line."""
    return ascii(name)[1:-1].replace("*/", "*_")

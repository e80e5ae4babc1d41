# SPDX-License-Identifier: Apache-2.0
"""Where this program keeps what it can make again: compiled simulators and functions."""

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder for what can be made again: ``NIBBLEFLOW_CACHE``, else the user's cache."""
    given = os.environ.get("NIBBLEFLOW_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nibbleflow"

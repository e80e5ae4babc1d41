# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow compare``: its arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

from nibbleflow.cli.options import Build, JsonFile
from nibbleflow.cli.running import run


def compare(
    build: Build,
    dump: Annotated[Path, typer.Argument(help="Folder with NODE/output.mem or .npy.")],
    json: JsonFile = None,
) -> None:
    """Compare a user's own outputs with the golden vectors; name the first wrong value."""
    run("compare", {"build": build, "dump": dump}, json, build)

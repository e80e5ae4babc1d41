# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow demo``: its arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

from nibbleflow.cli.options import Force, JsonFile
from nibbleflow.cli.running import run


def demo(
    build: Annotated[Path, typer.Argument(help="Build folder to make.")] = Path("build/demo"),
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Run the whole way on the built-in detector."""
    run("demo", {"build": build, "force": force}, json, build)

# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow export``: its arguments and options."""

from typing import Annotated

import typer

from nibbleflow.cli.options import Build, Force, JsonFile
from nibbleflow.cli.running import run


def export(
    build: Build,
    mem: Annotated[bool, typer.Option("--mem", help="Only $readmemh files.")] = False,
    c: Annotated[bool, typer.Option("--c", help="Only C headers.")] = False,
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Write the bundle's tensors as .mem files and C headers (neither flag: both)."""
    run("export", {"build": build, "mem": mem, "c": c, "force": force}, json, build)

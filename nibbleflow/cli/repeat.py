# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow repeat``: its arguments and options."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nibbleflow.cli.options import Force, JsonFile
from nibbleflow.cli.running import find_verb, run
from nibbleflow.repeat import RUN_FILE_SUFFIX, check_given, read_run


def repeat(
    file: Annotated[Path, typer.Argument(help=f"A {RUN_FILE_SUFFIX} file that a run wrote.")],
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Repeat a run from the TOML that it wrote."""
    name, given = read_run(file)
    check_given(find_verb(name), given, file)
    if force and "force" in given:
        given["force"] = True
    # A forced run replaces the folder that its run file may stand in.
    run(name, given, json, _home(name, given))


def _home(name: str, given: dict[str, Any]) -> Path | None:
    """Return the build folder that a run belongs to."""
    place = given.get("output" if name == "quantize" else "build")
    return None if place is None else Path(place)

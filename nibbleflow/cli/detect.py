# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow detect``: its arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

from nibbleflow.cli.options import Build, JsonFile
from nibbleflow.cli.running import run


def detect(
    build: Build,
    image: Annotated[Path, typer.Argument(help="JPEG or PNG file.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="PNG to write.")] = None,
    confidence: Annotated[float, typer.Option(help="Smallest score shown.")] = 0.25,
    json: JsonFile = None,
) -> None:
    """Draw the boxes of the float and the integer network side by side."""
    given = {"build": build, "image": image, "output": output, "confidence": confidence}
    run("detect", given, json, build)

# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow vectors``: its arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

from nibbleflow.cli.options import Build, Force, JsonFile
from nibbleflow.cli.running import run


def vectors(
    build: Build,
    image: Annotated[Path | None, typer.Option(help="Image; else a calibration frame.")] = None,
    nodes: Annotated[str, typer.Option(help="all-convs, all, or NAME,…")] = "all-convs",
    channels_per_beat: Annotated[int, typer.Option(help="Codes per .mem word.")] = 1,
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Write golden inputs, outputs, accumulators and weights for a user's own hardware."""
    given = {
        "build": build,
        "image": image,
        "nodes": nodes,
        "channels_per_beat": channels_per_beat,
        "force": force,
    }
    run("vectors", given, json, build)

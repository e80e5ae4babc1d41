# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow explore``: its arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

from nibbleflow.cli.options import Board, Clock, JsonFile, board_name, image_folders, names
from nibbleflow.cli.running import run


def explore(
    build: Annotated[str, typer.Argument(help="A build folder; with --variants a MODEL.")],
    fps: Annotated[
        float | None, typer.Option(help="The cheapest plan with so many frames per second.")
    ] = None,
    board: Board = None,
    clock: Clock = None,
    fill: Annotated[
        int, typer.Option(help="Most of a board's tables and flip-flops to take, in percent.")
    ] = 80,
    front: Annotated[
        bool, typer.Option("--front", help="List the plans that no other one beats.")
    ] = False,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another build in the front; may repeat.")
    ] = None,
    variants: Annotated[
        str, typer.Option(help="Quantize MODEL so, for the front: w4a8-affine,w4a4-pwlq,…")
    ] = "",
    calib: Annotated[
        list[str] | None, typer.Option(help="Calibration images of the variants; may repeat.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where a front keeps its results and goes on.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Run a front on this Dask scheduler: tcp://HOST:PORT.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes of a front; one per core without this.")
    ] = None,
    external: Annotated[
        bool | None,
        typer.Option(
            "--external/--on-chip",
            help="Whether weights may come from the board's memory; only where nothing else fits "
            "if left out.",
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Find the best folding, memories and cores for a board or a rate, with proof."""
    given = {
        "build": build if variants else Path(build),
        "fps": fps,
        "board": board_name(board),
        "clock_mhz": clock,
        "fill": fill,
        "front": front,
        "beside": beside or [],
        "variants": names(variants),
        "calib": image_folders(calib),
        "folder": folder,
        "scheduler": scheduler,
        "workers": workers,
        "external": external,
    }
    run("explore", given, json, None if variants else Path(build))

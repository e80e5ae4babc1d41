# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow synth``: its arguments and options."""

from typing import Annotated

import typer

from nibbleflow.cli.options import (
    Board,
    Build,
    Clock,
    CoreName,
    Fps,
    JsonFile,
    MaxMacs,
    StreamWeights,
    aim,
)
from nibbleflow.cli.running import run


def synth(
    build: Build,
    target: Annotated[
        str,
        typer.Option(help="xcup: count UltraScale+ cells; ecp5: place and route on ECP5."),
    ] = "xcup",
    nodes: Annotated[
        str | None,
        typer.Option(help="With ecp5: all-convs, all or NAME,…: cells one by one."),
    ] = None,
    largest: Annotated[
        int | None,
        typer.Option(help="Largest PE*SIMD of a cell that xcup synthesises whole (64)."),
    ] = None,
    fps: Fps = None,
    board: Board = None,
    clock: Clock = None,
    max_macs: MaxMacs = None,
    core: CoreName = None,
    stream_weights: StreamWeights = None,
    json: JsonFile = None,
) -> None:
    """Synthesise the cells with open tools: counted beside estimated."""
    given = {
        "build": build,
        "target": target,
        "nodes": nodes,
        "largest_macs": largest,
        **aim(fps, board, clock, max_macs, core, stream_weights),
    }
    run("synth", given, json, build)

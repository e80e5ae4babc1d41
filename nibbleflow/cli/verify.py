# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow verify``: its arguments and options."""

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
    OneByOne,
    StreamWeights,
    aim,
)
from nibbleflow.cli.running import run


def verify(
    build: Build,
    rtl: Annotated[bool, typer.Option("--rtl", help="Only the RTL in Verilator.")] = False,
    hls: Annotated[bool, typer.Option("--hls", help="Only the HLS C++ with g++.")] = False,
    nodes: OneByOne = None,
    full: Annotated[int, typer.Option(help="So many layers at full size too.")] = 3,
    frames: Annotated[int, typer.Option(help="Different frames, 2 to 4.")] = 2,
    frame: Annotated[
        int | None, typer.Option(help="Replay this frame of --nodes through their RTL cells alone.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of sub-maps and stalls.")] = 1,
    waves: Annotated[
        bool, typer.Option("--waves", help="Record a VCD around the first difference.")
    ] = False,
    fps: Fps = None,
    board: Board = None,
    clock: Clock = None,
    max_macs: MaxMacs = None,
    core: CoreName = None,
    stream_weights: StreamWeights = None,
    json: JsonFile = None,
) -> None:
    """Run every engine on real weights and activations; demand equal bits."""
    given = {
        "build": build,
        "rtl": rtl,
        "hls": hls,
        "nodes": nodes,
        "full": full,
        "frames": frames,
        "frame": frame,
        "seed": seed,
        "waves": waves,
        **aim(fps, board, clock, max_macs, core, stream_weights),
    }
    run("verify", given, json, build)

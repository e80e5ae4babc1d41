# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow generate``: its arguments and options."""

from typing import Annotated

import typer

from nibbleflow.cli.options import (
    Board,
    Build,
    Clock,
    CoreName,
    Force,
    Fps,
    JsonFile,
    MaxMacs,
    OneByOne,
    StreamWeights,
    aim,
)
from nibbleflow.cli.running import run


def generate(
    build: Build,
    rtl: Annotated[bool, typer.Option("--rtl", help="Only SystemVerilog.")] = False,
    hls: Annotated[bool, typer.Option("--hls", help="Only HLS C++.")] = False,
    nodes: OneByOne = None,
    fps: Fps = None,
    board: Board = None,
    clock: Clock = None,
    max_macs: MaxMacs = None,
    core: CoreName = None,
    stream_weights: StreamWeights = None,
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Write the network in SystemVerilog and hls4ml projects (neither flag: both)."""
    given = {
        "build": build,
        "rtl": rtl,
        "hls": hls,
        "nodes": nodes,
        **aim(fps, board, clock, max_macs, core, stream_weights),
        "force": force,
    }
    run("generate", given, json, build)

# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow report``: its arguments and options."""

from pathlib import Path
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


def report(
    build: Build,
    vendor: Annotated[
        list[Path] | None,
        typer.Option(
            help="Report of Vitis HLS or Vivado, or a folder of them, to print beside the plan; "
            "may repeat."
        ),
    ] = None,
    fps: Fps = None,
    board: Board = None,
    clock: Clock = None,
    max_macs: MaxMacs = None,
    core: CoreName = None,
    stream_weights: StreamWeights = None,
    json: JsonFile = None,
) -> None:
    """Write one offline page, tables and plots: memory, cycles, resources, SQNR, bit widths."""
    given = {
        "build": build,
        "vendor": vendor or [],
        **aim(fps, board, clock, max_macs, core, stream_weights),
    }
    run("report", given, json, build)

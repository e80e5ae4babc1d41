# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow export``: its arguments and options."""

from typing import Annotated

import typer

from nibbleflow.cli.options import Build, Force, JsonFile
from nibbleflow.cli.running import run


def export(
    build: Build,
    mem: Annotated[bool, typer.Option("--mem", help="$readmemh files.")] = False,
    c: Annotated[bool, typer.Option("--c", help="C headers.")] = False,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="The float network with its figures, for Netron.")
    ] = False,
    qonnx: Annotated[
        bool, typer.Option("--qonnx", help="The integer graph, which qonnx-exec can run.")
    ] = False,
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Write the tensors as .mem files and C headers (without a flag: both), or ONNX files."""
    given = {"build": build, "mem": mem, "c": c, "onnx": onnx, "qonnx": qonnx, "force": force}
    run("export", given, json, build)

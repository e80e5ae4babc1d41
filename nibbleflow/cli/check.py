# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow check``: its arguments and options."""

from typing import Annotated

import typer

from nibbleflow.cli.options import Arch, Decode, JsonFile, Model, Outputs, Seed, Size, names, origin
from nibbleflow.cli.running import run


def check(
    model: Model,
    outputs: Outputs = "",
    arch: Arch = None,
    img: Size = None,
    decode: Decode = None,
    seed: Seed = None,
    shapes: Annotated[bool, typer.Option("--shapes", help="List every tensor's shape.")] = False,
    json: JsonFile = None,
) -> None:
    """Say what would happen, before any work."""
    given = {
        "model": model,
        "outputs": names(outputs),
        **origin(arch, img, decode, seed),
        "shapes": shapes,
    }
    run("check", given, json, None)

# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow evaluate``: its arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

from nibbleflow.cli.options import (
    Arch,
    Data,
    Decode,
    Images,
    JsonFile,
    Labels,
    Limit,
    Seed,
    Size,
    names,
    origin,
)
from nibbleflow.cli.running import run


def evaluate(
    build: Annotated[str, typer.Argument(help="A build folder, or a MODEL (float only).")],
    data: Data = None,
    images: Images = None,
    labels: Labels = None,
    limit: Limit = None,
    engines: Annotated[
        str, typer.Option(help="Of float, fake_quant, integer; all without this.")
    ] = "",
    arch: Arch = None,
    img: Size = None,
    decode: Decode = None,
    seed: Seed = None,
    json: JsonFile = None,
) -> None:
    """Measure float, fake-quantized and integer accuracy: mAP, or top-1 of classifiers."""
    given = {
        "build": Path(build) if Path(build).is_dir() else build,
        "data": data,
        "images": images,
        "labels": labels,
        "limit": limit,
        "engines": names(engines),
        **origin(arch, img, decode, seed),
    }
    run("evaluate", given, json, Path(build))

# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow study``: its arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

from nibbleflow.cli.options import (
    Arch,
    BreakpointCount,
    BreakpointMethod,
    Data,
    Decode,
    Images,
    JsonFile,
    Labels,
    Limit,
    Model,
    MultiplierBits,
    Seed,
    Size,
    image_folders,
    names,
    origin,
)
from nibbleflow.cli.running import run


def study(
    model: Model,
    schemes: Annotated[
        str, typer.Option(help="NAME or NAME:STORED_BITS, joined by commas.")
    ] = "affine,symmetric,pwlq",
    granularities: Annotated[
        str, typer.Option(help="layer, filter, channel, f-shape, c-shape, mixture[-bits|-hardware]")
    ] = "layer,filter,channel,f-shape,c-shape,mixture",
    bits: Annotated[int, typer.Option(help="Bits of a weight (PWLQ: of a region), 2 to 8.")] = 4,
    edge_bits: Annotated[int | None, typer.Option(help="Affine bits of stem and head.")] = None,
    weight_clip: Annotated[str, typer.Option(help="minmax or mse.")] = "minmax",
    breakpoint_method: BreakpointMethod = "search",
    breakpoints: BreakpointCount = 1,
    multiplier_bits: MultiplierBits = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Accuracy of the stored integers, not of real levels.")
    ] = False,
    calib: Annotated[
        list[str] | None, typer.Option(help="Images whose inputs weigh the errors; may repeat.")
    ] = None,
    data: Data = None,
    images: Images = None,
    labels: Labels = None,
    limit: Limit = None,
    out: Annotated[Path | None, typer.Option(help="JSON, written after every row.")] = None,
    arch: Arch = None,
    img: Size = None,
    decode: Decode = None,
    seed: Seed = None,
    json: JsonFile = None,
) -> None:
    """Compare schemes and granularities on the weights alone: memory, error, accuracy."""
    given = {
        "model": model,
        "schemes": names(schemes),
        "granularities": names(granularities),
        "bits": bits,
        "edge_bits": edge_bits,
        "weight_clip": weight_clip,
        "breakpoint_method": breakpoint_method,
        "breakpoints": breakpoints,
        "multiplier_bits": multiplier_bits,
        "stored": stored,
        "calib": image_folders(calib),
        "data": data,
        "images": images,
        "labels": labels,
        "limit": limit,
        "out": out,
        **origin(arch, img, decode, seed),
    }
    run("study", given, json, None)

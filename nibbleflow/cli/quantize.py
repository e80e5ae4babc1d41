# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow quantize``: its arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

from nibbleflow.cli.options import (
    Arch,
    BreakpointCount,
    BreakpointMethod,
    Decode,
    Force,
    JsonFile,
    Limit,
    Model,
    MultiplierBits,
    Outputs,
    Seed,
    Size,
    image_folders,
    names,
    origin,
)
from nibbleflow.cli.running import run


def quantize(
    model: Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="Build folder to make.")],
    calib: Annotated[
        list[str] | None,
        typer.Option(help="Folder of unlabelled images; may repeat. Or random[:N]."),
    ] = None,
    weight_bits: Annotated[int, typer.Option(help="Bits per stored weight, 2 to 8.")] = 4,
    act_bits: Annotated[int, typer.Option(help="Bits of inner activations, 4 to 8.")] = 8,
    edge_bits: Annotated[int, typer.Option(help="Weight bits of stem and head.")] = 8,
    stem_act_bits: Annotated[int | None, typer.Option(help="Bits of the stem's output.")] = None,
    output_bits: Annotated[int, typer.Option(help="Bits of the outputs, 8 to 16.")] = 16,
    scheme: Annotated[
        str,
        typer.Option(
            help="affine, symmetric, pwlq[-code|-overlap], pwlq16, e2m1[-spare], codebook."
        ),
    ] = "affine",
    granularity: Annotated[
        str, typer.Option(help="layer, filter, channel, f-shape, c-shape, mixture[-bits|-hardware]")
    ] = "filter",
    breakpoint_method: BreakpointMethod = "search",
    breakpoints: BreakpointCount = 1,
    multiplier_bits: MultiplierBits = None,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Quantize weights; activations stay float.")
    ] = False,
    weight_clip: Annotated[str, typer.Option(help="auto, minmax or mse.")] = "auto",
    weight_error: Annotated[
        str, typer.Option(help="Levels by the error of: weights, or outputs (on images).")
    ] = "weights",
    least_ratio: Annotated[
        float | None,
        typer.Option(help="Memory saving to keep; the rest goes to layers that need bits."),
    ] = None,
    observer: Annotated[str, typer.Option(help="auto, minmax, percentile, mse.")] = "auto",
    percentile: Annotated[float, typer.Option(help="Share kept, in percent.")] = 99.99,
    codebook: Annotated[
        str,
        typer.Option(
            help="Uneven activation codes where they are needed: auto, always, two-region, never."
        ),
    ] = "auto",
    correction: Annotated[str, typer.Option(help="none, mean or moments.")] = "moments",
    recipe: Annotated[
        str,
        typer.Option(
            help="rtn, gptq, adaround, repapq, taskq, distill, best, best-long, or a .toml file."
        ),
    ] = "rtn",
    blocks: Annotated[
        str | None,
        typer.Option(help="Where blocks end, instead of those found: NAME,NAME,… or a .toml file."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Most that the recipe may take: fewer training steps.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the recipe runs: cpu or cuda.")] = "cpu",
    layer: Annotated[
        list[str] | None, typer.Option(help="NAME=8, NAME=w8a8: other bits; may repeat.")
    ] = None,
    outputs: Outputs = "",
    arch: Arch = None,
    img: Size = None,
    decode: Decode = None,
    seed: Seed = None,
    limit: Limit = None,
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Quantize a model after training; write a build folder."""
    given = {
        "model": model,
        "output": output,
        "calib": image_folders(calib),
        "weight_bits": weight_bits,
        "act_bits": act_bits,
        "edge_bits": edge_bits,
        "stem_act_bits": stem_act_bits,
        "output_bits": output_bits,
        "scheme": scheme,
        "granularity": granularity,
        "breakpoint_method": breakpoint_method,
        "breakpoints": breakpoints,
        "multiplier_bits": multiplier_bits,
        "weights_only": weights_only,
        "weight_clip": weight_clip,
        "weight_error": weight_error,
        "least_ratio": least_ratio,
        "observer": observer,
        "percentile": percentile,
        "codebook": codebook,
        "correction": correction,
        "recipe": recipe,
        "blocks": blocks,
        "minutes": minutes,
        "device": device,
        "layers": layer or [],
        "outputs": names(outputs),
        **origin(arch, img, decode, seed),
        "limit": limit,
        "force": force,
    }
    run("quantize", given, json, output)

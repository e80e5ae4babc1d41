# SPDX-License-Identifier: Apache-2.0
"""Arguments and options that several commands take, and what their values become."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hw.device_file import BOARD_FILE_SUFFIX
from nibbleflow.folders import is_random
from quant.errors import InputFileError

MODEL_HELP = (
    "'demo', a .safetensors file (our or ncnn's JSON beside it, or --arch), an official .pt file, "
    "an .onnx file, "
    "'arch:NAME' (seeded weights, --seed), or package.module:callable (your code, which is run)."
)
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON here.")]
Build = Annotated[Path, typer.Argument(help="A build folder.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what exists.")]
Model = Annotated[str, typer.Argument(help=MODEL_HELP)]
Outputs = Annotated[str, typer.Option(help="End the integer graph at these tensors: NAME,…")]
Arch = Annotated[str | None, typer.Option(help="Architecture of a .safetensors file.")]
Decode = Annotated[
    str | None, typer.Option(help="yolov5, yolov7, yolox, classify or none: what the outputs mean.")
]
Seed = Annotated[int | None, typer.Option(help="Of the weights of arch:NAME.")]
Size = Annotated[str | None, typer.Option("--img", help="Input size: 640 or HEIGHTxWIDTH.")]
OneByOne = Annotated[
    str | None,
    typer.Option("--nodes", help="all-convs or NAME,…: one by one; else the whole network in RTL."),
]
Fps = Annotated[float | None, typer.Option(help="Fold the RTL for so many frames per second.")]
Board = Annotated[str | None, typer.Option(help="Board that the RTL is planned for, or FILE.toml.")]
Clock = Annotated[float | None, typer.Option("--clock", help="Planned clock in MHz.")]
MaxMacs = Annotated[
    int | None, typer.Option(help="Fold the RTL for so many multiply-accumulates per cycle.")
]
CoreName = Annotated[
    str | None,
    typer.Option(
        "--core",
        help="What multiplies in the RTL: auto (per layer the cheapest), plain_lut, plain_dsp, "
        "outer4, pack6, pack12, w4a8; plain_lut if left out.",
    ),
]
StreamWeights = Annotated[
    str | None,
    typer.Option(help="NAME,…: layers whose weights come from outside the chip in the RTL."),
]
BreakpointMethod = Annotated[
    str, typer.Option(help="PWLQ's breakpoint: search, gaussian or laplacian.")
]
BreakpointCount = Annotated[int, typer.Option("--breakpoints", help="Of PWLQ, 1 to 3.")]
MultiplierBits = Annotated[int | None, typer.Option(help="Width of group multipliers, 1 to 8.")]
Data = Annotated[Path | None, typer.Option(help="COCO instances.json.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the images.")]
Labels = Annotated[Path | None, typer.Option(help="JSON of file name to class, for classifiers.")]
Limit = Annotated[int | None, typer.Option(help="Use at most so many images.")]


def aim(
    fps: float | None,
    board: str | None,
    clock: float | None,
    max_macs: int | None,
    core: str | None,
    stream_weights: str | None,
) -> dict[str, Any]:
    """Return a verb's arguments of what a plan is made for."""
    return {
        "fps": fps,
        "board": board_name(board),
        "clock_mhz": clock,
        "max_macs": max_macs,
        "core": core,
        "stream_weights": stream_weights,
    }


def board_name(board: str | None) -> str | None:
    """Return a board's name; the path of its file so that the run can be repeated from anywhere."""
    if board is not None and board.lower().endswith(BOARD_FILE_SUFFIX):
        return str(Path(board).resolve())
    return board


def origin(
    arch: str | None, img: str | None, decode: str | None, seed: int | None
) -> dict[str, Any]:
    """Return a verb's arguments of how a MODEL is read."""
    return {"arch": arch, "image_size": size(img), "decode": decode, "seed": seed}


def names(text: str) -> list[str]:
    """Return the names of ``NAME,…``."""
    return [part.strip() for part in text.split(",") if part.strip()]


def size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) of ``640`` or ``384x640``.

    Raises:
        InputFileError: The text is no size.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise InputFileError(f"--img '{text}' is not a size; write 640 or 384x640")
    numbers = [int(p) for p in parts]
    return numbers[0], numbers[-1]


def image_folders(given: Sequence[str] | None) -> list[str | Path]:
    """Return folders of calibration images; ``random[:N]`` stays text."""
    return [c if is_random(c) else Path(c) for c in given or []]

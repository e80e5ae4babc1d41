# SPDX-License-Identifier: Apache-2.0
"""The command line: one command per verb, one line per error, real exit codes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nibbleflow.folders import is_random
from nibbleflow.progress import result_console
from nibbleflow.repeat import RUN_FILE_SUFFIX, check_given, read_run, write_run
from nibbleflow.result import Result
from quant.errors import InputFileError, NibbleflowError

app = typer.Typer(
    name="nibbleflow",
    help="From a float YOLO detector to a bit-exact streaming int4 accelerator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

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
Nodes = Annotated[str, typer.Option(help="all-convs, all, or NAME,…")]
OneByOne = Annotated[
    str | None,
    typer.Option("--nodes", help="all-convs or NAME,…: one by one; else the whole network in RTL."),
]
Fps = Annotated[float | None, typer.Option(help="Fold the RTL for so many frames per second.")]
Board = Annotated[str | None, typer.Option(help="Board that the RTL is planned for.")]
Clock = Annotated[float | None, typer.Option("--clock", help="Planned clock in MHz.")]
MaxMacs = Annotated[
    int | None, typer.Option(help="Fold the RTL for so many multiply-accumulates per cycle.")
]
BreakpointMethod = Annotated[
    str, typer.Option(help="PWLQ's breakpoint: search, gaussian or laplacian.")
]
BreakpointCount = Annotated[int, typer.Option("--breakpoints", help="Of PWLQ, 1 to 3.")]
MultiplierBits = Annotated[int | None, typer.Option(help="Width of group multipliers, 1 to 8.")]
Limit = Annotated[int | None, typer.Option(help="Use at most so many images.")]


@app.command()
def doctor(json: JsonFile = None) -> None:
    """Say what can run here and what each tool is needed for."""
    from nibbleflow.verbs.doctor import doctor as verb

    _finish(verb(), json)


@app.command()
def demo(
    build: Annotated[Path, typer.Argument(help="Build folder to make.")] = Path("build/demo"),
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Run the whole way on the built-in detector."""
    from nibbleflow.verbs.demo import demo as verb

    _run("demo", verb, {"build": build, "force": force}, json, build)


@app.command()
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
    from nibbleflow.verbs.check import check as verb

    given = {
        "model": model,
        "outputs": _names(outputs),
        "arch": arch,
        "image_size": _size(img),
        "decode": decode,
        "seed": seed,
        "shapes": shapes,
    }
    _run("check", verb, given, json, None)


@app.command()
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
            help="affine, symmetric, pwlq, pwlq-code, pwlq16, e2m1, e2m1-spare, codebook."
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
    observer: Annotated[str, typer.Option(help="auto, minmax, percentile, mse.")] = "auto",
    percentile: Annotated[float, typer.Option(help="Share kept, in percent.")] = 99.99,
    codebook: Annotated[
        str, typer.Option(help="Uneven activation codes where they are needed: auto or never.")
    ] = "auto",
    correction: Annotated[str, typer.Option(help="none, mean or moments.")] = "moments",
    recipe: Annotated[
        str, typer.Option(help="rtn, gptq, adaround, distill, best, best-long, or a .toml file.")
    ] = "rtn",
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
    from nibbleflow.verbs.quantize import quantize as verb

    given = {
        "model": model,
        "output": output,
        "calib": [c if is_random(c) else Path(c) for c in calib or []],
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
        "observer": observer,
        "percentile": percentile,
        "codebook": codebook,
        "correction": correction,
        "recipe": recipe,
        "minutes": minutes,
        "device": device,
        "layers": layer or [],
        "outputs": _names(outputs),
        "arch": arch,
        "image_size": _size(img),
        "decode": decode,
        "seed": seed,
        "limit": limit,
        "force": force,
    }
    _run("quantize", verb, given, json, output)


@app.command()
def evaluate(
    build: Annotated[str, typer.Argument(help="A build folder, or a MODEL (float only).")],
    data: Annotated[Path | None, typer.Option(help="COCO instances.json.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="JSON of file name to class, for classifiers.")
    ] = None,
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
    from nibbleflow.verbs.evaluate import evaluate as verb

    given = {
        "build": Path(build) if Path(build).is_dir() else build,
        "data": data,
        "images": images,
        "labels": labels,
        "limit": limit,
        "engines": _names(engines),
        "arch": arch,
        "image_size": _size(img),
        "decode": decode,
        "seed": seed,
    }
    _run("evaluate", verb, given, json, Path(build))


@app.command()
def detect(
    build: Build,
    image: Annotated[Path, typer.Argument(help="JPEG or PNG file.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="PNG to write.")] = None,
    confidence: Annotated[float, typer.Option(help="Smallest score shown.")] = 0.25,
    json: JsonFile = None,
) -> None:
    """Draw the boxes of the float and the integer network side by side."""
    from nibbleflow.verbs.detect import detect as verb

    given = {"build": build, "image": image, "output": output, "confidence": confidence}
    _run("detect", verb, given, json, build)


@app.command()
def generate(
    build: Build,
    rtl: Annotated[bool, typer.Option("--rtl", help="Only SystemVerilog.")] = False,
    hls: Annotated[bool, typer.Option("--hls", help="Only HLS C++.")] = False,
    nodes: OneByOne = None,
    fps: Fps = None,
    board: Board = None,
    clock: Clock = None,
    max_macs: MaxMacs = None,
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Write the network in SystemVerilog and hls4ml projects (neither flag: both)."""
    from nibbleflow.verbs.generate import generate as verb

    given = {
        "build": build,
        "rtl": rtl,
        "hls": hls,
        "nodes": nodes,
        "fps": fps,
        "board": board,
        "clock_mhz": clock,
        "max_macs": max_macs,
        "force": force,
    }
    _run("generate", verb, given, json, build)


@app.command()
def export(
    build: Build,
    mem: Annotated[bool, typer.Option("--mem", help="Only $readmemh files.")] = False,
    c: Annotated[bool, typer.Option("--c", help="Only C headers.")] = False,
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Write the bundle's tensors as .mem files and C headers (neither flag: both)."""
    from nibbleflow.verbs.export import export as verb

    _run("export", verb, {"build": build, "mem": mem, "c": c, "force": force}, json, build)


@app.command()
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
    json: JsonFile = None,
) -> None:
    """Run every engine on real weights and activations; demand equal bits."""
    from nibbleflow.verbs.verify import verify as verb

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
        "fps": fps,
        "board": board,
        "clock_mhz": clock,
        "max_macs": max_macs,
    }
    _run("verify", verb, given, json, build)


@app.command()
def vectors(
    build: Build,
    image: Annotated[Path | None, typer.Option(help="Image; else a calibration frame.")] = None,
    nodes: Nodes = "all-convs",
    channels_per_beat: Annotated[int, typer.Option(help="Codes per .mem word.")] = 1,
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Write golden inputs, outputs, accumulators and weights for a user's own hardware."""
    from nibbleflow.verbs.vectors import vectors as verb

    given = {
        "build": build,
        "image": image,
        "nodes": nodes,
        "channels_per_beat": channels_per_beat,
        "force": force,
    }
    _run("vectors", verb, given, json, build)


@app.command()
def compare(
    build: Build,
    dump: Annotated[Path, typer.Argument(help="Folder with NODE/output.mem or .npy.")],
    json: JsonFile = None,
) -> None:
    """Compare a user's own outputs with the golden vectors; name the first wrong value."""
    from nibbleflow.verbs.compare import compare as verb

    _run("compare", verb, {"build": build, "dump": dump}, json, build)


@app.command()
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
    json: JsonFile = None,
) -> None:
    """Write tables and plots: memory, cycles, SQNR, bit widths."""
    from nibbleflow.verbs.report import report as verb

    given = {
        "build": build,
        "vendor": vendor or [],
        "fps": fps,
        "board": board,
        "clock_mhz": clock,
        "max_macs": max_macs,
    }
    _run("report", verb, given, json, build)


@app.command()
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
    data: Annotated[Path | None, typer.Option(help="COCO instances.json.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="JSON of file name to class, for classifiers.")
    ] = None,
    limit: Limit = None,
    out: Annotated[Path | None, typer.Option(help="JSON, written after every row.")] = None,
    arch: Arch = None,
    img: Size = None,
    decode: Decode = None,
    seed: Seed = None,
    json: JsonFile = None,
) -> None:
    """Compare schemes and granularities on the weights alone: memory, error, accuracy."""
    from nibbleflow.verbs.study import study as verb

    given = {
        "model": model,
        "schemes": _names(schemes),
        "granularities": _names(granularities),
        "bits": bits,
        "edge_bits": edge_bits,
        "weight_clip": weight_clip,
        "breakpoint_method": breakpoint_method,
        "breakpoints": breakpoints,
        "multiplier_bits": multiplier_bits,
        "stored": stored,
        "calib": [c if is_random(c) else Path(c) for c in calib or []],
        "data": data,
        "images": images,
        "labels": labels,
        "limit": limit,
        "out": out,
        "arch": arch,
        "image_size": _size(img),
        "decode": decode,
        "seed": seed,
    }
    _run("study", verb, given, json, None)


@app.command()
def repeat(
    file: Annotated[Path, typer.Argument(help=f"A {RUN_FILE_SUFFIX} file that a run wrote.")],
    force: Force = False,
    json: JsonFile = None,
) -> None:
    """Repeat a run from the TOML that it wrote."""
    name, given = read_run(file)
    verb = _verb(name)
    check_given(verb, given, file)
    if force and "force" in given:
        given["force"] = True
    # A forced run replaces the folder that its run file may stand in.
    _run(name, verb, given, json, _home(name, given))


def main() -> None:
    """Run the command line; user errors are one line and exit code 1."""
    try:
        app()
    except NibbleflowError as error:
        _say(str(error))
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        _say(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _say(message: str) -> None:
    Console(stderr=True).print(
        f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True
    )


def _verb(name: str) -> Callable[..., Result]:
    import nibbleflow

    return getattr(nibbleflow, name)  # type: ignore[no-any-return]


def _home(name: str, given: dict[str, Any]) -> Path | None:
    """Return the build folder that a run belongs to."""
    place = given.get("output" if name == "quantize" else "build")
    return None if place is None else Path(place)


def _run(
    name: str,
    verb: Callable[..., Result],
    given: dict[str, Any],
    json: Path | None,
    build: Path | None,
) -> None:
    result = verb(**given)
    if build is not None and build.is_dir():  # a model that was evaluated has no folder
        write_run(build / f"{name}{RUN_FILE_SUFFIX}", name, given)
    _finish(result, json)


def _finish(result: Result, json: Path | None) -> None:
    result_console().print(result.table())
    if json is not None:
        from nibbleflow.folders import write_whole

        write_whole(json, result.to_json())
    if not result.ok:
        raise typer.Exit(1)


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise InputFileError(f"--img '{text}' is not a size; write 640 or 384x640")
    numbers = [int(p) for p in parts]
    return numbers[0], numbers[-1]


if __name__ == "__main__":
    main()

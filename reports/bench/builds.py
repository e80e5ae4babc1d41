# SPDX-License-Identifier: Apache-2.0
"""Builds that several benchmarks measure, and the figures every build has."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from reports.bench.record import Row
from reports.bench.runner import Runner

WEIGHTS = "../shared/data/weights"
YOLOV5N = f"{WEIGHTS}/yolov5n_coco_fp16.safetensors"
YOLOX_NANO = f"{WEIGHTS}/yolox_nano_416.onnx"
MOBILEONE = f"{WEIGHTS}/mobileone_s0_reparam_fp32.safetensors"
CALIBRATION = "../shared/data/coco/calib"
MORE_CALIBRATION = "../shared/data/coco/calib_extra"
OBJECTS = "../shared/data/imagenet/sample1000_256"
INSTANCES = "../shared/data/coco/instances_public_val.json"
IMAGES = "../shared/data/coco/public_val"
DATA = (YOLOV5N, CALIBRATION, INSTANCES, IMAGES)

# (weight bits, activation bits), the least loss first.
BITS = ((8, 8), (4, 8), (4, 4))
ENGINES = ("float", "fake_quant", "integer")


@dataclass(frozen=True)
class Build:
    """A quantized build in the scratch folder.

    Attributes:
        folder: Build folder as the commands name it.
        weight_bits: Bits asked for.
        act_bits: Bits asked for.
        quantize_seconds: Wall time of the command.
    """

    folder: Path
    weight_bits: int
    act_bits: int
    quantize_seconds: float


def quantize_demo(runner: Runner, weight_bits: int, act_bits: int) -> Build:
    """Quantize the built-in detector."""
    return _quantize(runner, weight_bits, act_bits, "demo")


def quantize_yolov5n(runner: Runner, weight_bits: int, act_bits: int) -> Build:
    """Quantize the real YOLOv5n on the calibration images."""
    return quantize_photographs(runner, weight_bits, act_bits, YOLOV5N, CALIBRATION)


def quantize_photographs(
    runner: Runner, weight_bits: int, act_bits: int, model: str, *folders: str
) -> Build:
    """Quantize ``model`` on the images of some folders."""
    calib = [argument for folder in folders for argument in ("--calib", folder)]
    return _quantize(runner, weight_bits, act_bits, model, *calib)


def quantize_yolox_nano(runner: Runner, weight_bits: int, act_bits: int) -> Build:
    """Quantize the real YOLOX-Nano on all calibration images."""
    return quantize_photographs(
        runner, weight_bits, act_bits, YOLOX_NANO, CALIBRATION, MORE_CALIBRATION
    )


def quantize_mobileone(runner: Runner, weight_bits: int, act_bits: int) -> Build:
    """Quantize the real MobileOne-S0 on 64 of the sample images, as many as the detectors have."""
    options = ("--arch", "mobileone-s0", "--calib", OBJECTS, "--limit", "64")
    return _quantize(runner, weight_bits, act_bits, MOBILEONE, *options)


def build_row(runner: Runner, build: Build) -> Row:
    """Return bits, file sizes and memory ratios of a build, from ``nibbleflow report``."""
    memory = runner.nibbleflow("report", build.folder)["memory"]
    files = [f for f in runner.path(build.folder / "bundle").iterdir() if f.is_file()]
    tensors = sum(f.stat().st_size for f in files if f.suffix == ".safetensors")
    return {
        "weight_bits": build.weight_bits,
        "act_bits": build.act_bits,
        "honest_ratio": memory["honest_ratio"],
        "published_ratio": memory["published_ratio"],
        "stored_bits": sum(memory["bits"].values()),
        "tensor_file_bytes": tensors,
        "bundle_bytes": sum(f.stat().st_size for f in files),
        "quantize_seconds": round(build.quantize_seconds, 1),
    }


def accuracy_row(runner: Runner, build: Build, *arguments: str) -> Row:
    """Return the accuracy of every engine, in percent, from ``nibbleflow evaluate``."""
    found = runner.nibbleflow("evaluate", build.folder, *arguments)
    row: Row = {"images": found["images"]}
    for engine in ENGINES:
        row[f"{engine}_map_percent"] = found[engine]["map"]
        row[f"{engine}_map50_percent"] = found[engine]["map50"]
    return row


def _quantize(
    runner: Runner, weight_bits: int, act_bits: int, model: str, *arguments: str
) -> Build:
    folder = runner.folder / f"{Path(model).stem}_w{weight_bits}a{act_bits}"
    bits = ("--weight-bits", str(weight_bits), "--act-bits", str(act_bits))
    begin = perf_counter()
    runner.nibbleflow("quantize", model, *arguments, "-o", folder, *bits, "--force")
    return Build(folder, weight_bits, act_bits, perf_counter() - begin)

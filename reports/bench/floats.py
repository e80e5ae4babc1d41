# SPDX-License-Identifier: Apache-2.0
"""Float accuracy of real models through our own import and host code, beside the known figures."""

from dataclasses import dataclass

from reports.bench.benchmark import Benchmark
from reports.bench.builds import IMAGES, INSTANCES, WEIGHTS, YOLOV5N
from reports.bench.record import Row
from reports.bench.runner import Runner

PHOTOGRAPHS = "../shared/data/imagenet/val300_224"
LABELS = "../shared/data/imagenet/labels.json"


@dataclass(frozen=True)
class Known:
    """A model whose accuracy was measured independently of this project.

    Attributes:
        name: Published name.
        size: Input width and height in pixels.
        file: Its weights, as the commands name them.
        expected: Percent by key of ``nibbleflow evaluate``.
        arch: ``--arch`` of the weights, if they need one.
    """

    name: str
    size: int
    file: str
    expected: dict[str, float]
    arch: str | None = None


def _detector(name: str, size: int, file: str, average: float, at_half: float) -> Known:
    return Known(name, size, file, {"map": average, "map50": at_half})


# Figures of the data's own README.
KNOWN = (
    _detector("YOLOv5n", 640, YOLOV5N, 26.86, 42.97),
    _detector("YOLOv5-Lite-s", 640, f"{WEIGHTS}/yolov5lite_s_coco_fp16.safetensors", 25.83, 40.60),
    _detector("YOLOX-Nano", 416, f"{WEIGHTS}/yolox_nano_416.onnx", 25.03, 40.46),
    _detector(
        "YOLOv6Lite-L", 320, f"{WEIGHTS}/yolov6lite_l_320_ncnn_fp16.safetensors", 24.84, 37.83
    ),
    _detector(
        "YOLOv6Lite-M", 320, f"{WEIGHTS}/yolov6lite_m_320_ncnn_fp16.safetensors", 22.57, 33.59
    ),
    _detector(
        "YOLOv6Lite-S", 320, f"{WEIGHTS}/yolov6lite_s_320_ncnn_fp16.safetensors", 21.38, 32.47
    ),
    Known(
        "MobileOne-S0",
        224,
        f"{WEIGHTS}/mobileone_s0_reparam_fp32.safetensors",
        {"top1": 64.0, "top5": 86.7},
        "mobileone-s0",
    ),
)


def run(runner: Runner) -> list[Row]:
    """Evaluate every model in float."""
    return [_row(runner, known) for known in KNOWN]


def _row(runner: Runner, known: Known) -> Row:
    arguments = ["--data", INSTANCES, "--images", IMAGES]
    if "top1" in known.expected:
        arguments = ["--labels", LABELS, "--images", PHOTOGRAPHS]
    if known.arch is not None:
        arguments += ["--arch", known.arch]
    found = runner.nibbleflow("evaluate", known.file, *arguments)
    measured, expected = found["float"], known.expected
    return {
        "model": known.name,
        "pixels": known.size,
        "images": found["images"],
        "map_percent": measured.get("map"),
        "expected_map_percent": expected.get("map"),
        "map50_percent": measured.get("map50"),
        "expected_map50_percent": expected.get("map50"),
        "top1_percent": measured.get("top1"),
        "expected_top1_percent": expected.get("top1"),
        "top5_percent": measured.get("top5"),
        "expected_top5_percent": expected.get("top5"),
    }


BENCHMARK = Benchmark(
    "float",
    "real models in float through this import and host code, beside independently measured figures",
    (INSTANCES, IMAGES, PHOTOGRAPHS, LABELS, *(known.file for known in KNOWN)),
    run,
)

# SPDX-License-Identifier: Apache-2.0
"""Finds the float model that a word on the command line means."""

from pathlib import Path

from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo.checkpoint import read_json, read_weights
from quant.zoo.demo import DEMO_WEIGHTS
from quant.zoo.described import Description
from quant.zoo.loaded import LoadedModel
from quant.zoo.yolov5 import SIZES, load_described, load_yolov5, load_yolov5_size

ACCEPTED = "accepted now: demo, or a .safetensors file with its JSON beside it or --arch"
_FAMILY = "yolov5"


def load_model(
    spec: str, *, arch: str | None = None, image_size: tuple[int, int] | None = None
) -> LoadedModel:
    """Load a float model.

    Args:
        spec: ``demo`` for the built-in detector, or the path of a ``.safetensors`` file whose
            description stands beside it with the suffix ``.json``.
        arch: Architecture of a ``.safetensors`` file without a JSON: ``yolov5n`` to ``yolov5x``.
            It overrides the JSON.
        image_size: (height, width) in pixels; ``None`` for the model's own (640x640 for YOLOv5
            where the JSON does not say).

    Returns:
        The model in eval mode with its host side.

    Raises:
        InputFileError: A file is missing, damaged, or not of the described model.
        UnsupportedLayerError: The kind of model, or a module in it, is not supported.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    if spec == "demo":
        if arch is not None:
            raise UnsupportedLayerError(
                f"demo is a network of its own and takes no --arch ('{arch}'); leave it out"
            )
        return _load_demo(image_size)
    path = Path(spec)
    if path.suffix == ".safetensors":
        if arch is None:
            return load_yolov5(path, path.with_suffix(".json"), image_size)
        size = arch.removeprefix(_FAMILY)
        if not arch.startswith(_FAMILY) or size not in SIZES:
            raise UnsupportedLayerError(
                f"architecture '{arch}' is not known; known: "
                + ", ".join(_FAMILY + s for s in SIZES)
            )
        return load_yolov5_size(path, size, image_size)
    if path.suffix in (".pt", ".pth", ".onnx") or ":" in spec:
        raise UnsupportedLayerError(f"model '{spec}' is of a kind not read yet; {ACCEPTED}")
    raise InputFileError(f"model '{spec}' is not known; {ACCEPTED}")


def _load_demo(image_size: tuple[int, int] | None) -> LoadedModel:
    beside = DEMO_WEIGHTS.with_suffix(".json")
    description = Description.from_json(read_json(beside), f"'{beside.name}'", image_size)
    return load_described(read_weights(DEMO_WEIGHTS), description, DEMO_WEIGHTS, "demo")

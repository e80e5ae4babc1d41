# SPDX-License-Identifier: Apache-2.0
"""Finds the float model that a word on the command line means."""

from pathlib import Path

from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo.checkpoint import read_json, read_weights
from quant.zoo.demo import DEMO_WEIGHTS
from quant.zoo.described import Description
from quant.zoo.loaded import LoadedModel
from quant.zoo.named import load_named
from quant.zoo.yolov5 import SIZES, load_described, load_yolov5, load_yolov5_size

ACCEPTED = (
    "accepted: demo, a .safetensors file with its JSON beside it or --arch, or "
    "package.module:callable"
)
_FAMILY = "yolov5"
_SUFFIXES = (".safetensors", ".pt", ".pth", ".onnx")


def is_model(spec: str) -> bool:
    """Whether a word has the form of a model, so that it cannot mean a build folder."""
    return spec == "demo" or ":" in spec or Path(spec).suffix.lower() in _SUFFIXES


def load_model(
    spec: str,
    *,
    arch: str | None = None,
    image_size: tuple[int, int] | None = None,
    decode: str | None = None,
    seed: int | None = None,
) -> LoadedModel:
    """Load a float model.

    Args:
        spec: ``demo`` for the built-in detector; the path of a ``.safetensors`` file whose
            description stands beside it with the suffix ``.json``; ``package.module:callable`` for
            a function of the user's own code, which is then run.
        arch: Architecture of a ``.safetensors`` file without a JSON: ``yolov5n`` to ``yolov5x``.
            It overrides the JSON.
        image_size: (height, width) in pixels; ``None`` for the model's own (640x640 for YOLOv5
            where the JSON does not say).
        decode: What the outputs mean, where the model does not say: ``none`` or ``classify``.
        seed: Of the weights, where the model is an architecture alone.

    Returns:
        The model in eval mode with its host side.

    Raises:
        InputFileError: A file is missing, damaged, or not of the described model.
        UnsupportedLayerError: The kind of model, a module in it, or an option is not supported.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    path = Path(spec)
    _refuse(spec, "--seed", seed)
    if spec == "demo":
        if arch is not None:
            raise UnsupportedLayerError(
                f"demo is a network of its own and takes no --arch ('{arch}'); leave it out"
            )
        _refuse(spec, "--decode", decode)
        return _load_demo(image_size)
    if path.suffix == ".safetensors":
        _refuse(spec, "--decode", decode)
        if arch is None:
            return load_yolov5(path, path.with_suffix(".json"), image_size)
        size = arch.removeprefix(_FAMILY)
        if not arch.startswith(_FAMILY) or size not in SIZES:
            raise UnsupportedLayerError(
                f"architecture '{arch}' is not known; known: "
                + ", ".join(_FAMILY + s for s in SIZES)
            )
        return load_yolov5_size(path, size, image_size)
    if path.suffix in (".pt", ".pth", ".onnx"):
        raise UnsupportedLayerError(f"model '{spec}' is of a kind not read yet; {ACCEPTED}")
    if ":" in spec:
        _refuse(spec, "--arch", arch)
        return load_named(spec, image_size=image_size, decode=decode)
    raise InputFileError(f"model '{spec}' is not known; {ACCEPTED}")


def _refuse(spec: str, option: str, value: object) -> None:
    """Refuse an option that says nothing about this kind of model, instead of ignoring it."""
    if value is not None:
        raise UnsupportedLayerError(f"'{spec}' takes no {option} ('{value}'); leave it out")


def _load_demo(image_size: tuple[int, int] | None) -> LoadedModel:
    beside = DEMO_WEIGHTS.with_suffix(".json")
    description = Description.from_json(read_json(beside), f"'{beside.name}'", image_size)
    return load_described(read_weights(DEMO_WEIGHTS), description, DEMO_WEIGHTS, "demo")

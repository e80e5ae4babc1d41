# SPDX-License-Identifier: Apache-2.0
"""Finds the float model that a word on the command line means."""

from pathlib import Path

from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo.arches import ARCHES, build_arch
from quant.zoo.checkpoint import read_description, read_json, read_weights
from quant.zoo.demo import DEMO_WEIGHTS
from quant.zoo.described import Description
from quant.zoo.loaded import LoadedModel
from quant.zoo.named import load_named
from quant.zoo.ncnn_model import load_ncnn
from quant.zoo.official import load_official
from quant.zoo.onnx_model import load_onnx
from quant.zoo.yolov5 import load_described, load_yolov5

ACCEPTED = (
    "accepted: demo, a .safetensors file with its JSON beside it or --arch, an official .pt file, "
    "an .onnx file, arch:NAME with seeded weights, or package.module:callable"
)
_ARCH = "arch:"
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
        spec: One of

            - ``demo``: the built-in detector;
            - a ``.safetensors`` file whose description stands beside it with the suffix ``.json``
              (for ``NAME_ncnn*.safetensors`` also ``NAME_graph.json``), or whose architecture
              ``arch`` names;
            - an official ``.pt`` checkpoint, read without running anything that is in it;
            - an ``.onnx`` file;
            - ``arch:NAME``: a known architecture with seeded weights;
            - ``package.module:callable``: a function of the user's own code, which is then run.
        arch: One of ``quant.zoo.arches.ARCHES``, for a ``.safetensors`` file; it overrides the
            JSON.
        image_size: (height, width) in pixels; ``None`` for the model's own.
        decode: What the outputs mean, where an ``.onnx`` file or a bare torch module does not
            say.
        seed: Of the weights of ``arch:NAME``; ``None`` for 0.

    Returns:
        The model in eval mode with its host side.

    Raises:
        InputFileError: A file is missing, damaged, or not of the described model.
        UnsupportedLayerError: The kind of model, a module in it, or an option is not supported.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    if spec.startswith(_ARCH):
        _refuse(spec, {"--arch": arch, "--decode": decode})
        name = spec.removeprefix(_ARCH)
        return build_arch(name, weights=None, seed=seed or 0, image_size=image_size)
    if spec == "demo":
        if arch is not None:
            raise UnsupportedLayerError(
                f"demo is a network of its own and takes no --arch ('{arch}'); leave it out"
            )
        _refuse(spec, {"--decode": decode, "--seed": seed})
        return _load_demo(image_size)
    path = Path(spec)
    match path.suffix.lower():
        case ".safetensors":
            _refuse(spec, {"--decode": decode, "--seed": seed})
            if arch is None:
                return _load_beside(path, image_size)
            return build_arch(arch, weights=path, seed=None, image_size=image_size)
        case ".pt" | ".pth":
            _refuse(spec, {"--arch": arch, "--decode": decode, "--seed": seed})
            return load_official(path, image_size)
        case ".onnx":
            _refuse(spec, {"--arch": arch, "--seed": seed})
            return load_onnx(path, decode=decode, image_size=image_size)
        case _:
            pass
    if ":" in spec:
        _refuse(spec, {"--arch": arch, "--seed": seed})
        return load_named(spec, image_size=image_size, decode=decode)
    raise InputFileError(f"model '{spec}' is not known; {ACCEPTED}")


def _load_beside(weights: Path, image_size: tuple[int, int] | None) -> LoadedModel:
    """Load weights that a JSON beside them describes: our own form, or an ncnn network's nodes."""
    beside = weights.with_suffix(".json")
    name, ncnn, _ = weights.stem.partition("_ncnn")
    if ncnn and not beside.exists():
        beside = weights.with_name(f"{name}_graph.json")
    if not weights.is_file():
        raise InputFileError(f"weights file '{weights}' does not exist; give a .safetensors file")
    if not beside.exists():
        raise InputFileError(
            f"description '{beside}' does not exist; put the model's JSON there or name its "
            f"architecture with --arch; known: {', '.join(ARCHES)}"
        )
    value = read_description(beside)
    if isinstance(value, list):
        return load_ncnn(weights, value, beside, image_size)
    return load_yolov5(weights, beside, image_size)


def _refuse(spec: str, options: dict[str, object]) -> None:
    """Refuse options that say nothing about this kind of model, instead of ignoring them."""
    for option, value in options.items():
        if value is not None:
            raise UnsupportedLayerError(f"'{spec}' takes no {option} ('{value}'); leave it out")


def _load_demo(image_size: tuple[int, int] | None) -> LoadedModel:
    beside = DEMO_WEIGHTS.with_suffix(".json")
    description = Description.from_json(read_json(beside), f"'{beside.name}'", image_size)
    return load_described(read_weights(DEMO_WEIGHTS), description, DEMO_WEIGHTS, "demo")

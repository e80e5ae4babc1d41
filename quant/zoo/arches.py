# SPDX-License-Identifier: Apache-2.0
"""Known architectures by name, with weights from a file or seeded."""

from pathlib import Path
from typing import get_args

from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo import mobileone, repvgg
from quant.zoo.checkpoint import read_weights
from quant.zoo.class_names import COCO_NAMES
from quant.zoo.classifier import Form as ClassifierForm
from quant.zoo.classifier import build_classifier
from quant.zoo.loaded import LoadedModel
from quant.zoo.yolov5 import SIZES, load_yolov5_size, seeded_yolov5
from quant.zoo.yolov7 import Form, Variant, build_yolov7, load_yolov7, yolov7_description
from quant.zoo.yolox_load import build_yolox_nano

ImageSize = tuple[int, int] | None

ARCHES: tuple[str, ...] = (
    *(f"yolov5{size}" for size in SIZES),
    *(f"{variant}{suffix}" for variant in get_args(Variant) for suffix in ("", "-deploy")),
    "mobileone-s0",
    "mobileone-s0-train",
    "repvgg-a0",
    "repvgg-a0-train",
    "yolox-nano",
)


def build_arch(
    name: str, *, weights: Path | None, seed: int | None, image_size: ImageSize = None
) -> LoadedModel:
    """Build a known architecture.

    Args:
        name: One of ``ARCHES``. ``-deploy`` is YOLOv7 with the constants of its training head
            folded in, ``-train`` a classifier with its training branches.
        weights: A safetensors file with the published tensor names; either this or ``seed``.
        seed: Draws weights instead: the shapes and costs are real, the predictions are not.
        image_size: (height, width) in pixels; ``None`` for the architecture's own.

    Returns:
        The model in eval mode, named like the weights file, or like the architecture.

    Raises:
        InputFileError: Neither or both of weights and seed, or the file is missing, damaged, or of
            another network.
        UnsupportedLayerError: The name is not known.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    if name not in ARCHES:
        raise UnsupportedLayerError(
            f"architecture '{name}' is not known; known: {', '.join(ARCHES)}"
        )
    if (weights is None) == (seed is None):
        raise InputFileError(
            f"architecture '{name}' needs a weights file (.safetensors) or a seed, one of the two"
        )
    match name:
        case "yolov7" | "yolov7-tiny" | "yolov7-deploy" | "yolov7-tiny-deploy":
            variant: Variant = "yolov7-tiny" if "-tiny" in name else "yolov7"
            form: Form = "deploy" if name.endswith("-deploy") else "training"
            return _yolov7(variant, form, name, weights, seed, image_size)
        case "mobileone-s0" | "mobileone-s0-train" | "repvgg-a0" | "repvgg-a0-train":
            return _classifier(name, weights, seed, image_size)
        case "yolox-nano":
            return build_yolox_nano(
                seed=seed,
                tensors=read_weights(weights) if weights is not None else None,
                source=weights or Path(name),
                image_size=image_size,
            )
        case _:
            size = name.removeprefix("yolov5")
            if weights is not None:
                return load_yolov5_size(weights, size, image_size)
            return seeded_yolov5(size, seed or 0, image_size)


def _yolov7(
    variant: Variant,
    form: Form,
    name: str,
    weights: Path | None,
    seed: int | None,
    image_size: ImageSize,
) -> LoadedModel:
    if weights is not None:
        return load_yolov7(weights, variant, form, image_size)
    return build_yolov7(
        yolov7_description(variant, form),
        COCO_NAMES,
        image_size=image_size,
        seed=seed,
        source=Path(name),
    )


def _classifier(
    name: str, weights: Path | None, seed: int | None, image_size: ImageSize
) -> LoadedModel:
    form: ClassifierForm = "branches" if name.endswith("-train") else "fused"
    one = name.startswith("mobileone")
    return build_classifier(
        mobileone.make_mobileone_s0 if one else repvgg.make_repvgg_a0,
        form,
        mobileone.FUSED_NAME if one else repvgg.FUSED_NAME,
        seed=seed,
        tensors=read_weights(weights) if weights is not None else None,
        source=weights or Path(name),
        image_size=image_size,
    )

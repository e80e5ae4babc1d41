# SPDX-License-Identifier: Apache-2.0
"""The YOLOv5 family (v6.x, three scales): our description of it, and loading its weights."""

from pathlib import Path
from typing import Any

from torch import Tensor

from quant.errors import InputFileError, UnsupportedLayerError
from quant.hostspec import Decode, HostSpec
from quant.zoo.checkpoint import load_into, read_json, read_weights
from quant.zoo.class_names import COCO_NAMES, coco_or_numbered
from quant.zoo.described import DescribedModel, Description
from quant.zoo.loaded import LoadedModel
from quant.zoo.seeding import seed_weights
from quant.zoo.unshuffle import remove_shuffles

# (depth multiple, width multiple) of each size
SIZES: dict[str, tuple[float, float]] = {
    "n": (0.33, 0.25),
    "s": (0.33, 0.5),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}
ANCHORS_PER_SCALE = 3
LETTERBOX_VALUE = 114


def yolov5_description(size: str, names: tuple[str, ...] = COCO_NAMES) -> dict[str, Any]:
    """Return one size of the family as the JSON value that stands beside weights.

    Args:
        size: ``n``, ``s``, ``m``, ``l`` or ``x``.
        names: Class names.

    Raises:
        UnsupportedLayerError: The size is not known.
    """
    if size not in SIZES:
        raise UnsupportedLayerError(
            f"yolov5 has no size '{size}'; known: yolov5{', yolov5'.join(SIZES)}"
        )
    backbone: list[list[Any]] = [[-1, 1, "Conv", [64, 6, 2, 2]]]
    for filters, repeats in ((128, 3), (256, 6), (512, 9), (1024, 3)):
        backbone += [[-1, 1, "Conv", [filters, 3, 2]], [-1, repeats, "C3", [filters]]]
    backbone.append([-1, 1, "SPPF", [1024, 5]])
    head: list[list[Any]] = []
    for filters, partner in ((512, 6), (256, 4)):  # top down: narrow, double, join, mix
        head += [
            [-1, 1, "Conv", [filters, 1, 1]],
            [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
            [[-1, partner], 1, "Concat", [1]],
            [-1, 3, "C3", [filters, False]],
        ]
    for filters, partner in ((256, 14), (512, 10)):  # bottom up: halve, join, mix
        head += [
            [-1, 1, "Conv", [filters, 3, 2]],
            [[-1, partner], 1, "Concat", [1]],
            [-1, 3, "C3", [filters * 2, False]],
        ]
    head.append([[17, 20, 23], 1, "Detect", ["nc", "anchors"]])
    depth, width = SIZES[size]
    return {
        "yaml": {
            "nc": len(names),
            "depth_multiple": depth,
            "width_multiple": width,
            "anchors": [
                [10, 13, 16, 30, 33, 23],
                [30, 61, 62, 45, 59, 119],
                [116, 90, 156, 198, 373, 326],
            ],
            "backbone": backbone,
            "head": head,
            "ch": 3,
        },
        "names": list(names),
        "strides": [8, 16, 32],
        "bn_eps": 0.001,
        "activation": "SiLU",
    }


def load_yolov5(
    weights: Path, description: Path, image_size: tuple[int, int] | None = None
) -> LoadedModel:
    """Load a YOLOv5-style detector from a safetensors file and its JSON.

    Args:
        weights: State dict with batch normalisation unfused, float16 or float32.
        description: JSON as ``Description.from_json`` reads it.
        image_size: (height, width) in pixels; ``None`` for the description's own.

    Returns:
        The model in eval mode, float32, named like the weights file.

    Raises:
        InputFileError: A file is missing, damaged, or the two do not belong together.
        UnsupportedLayerError: The description has a module that is not known.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    tensors = read_weights(weights)
    value = Description.from_json(read_json(description), f"'{description}'", image_size)
    return load_described(tensors, value, weights, weights.stem)


def load_yolov5_size(
    weights: Path, size: str, image_size: tuple[int, int] | None = None
) -> LoadedModel:
    """Load weights of a size of the family without a JSON; like ``load_yolov5`` otherwise.

    The number of classes is read off the head; 80 classes are taken to be COCO's.
    """
    tensors = read_weights(weights)
    heads = [v for k, v in tensors.items() if k.endswith(".m.2.bias")]
    if len(heads) != 1 or heads[0].ndim != 1 or len(heads[0]) % ANCHORS_PER_SCALE:
        raise InputFileError(
            f"'{weights}' has no head of a yolov5{size}; name another --arch or put the model's "
            "JSON beside it"
        )
    classes = max(len(heads[0]) // ANCHORS_PER_SCALE - 5, 0)
    names = coco_or_numbered(classes)
    value = Description.from_json(yolov5_description(size, names), f"yolov5{size}", image_size)
    return load_described(tensors, value, weights, weights.stem)


def seeded_yolov5(size: str, seed: int, image_size: tuple[int, int] | None = None) -> LoadedModel:
    """Build a size of the family with seeded weights and COCO's classes.

    Raises:
        UnsupportedLayerError: The size is not known.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    name = f"yolov5{size}"
    value = Description.from_json(yolov5_description(size), name, image_size)
    module = DescribedModel(value)
    seed_weights(module, seed)
    module.requires_grad_(False)
    return LoadedModel(module, detector_host(module, value, "yolov5"), name)


def load_described(
    tensors: dict[str, Tensor], description: Description, source: Path, name: str
) -> LoadedModel:
    """Build the network of a description, fill it with tensors, and add its host side.

    Raises:
        InputFileError: The tensors are not those of the description.
        UnsupportedLayerError: The description has a module that is not known.
    """
    module = DescribedModel(description).eval()
    load_into(module, without_copies(tensors), source)
    remove_shuffles(module)
    module.requires_grad_(False)
    return LoadedModel(module, detector_host(module, description, "yolov5"), name)


def without_copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without those of older files that repeat the anchors in another form."""
    return {k: v for k, v in tensors.items() if not k.endswith(".anchor_grid")}


def detector_host(module: DescribedModel, description: Description, decode: Decode) -> HostSpec:
    """Return the host side of a described detector: letterbox, 0..1 input, its own anchors."""
    return HostSpec(
        height=description.image_size[0],
        width=description.image_size[1],
        place="center",
        pad_value=LETTERBOX_VALUE,
        channel_order="rgb",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        decode=decode,
        strides=description.strides,
        # the file's anchors, not the description's: training may have moved them
        anchors=module.detect.pixel_anchors(),
        outputs=((),) * len(description.strides),
        class_names=description.class_names,
    )

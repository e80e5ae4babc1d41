# SPDX-License-Identifier: Apache-2.0
"""YOLOv7 and YOLOv7-tiny: our description of them, and building them from any description.

Source: YOLOv7 (Wang et al., 2022): ELAN blocks, MP transitions, SPPCSPC, RepConv before the head.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo.checkpoint import load_into, read_weights
from quant.zoo.class_names import coco_or_numbered
from quant.zoo.described import DescribedModel, Description
from quant.zoo.head import Anchors
from quant.zoo.loaded import LoadedModel
from quant.zoo.seeding import seed_weights
from quant.zoo.yolov5 import ANCHORS_PER_SCALE, detector_host, without_copies

Variant = Literal["yolov7", "yolov7-tiny"]
Form = Literal["training", "deploy"]
Layer = list[Any]

STRIDES = (8, 16, 32)
BN_EPS = 0.001
ANCHOR_SETS: dict[Variant, list[list[int]]] = {
    "yolov7": [
        [12, 16, 19, 36, 40, 28],
        [36, 75, 76, 55, 72, 146],
        [142, 110, 192, 243, 459, 401],
    ],
    "yolov7-tiny": [
        [10, 13, 16, 30, 33, 23],
        [30, 61, 62, 45, 59, 119],
        [116, 90, 156, 198, 373, 326],
    ],
}


def yolov7_description(variant: Variant, form: Form, classes: int = 80) -> dict[str, Any]:
    """Return a network of the family in the form of a checkpoint's own ``yaml``.

    Args:
        variant: ``yolov7`` or ``yolov7-tiny``.
        form: ``training`` ends with IDetect (learned offsets and gains around the head
            convolutions), ``deploy`` with Detect.
        classes: Number of classes.

    Returns:
        Object with ``nc``, ``depth_multiple``, ``width_multiple``, ``anchors``, ``backbone`` and
        ``head``, as ``build_yolov7`` reads it.

    Raises:
        UnsupportedLayerError: Variant or form is not known.
    """
    kinds = {"training": "IDetect", "deploy": "Detect"}
    if variant not in ANCHOR_SETS or form not in kinds:
        raise UnsupportedLayerError(
            f"'{variant}' in form '{form}' is not known; known: {', '.join(ANCHOR_SETS)}, each in "
            f"form {' or '.join(kinds)}"
        )
    backbone, head = _yolov7() if variant == "yolov7" else _tiny()
    count = len(backbone) + len(head)
    head.append([[count - 3, count - 2, count - 1], 1, kinds[form], ["nc", "anchors"]])
    return {
        "nc": classes,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "anchors": [list(row) for row in ANCHOR_SETS[variant]],
        "backbone": backbone,
        "head": head,
    }


def build_yolov7(
    description: dict[str, Any],
    names: tuple[str, ...],
    *,
    anchors: Anchors | None = None,
    image_size: tuple[int, int] | None = None,
    seed: int | None = None,
    tensors: dict[str, Tensor] | None = None,
    source: Path = Path("yolov7"),
) -> LoadedModel:
    """Build a network of the family.

    Args:
        description: As ``yolov7_description`` returns it, or a checkpoint's own ``yaml``.
        names: Class names, as many as the description's ``nc``.
        anchors: Per scale, (width, height) in pixels; ``None`` for the description's own.
        image_size: (height, width) in pixels; ``None`` for 640x640.
        seed: Draws weights and matching batch normalisation statistics.
        tensors: State dict, names as the published ones; either this or ``seed``.
        source: Where description and tensors came from: for messages, and the network's name.

    Returns:
        The model in eval mode; its anchors are those of the tensors where there are any.

    Raises:
        InputFileError: Neither or both of seed and tensors, or the tensors or names are not those
            of the description.
        UnsupportedLayerError: The description has a module that is not known.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    if (seed is None) == (tensors is None):
        raise InputFileError(f"'{source}' needs weights or a seed, one of the two")
    if description.get("nc", len(names)) != len(names):
        raise InputFileError(
            f"'{source}' has {len(names)} class names for {description['nc']} classes; give one "
            "name per class"
        )
    value = {
        "yaml": description,
        "names": list(names),
        "strides": list(STRIDES),
        "bn_eps": BN_EPS,
        "activation": "SiLU",
    }
    network = Description.from_json(value, f"'{source}'", image_size)
    if anchors is not None:
        network = replace(network, anchors=anchors)
    module = DescribedModel(network).eval()
    if tensors is not None:
        load_into(module, without_copies(tensors), source)
    elif seed is not None:
        seed_weights(module, seed)
    module.requires_grad_(False)
    return LoadedModel(module, detector_host(module, network, "yolov7"), source.stem)


def load_yolov7(
    weights: Path, variant: Variant, form: Form, image_size: tuple[int, int] | None = None
) -> LoadedModel:
    """Load weights of the family from a safetensors file without a description.

    The number of classes is read off the head; 80 classes are taken to be COCO's.

    Raises:
        InputFileError: The file is missing, damaged, or of another network.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    tensors = read_weights(weights)
    heads = [v for k, v in tensors.items() if k.endswith(".m.2.bias")]
    if len(heads) != 1 or heads[0].ndim != 1 or len(heads[0]) % ANCHORS_PER_SCALE:
        raise InputFileError(f"'{weights}' has no head of a {variant}; name another --arch")
    classes = max(len(heads[0]) // ANCHORS_PER_SCALE - 5, 0)
    return build_yolov7(
        yolov7_description(variant, form, classes),
        coco_or_numbered(classes),
        image_size=image_size,
        tensors=tensors,
        source=weights,
    )


def _conv(source: int, filters: int, kernel: int = 1, stride: int = 1) -> Layer:
    return [source, 1, "Conv", [filters, kernel, stride]]


def _concat(*sources: int) -> Layer:
    return [list(sources), 1, "Concat", [1]]


def _upsample() -> Layer:
    return [-1, 1, "nn.Upsample", ["None", 2, "nearest"]]


def _elan(point: int, wide: int, depth: int, taps: tuple[int, ...], made: int) -> list[Layer]:
    """Return two 1x1 paths, a chain of ``depth`` 3x3, the tapped tensors joined and mixed."""
    chain = [_conv(-1, wide, 3) for _ in range(depth)]
    return [_conv(-1, point), _conv(-2, point), *chain, _concat(*taps), _conv(-1, made)]


def _transition(filters: int, *joined: int) -> list[Layer]:
    """Return max pool beside a strided convolution, joined, and with earlier layers."""
    pooled = [[-1, 1, "MP", []], _conv(-1, filters)]
    return [*pooled, _conv(-3, filters), _conv(-1, filters, 3, 2), _concat(-1, -3, *joined)]


def _yolov7() -> tuple[list[Layer], list[Layer]]:
    """Return backbone and head without the last layer."""
    sparse, every = (-1, -3, -5, -6), (-1, -2, -3, -4, -5, -6)
    backbone = [
        _conv(-1, 32, 3),
        _conv(-1, 64, 3, 2),
        _conv(-1, 64, 3),
        _conv(-1, 128, 3, 2),
        *_elan(64, 64, 4, sparse, 256),
    ]
    for half, wide, made in ((128, 128, 512), (256, 256, 1024), (512, 256, 1024)):
        backbone += [*_transition(half), *_elan(wide, wide, 4, sparse, made)]
    head: list[Layer] = [[-1, 1, "SPPCSPC", [512]]]
    pyramid = len(backbone)
    for filters, partner in ((256, 37), (128, 24)):  # top down
        head += [_conv(-1, filters), _upsample(), _conv(partner, filters), _concat(-1, -2)]
        head += _elan(filters, filters // 2, 4, every, filters)
    for filters, partner in ((128, 63), (256, pyramid)):  # bottom up
        head += _transition(filters, partner)
        head += _elan(2 * filters, filters, 4, every, 2 * filters)
    for filters, partner in ((256, 75), (512, 88), (1024, 101)):
        head.append([partner, 1, "RepConv", [filters, 3, 1]])
    return backbone, head


def _tiny() -> tuple[list[Layer], list[Layer]]:
    """Return backbone and head without the last layer; LeakyReLU stands in every convolution."""
    every = (-1, -2, -3, -4)
    backbone = [_conv(-1, 32, 3, 2), _conv(-1, 64, 3, 2), *_elan(32, 32, 2, every, 64)]
    for wide in (64, 128, 256):
        backbone += [[-1, 1, "MP", []], *_elan(wide, wide, 2, every, 2 * wide)]
    head = [_conv(-1, 256), _conv(-2, 256)]
    head += [[-1 - i, 1, "SP", [kernel]] for i, kernel in enumerate((5, 9, 13))]
    head += [_concat(*every), _conv(-1, 256), _concat(-1, -7), _conv(-1, 256)]
    for filters, partner in ((128, 21), (64, 14)):  # top down
        head += [_conv(-1, filters), _upsample(), _conv(partner, filters), _concat(-1, -2)]
        head += _elan(filters // 2, filters // 2, 2, every, filters)
    for filters, partner in ((128, 47), (256, 37)):  # bottom up
        head += [_conv(-1, filters, 3, 2), _concat(-1, partner)]
        head += _elan(filters // 2, filters // 2, 2, every, filters)
    head += [_conv(57, 128, 3), _conv(65, 256, 3), _conv(73, 512, 3)]
    for layer in backbone + head:
        if layer[2] == "Conv":
            layer[3] += ["None", 1, "nn.LeakyReLU(0.1)"]
    return backbone, head

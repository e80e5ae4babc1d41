# SPDX-License-Identifier: Apache-2.0
"""Loads YOLOX-Nano, with batch normalisation or fused, by name or by order."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quant.errors import InputFileError
from quant.hostspec import HostSpec
from quant.zoo.checkpoint import load_into
from quant.zoo.class_names import coco_or_numbered
from quant.zoo.loaded import LoadedModel
from quant.zoo.seeding import seed_weights
from quant.zoo.yolox import STRIDES, Yolox, drop_norms

IMAGE_SIZE = (416, 416)
PAD_VALUE = 114
COCO_CLASSES = 80
# An exported initializer that lost its name; the numbers rise in the order of execution.
_NUMBERED = re.compile(r"(?:onnx::)?Conv_(\d+)")


def build_yolox_nano(
    *,
    seed: int | None = None,
    tensors: dict[str, Tensor] | None = None,
    source: Path = Path("yolox-nano"),
    image_size: tuple[int, int] | None = None,
) -> LoadedModel:
    """Build YOLOX-Nano with its host side.

    Args:
        seed: Draws weights and matching batch normalisation statistics.
        tensors: State dict with published names, with or without batch normalisation, or the
            initializers of an export with it fused; either this or ``seed``.
        source: Where the tensors came from: for messages, and the network's name.
        image_size: (height, width) in pixels; ``None`` for 416x416.

    Raises:
        InputFileError: Neither or both of seed and tensors, or the tensors are of another network.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    if (seed is None) == (tensors is None):
        raise InputFileError(f"'{source}' needs weights or a seed, one of the two")
    size = image_size or IMAGE_SIZE
    classes = COCO_CLASSES if tensors is None else _classes(tensors, source)
    module = Yolox(classes, size)
    if tensors is not None:
        if not any(".bn." in name for name in tensors):
            drop_norms(module)
            tensors = _named(module, tensors, source)
        load_into(module, tensors, source)
    elif seed is not None:
        seed_weights(module, seed, mean=127.5, deviation=74.0)
        module.head.set_prior()
    module.eval().requires_grad_(False)
    host = HostSpec(
        height=size[0],
        width=size[1],
        place="top_left",
        pad_value=PAD_VALUE,
        channel_order="bgr",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        decode="yolox",
        strides=STRIDES,
        anchors=(),
        outputs=((),) * len(STRIDES),
        class_names=coco_or_numbered(classes),
    )
    return LoadedModel(module, host, source.stem)


def _classes(tensors: dict[str, Tensor], source: Path) -> int:
    bias = tensors.get("head.cls_preds.0.bias")
    if bias is None or bias.ndim != 1 or not len(bias):
        raise InputFileError(
            f"'{source}' has no 'head.cls_preds.0.bias', so it is no YOLOX; name another --arch"
        )
    return len(bias)


def _named(module: nn.Module, tensors: dict[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Return the tensors with numbered ones named after the convolution they belong to."""
    numbers = {k: int(m[1]) for k in tensors if (m := _NUMBERED.fullmatch(k))}
    if not numbers:
        return tensors
    named = {k: v for k, v in tensors.items() if k not in numbers}
    places = [p for p in _execution_order(module) if f"{p}.weight" not in named]
    order = sorted(numbers, key=numbers.__getitem__)
    if len(order) != 2 * len(places):
        raise InputFileError(
            f"'{source}' has {len(order)} numbered tensors for {len(places)} convolutions; each "
            "needs a weight and a bias; export the model with batch normalisation fused"
        )
    for index, place in enumerate(places):
        named[f"{place}.weight"] = tensors[order[2 * index]]
        named[f"{place}.bias"] = tensors[order[2 * index + 1]]
    return named


def _execution_order(module: nn.Module) -> list[str]:
    """Return the paths of all convolutions in the order in which they run."""
    order: list[str] = []
    paths: dict[nn.Module, str] = {
        m: name for name, m in module.named_modules() if isinstance(m, nn.Conv2d)
    }

    def note(layer: nn.Module, _args: Any, _result: Any) -> None:  # noqa: ANN401
        order.append(paths[layer])

    handles = [layer.register_forward_hook(note) for layer in paths]
    try:
        module.train()  # the head's raw maps; its grids are of another size
        with torch.no_grad():
            module(torch.zeros((1, 3, 2 * STRIDES[-1], 2 * STRIDES[-1])))
    finally:
        for handle in handles:
            handle.remove()
    module.eval()
    return order

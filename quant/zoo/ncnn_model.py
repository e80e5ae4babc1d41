# SPDX-License-Identifier: Apache-2.0
"""Loads a detector with YOLOv6's head from an ncnn description and its weights.

Source: YOLOv6Lite as meituan/YOLOv6 deploys it: 80 classes, strides 8 to 64, 320x320.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quant.errors import InputFileError, UnsupportedLayerError
from quant.hostspec import HostSpec
from quant.zoo.checkpoint import read_weights
from quant.zoo.class_names import coco_or_numbered
from quant.zoo.head import check_image_size
from quant.zoo.loaded import LoadedModel
from quant.zoo.ncnn_file import NcnnGraph, NcnnNode, parse_ncnn
from quant.zoo.ncnn_module import NcnnModule

IMAGE_SIZE = (320, 320)
LETTERBOX_VALUE = 114
BOX_SIDES = 4
SIGMOID = 4  # ncnn's activation_type


def load_ncnn(
    weights: Path, value: list[Any], description: Path, image_size: tuple[int, int] | None = None
) -> LoadedModel:
    """Load a detector.

    Args:
        weights: Safetensors file with ``NODE.weight`` and ``NODE.bias``, batch normalisation fused.
        value: The list of nodes.
        description: Where that list was read, for messages.
        image_size: (height, width) in pixels; ``None`` for 320x320.

    Returns:
        The model in eval mode; it returns, per stride, class logits through a sigmoid and the
        distances of the box's sides.

    Raises:
        InputFileError: Description and weights are damaged or do not belong together.
        UnsupportedLayerError: A node or one of its parameters is not honoured, or the network does
            not end in heads of YOLOv6.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    graph = parse_ncnn(value, description)
    classes = _head_classes(graph)
    module = NcnnModule(graph, read_weights(weights)).eval()
    size = image_size or IMAGE_SIZE
    strides = _strides(module, graph)
    check_image_size(size, strides)
    host = HostSpec(
        height=size[0],
        width=size[1],
        place="center",
        pad_value=LETTERBOX_VALUE,
        channel_order="rgb",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        decode="yolov6",
        strides=strides,
        anchors=(),
        outputs=((),) * len(strides),
        class_names=coco_or_numbered(classes),
    )
    return LoadedModel(module, host, weights.stem)


def _head_classes(graph: NcnnGraph) -> int:
    """Return the classes of a network whose outputs all join class scores and box sides."""
    makers = {value: node for node in graph.nodes for value in node.outputs}
    found: set[int] = set()
    for output in graph.outputs:
        node = makers.get(output)
        parts = [makers.get(v) for v in node.inputs] if node and node.op == "Concat" else []
        rows = _rows(parts)
        if rows is None:
            name = node.name if node else output
            raise UnsupportedLayerError(
                f"'{graph.path}': the output of '{name}' is no concat of class scores (a "
                f"convolution with sigmoid) and {BOX_SIDES} box sides (a convolution), as YOLOv6 "
                "has it; give the model as .onnx"
            )
        found.add(rows)
    if len(found) != 1:
        raise UnsupportedLayerError(
            f"'{graph.path}' has outputs of {sorted(found)} classes; give the model as .onnx"
        )
    return found.pop()


def _rows(parts: list[NcnnNode | None]) -> int | None:
    """Return the number of classes that the two parts of an output stand for."""
    if len(parts) != 2:
        return None
    scores, sides = parts
    if scores is None or sides is None or not scores.op == sides.op == "Convolution":
        return None
    kinds = (scores.params.get(9, 0), sides.params.get(9, 0))
    classes = scores.params.get(0)
    if kinds != (SIGMOID, 0) or sides.params.get(0) != BOX_SIDES or not isinstance(classes, int):
        return None
    return classes


def _strides(module: NcnnModule, graph: NcnnGraph) -> tuple[int, ...]:
    """Return the strides in pixels, smallest first, as a run shows them.

    Raises:
        InputFileError: The network does not run, or its outputs are no grids of the image.
    """
    try:
        with torch.no_grad():
            maps: tuple[Tensor, ...] = module(torch.zeros(1, 3, *IMAGE_SIZE))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise InputFileError(
            f"'{graph.path}' does not run on {IMAGE_SIZE[0]}x{IMAGE_SIZE[1]} pixels: {reason}; "
            "description and weights are of different models"
        ) from None
    strides = sorted(IMAGE_SIZE[0] // m.shape[2] for m in maps)
    grids = sorted((tuple(m.shape[2:]) for m in maps), reverse=True)
    if len(set(strides)) != len(maps) or grids != [
        tuple(n // s for n in IMAGE_SIZE) for s in strides
    ]:
        raise InputFileError(
            f"'{graph.path}' has outputs of {grids} for {IMAGE_SIZE[0]}x{IMAGE_SIZE[1]} pixels, "
            "which is not one grid per stride; export it again"
        )
    return tuple(strides)

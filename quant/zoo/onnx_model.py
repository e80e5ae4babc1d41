# SPDX-License-Identifier: Apache-2.0
"""Loads an ONNX file as a torch module with its host side."""

import ast
from pathlib import Path

import torch

from quant.errors import InputFileError, UnsupportedLayerError
from quant.hostspec import Decode, HostSpec
from quant.zoo.class_names import coco_or_numbered
from quant.zoo.loaded import LoadedModel
from quant.zoo.named import IMAGENET_MEAN, IMAGENET_STD, LETTERBOX_VALUE
from quant.zoo.onnx_file import OnnxGraph, read_onnx
from quant.zoo.onnx_head import Head, find_anchor_head, find_decoupled_head
from quant.zoo.onnx_module import Observed, OnnxModule
from quant.zoo.onnx_simplify import simplify

DECODES: tuple[Decode, ...] = ("yolov5", "yolov7", "yolox", "classify", "none")
SIDE_LIMIT_PIXELS = 8192


def load_onnx(
    path: Path,
    *,
    decode: str | None = None,
    image_size: tuple[int, int] | None = None,
    class_names: tuple[str, ...] | None = None,
) -> LoadedModel:
    """Load an ONNX network.

    Its operations bear the names of the ONNX nodes. Operators that the integer graph has no
    meaning for are kept: behind the head they do not matter, anywhere else the importer names them.

    Args:
        path: The file.
        decode: Meaning of the outputs; ``None`` to tell it by the network's structure.
        image_size: (height, width) in pixels; needed only where the file leaves the size open.
        class_names: One per class; ``None`` for those in the file, COCO's 80, or numbers.

    Returns:
        The model in eval mode.

    Raises:
        InputFileError: The file cannot be read, or the size or number of names does not fit it.
        UnsupportedLayerError: The structure does not tell the decode, or is not the one asked for;
            or a node does not run.
    """
    if decode is not None and decode not in DECODES:
        raise UnsupportedLayerError(f"decode '{decode}' is not known; known: {', '.join(DECODES)}")
    graph = simplify(read_onnx(path))
    size = _size(graph, image_size)
    module = OnnxModule(graph).eval()
    seen = module.observe(torch.zeros(1, 3, *size))
    kind, head = _decode(graph, module, seen, decode)
    if head is None:
        return LoadedModel(module, _plain_host(kind, size, class_names), path.stem)
    names = class_names or _stored_names(graph) or coco_or_numbered(head.classes)
    if len(names) != head.classes:
        raise InputFileError(
            f"'{path}' has {head.classes} classes, and {len(names)} names were given; give one "
            "name per class"
        )
    return LoadedModel(module, _detector_host(kind, head, size, names), path.stem)


def _decode(
    graph: OnnxGraph, module: OnnxModule, seen: dict[str, Observed], wanted: str | None
) -> tuple[Decode, Head | None]:
    """Return the decode and, for a detector, its head."""
    for plain in ("none", "classify"):
        if wanted == plain:
            return ("none" if plain == "none" else "classify"), None
    if wanted in (None, "yolov5", "yolov7"):
        head = find_anchor_head(graph, module, seen)
        if head is not None:
            return ("yolov7" if wanted == "yolov7" else "yolov5"), head
    if wanted in (None, "yolox"):
        head = find_decoupled_head(graph, seen)
        if head is not None:
            return "yolox", head
    shapes = [seen[name].shape for name in graph.outputs]
    if wanted is not None:
        raise UnsupportedLayerError(
            f"'{graph.path}' has no head of {wanted}; its outputs are {_listed(shapes)}; choose "
            "another --decode, or none for raw tensors"
        )
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][0] == 1:
        return "classify", None
    raise UnsupportedLayerError(
        f"'{graph.path}' does not tell what its outputs {_listed(shapes)} mean; say it with "
        f"--decode {'|'.join(DECODES)}"
    )


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes[:4]) + (", ..." * (len(shapes) > 4))


def _size(graph: OnnxGraph, wanted: tuple[int, int] | None) -> tuple[int, int]:
    batch, channels, height, width = graph.image_shape
    if batch not in (None, 1) or channels not in (None, 3):
        raise UnsupportedLayerError(
            f"'{graph.path}' takes images of {list(graph.image_shape)}; nibbleflow imports one "
            "image of 3 channels; export the model with a batch of 1"
        )
    stored = (height, width)
    if wanted is None and None in stored:
        wanted = _stored_size(graph)
    if wanted is None:
        if height is None or width is None:
            raise InputFileError(f"'{graph.path}' leaves the image size open; give it with --img")
        wanted = (height, width)
    if any(s not in (None, w) for s, w in zip(stored, wanted, strict=True)):
        raise InputFileError(
            f"'{graph.path}' is made for images of {height}x{width}, not {wanted[0]}x{wanted[1]}; "
            "leave --img out, or export the model for the other size"
        )
    if not all(1 <= side <= SIDE_LIMIT_PIXELS for side in wanted):
        raise InputFileError(
            f"image size {wanted[0]}x{wanted[1]} is outside 1 to {SIDE_LIMIT_PIXELS} pixels; "
            "give another with --img"
        )
    return wanted


def _stored_size(graph: OnnxGraph) -> tuple[int, int] | None:
    """Return the size that an Ultralytics export notes."""
    value = _literal(graph.metadata.get("imgsz"))
    if isinstance(value, list | tuple) and len(value) == 2:
        height, width = value
        if isinstance(height, int) and isinstance(width, int):
            return height, width
    return None


def _stored_names(graph: OnnxGraph) -> tuple[str, ...] | None:
    """Return the class names that an Ultralytics export notes, as a list or by number."""
    value = _literal(graph.metadata.get("names"))
    if isinstance(value, dict):
        value = [value.get(i) for i in range(len(value))]
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value):
        return tuple(value)
    return None


def _literal(text: str | None) -> object:
    """Return the Python literal that a metadata text holds, ``None`` where it is something else."""
    if text is None or len(text) > 1 << 20:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _plain_host(
    decode: Decode, size: tuple[int, int], class_names: tuple[str, ...] | None
) -> HostSpec:
    """Return the host side of a network without boxes; the file does not say its normalisation."""
    classify = decode == "classify"
    return HostSpec(
        height=size[0],
        width=size[1],
        place="squash" if classify else "center",
        pad_value=LETTERBOX_VALUE,
        channel_order="rgb",
        mean=IMAGENET_MEAN if classify else (0.0, 0.0, 0.0),
        std=IMAGENET_STD if classify else (255.0, 255.0, 255.0),
        decode=decode,
        strides=(),
        anchors=(),
        outputs=(),
        class_names=class_names or (),
    )


def _detector_host(
    decode: Decode, head: Head, size: tuple[int, int], class_names: tuple[str, ...]
) -> HostSpec:
    """Return the host side of a detector: YOLOX reads bytes, blue first, from the top left."""
    yolox = decode == "yolox"
    return HostSpec(
        height=size[0],
        width=size[1],
        place="top_left" if yolox else "center",
        pad_value=LETTERBOX_VALUE,
        channel_order="bgr" if yolox else "rgb",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0) if yolox else (255.0, 255.0, 255.0),
        decode=decode,
        strides=head.strides,
        anchors=head.anchors,
        outputs=((),) * len(head.strides),
        class_names=class_names,
    )

# SPDX-License-Identifier: Apache-2.0
"""Loads an ONNX file as a torch module with its host side."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from quant.errors import InputFileError, UnsupportedLayerError
from quant.hostspec import Decode, HostSpec
from quant.zoo.class_names import coco_or_numbered
from quant.zoo.classifier import classifier_host
from quant.zoo.loaded import LoadedModel
from quant.zoo.onnx_file import OnnxGraph, read_onnx
from quant.zoo.onnx_head import Head, find_anchor_head, find_decoupled_head
from quant.zoo.onnx_module import NodeFailedError, Observed, OnnxModule
from quant.zoo.onnx_run import RUNNERS
from quant.zoo.onnx_simplify import simplify

DECODES: tuple[Decode, ...] = ("yolov5", "yolov7", "yolox", "classify", "none")
LETTERBOX_VALUE = 114
OBSERVED_SEED = 0
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
    stored = read_onnx(path)
    size = _size(stored, image_size)
    graph, module, seen = _observed(stored, size)
    kind, head = _decode(graph, module, seen, decode)
    if kind == "none":
        return LoadedModel(module, _raw_host(size, class_names), path.stem)
    classes = head.classes if head else _logits(graph, seen)
    names = class_names or _stored_names(graph)
    if names is not None and len(names) != classes:
        raise InputFileError(
            f"'{path}' has {classes} classes and {len(names)} class names; give one name per class"
        )
    if head is None:
        host = classifier_host(classes, size)
        host = replace(host, class_names=names or host.class_names)
    else:
        host = _detector_host(kind, head, size, names or coco_or_numbered(classes))
    return LoadedModel(module, host, path.stem)


def _observed(
    stored: OnnxGraph, size: tuple[int, int]
) -> tuple[OnnxGraph, OnnxModule, dict[str, Observed]]:
    """Return the graph that runs, its module, and a run of it.

    Operators that no layer needs may turn out not to run; the graph is cut before them.
    """
    generator = np.random.default_rng(OBSERVED_SEED)
    image = torch.from_numpy(generator.random((1, 3, *size), dtype=np.float32))
    unrunnable: set[str] = set()
    while True:
        graph = simplify(stored, frozenset(unrunnable))
        module = OnnxModule(graph).eval()
        try:
            return graph, module, module.observe(image)
        except NodeFailedError as failed:
            if failed.node.op in RUNNERS or failed.node.name in unrunnable:
                raise
            unrunnable.add(failed.node.name)


def _decode(
    graph: OnnxGraph, module: OnnxModule, seen: dict[str, Observed], wanted: str | None
) -> tuple[Decode, Head | None]:
    """Return the decode and, for a detector, its head."""
    if wanted == "none":
        return "none", None
    if wanted in (None, "classify") and _logits(graph, seen):
        return "classify", None
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
    raise UnsupportedLayerError(
        f"'{graph.path}' does not tell what its outputs {_listed(shapes)} mean; say it with "
        f"--decode {'|'.join(DECODES)}"
    )


def _logits(graph: OnnxGraph, seen: dict[str, Observed]) -> int:
    """Return the number of classes of a network whose one output is [1, classes], else 0."""
    shapes = [seen[name].shape for name in graph.outputs]
    return shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][0] == 1 else 0


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


def _raw_host(size: tuple[int, int], class_names: tuple[str, ...] | None) -> HostSpec:
    """Return the host side of a network of raw outputs: letterbox, input 0..1."""
    return HostSpec(
        height=size[0],
        width=size[1],
        place="center",
        pad_value=LETTERBOX_VALUE,
        channel_order="rgb",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        decode="none",
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

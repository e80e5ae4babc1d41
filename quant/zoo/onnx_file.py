# SPDX-License-Identifier: Apache-2.0
"""Reads an ONNX file into plain data, and refuses what is damaged, foreign, or not in the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from quant.errors import InputFileError, UnsupportedLayerError

OPSETS = range(9, 21)
SIZE_LIMIT_BYTES = 1 << 30
NODE_LIMIT = 20_000
NAME_LIMIT = 200
_STANDARD_DOMAINS = ("", "ai.onnx")
_HALF_AND_DOUBLE = (np.dtype(np.float16), np.dtype(np.float64))

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One node.

    Attributes:
        name: Unique name: the file's own; where it has none, the operator and its position.
        op: Operator, for example ``Conv``.
        domain: Empty for the standard operators.
        inputs: Names of the values read; an absent optional input is empty.
        outputs: Names of the values made; unused optional outputs are left out at the end.
        attributes: Numbers, texts, lists and arrays by attribute name.
        proto: The node as stored, for the reference implementation.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    proto: onnx.NodeProto


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A network as the file holds it.

    Attributes:
        path: The file.
        opset: Version of the standard operators.
        nodes: In topological order.
        constants: Stored tensors by name; float16 and float64 already cast to float32.
        image: Name of the image input.
        image_shape: (batch, channels, height, width); ``None`` where the file leaves it open.
        outputs: Names of the values that the network returns, in order.
        metadata: Free texts by key; Ultralytics stores ``names``, ``stride`` and ``imgsz``.
    """

    path: Path
    opset: int
    nodes: tuple[OnnxNode, ...]
    constants: dict[str, Array]
    image: str
    image_shape: tuple[int | None, int | None, int | None, int | None]
    outputs: tuple[str, ...]
    metadata: dict[str, str]


def read_onnx(path: Path) -> OnnxGraph:
    """Read and check an ONNX file.

    Args:
        path: The file; everything must be inside it.

    Raises:
        InputFileError: The file is missing, too large, truncated, no ONNX model, against the ONNX
            rules, of an opset that is not read, or keeps tensors in other files.
        UnsupportedLayerError: The network does not take exactly one float image.
    """
    model = _parse(path)
    opset = _opset(model, path)
    _refuse_external(model, path)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:300]
        raise InputFileError(
            f"'{path}' breaks the rules of ONNX: {text}; export the model again"
        ) from None
    if len(model.graph.node) > NODE_LIMIT:
        raise InputFileError(
            f"'{path}' has {len(model.graph.node)} nodes, limit {NODE_LIMIT}; simplify the model"
        )
    constants = {t.name: _to_array(t, path) for t in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise UnsupportedLayerError(
            f"'{path}' has {len(inputs)} inputs ({', '.join(v.name for v in inputs)}); nibbleflow "
            "imports networks of one image; export the model with that input alone"
        )
    return OnnxGraph(
        path,
        opset,
        tuple(_nodes(model.graph, path)),
        constants,
        inputs[0].name,
        _image_shape(inputs[0], path),
        tuple(value.name for value in model.graph.output),
        {entry.key: entry.value for entry in model.metadata_props},
    )


def _parse(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise InputFileError(f"ONNX file '{path}' does not exist; give the path of an .onnx file")
    size = path.stat().st_size
    if size > SIZE_LIMIT_BYTES:
        raise InputFileError(
            f"ONNX file '{path}' has {size} bytes, limit {SIZE_LIMIT_BYTES}; give a smaller model"
        )
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()
        raise InputFileError(
            f"'{path}' ({size} bytes) is truncated or no ONNX file: "
            f"{reason[0] if reason else type(error).__name__}; copy or export it again"
        ) from None
    if not model.graph.node or not model.opset_import:
        raise InputFileError(
            f"'{path}' ({size} bytes) is truncated or no ONNX file: it holds no graph; copy or "
            "export it again"
        )
    return model


def _opset(model: onnx.ModelProto, path: Path) -> int:
    versions = [int(o.version) for o in model.opset_import if o.domain in _STANDARD_DOMAINS]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise InputFileError(
            f"'{path}' is of opset {', '.join(map(str, versions)) or 'none'}; nibbleflow reads "
            f"opsets {OPSETS.start} to {OPSETS.stop - 1}; export it again with one of them"
        )
    return versions[0]


def _refuse_external(model: onnx.ModelProto, path: Path) -> None:
    """Refuse tensors whose values lie in another file: its path could point anywhere."""
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        tensors += [a.t for a in node.attribute if a.HasField("t")]
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise InputFileError(
                f"'{path}' keeps '{tensor.name}' in another file; nibbleflow reads models that "
                "hold their weights themselves; save it again without external data"
            )
    if model.graph.sparse_initializer:
        raise InputFileError(
            f"'{path}' has sparse weights, which are not read; save it again with dense weights"
        )


def _to_array(tensor: onnx.TensorProto, path: Path) -> Array:
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, RuntimeError, LookupError) as error:
        raise InputFileError(
            f"'{path}' holds a damaged tensor '{tensor.name}': {error}; copy or export it again"
        ) from None
    return array.astype(np.float32) if array.dtype in _HALF_AND_DOUBLE else array


def _nodes(graph: onnx.GraphProto, path: Path) -> Iterator[OnnxNode]:
    used: set[str] = set()
    for index, proto in enumerate(graph.node):
        # protobuf hands out text that is no UTF-8 as bytes
        texts = (proto.name, proto.op_type, proto.domain, *proto.input, *proto.output)
        if not all(isinstance(text, str) for text in texts):
            raise InputFileError(
                f"'{path}' has a node ({index}) whose names are no text; copy or export it again"
            )
        # Names stand in messages of one line.
        name = "".join(c if c.isprintable() else "_" for c in proto.name)[:NAME_LIMIT]
        name = name or f"{proto.op_type}_{index}"
        while name in used:
            name = f"{name}_{index}"
        used.add(name)
        outputs = list(proto.output)
        while outputs and not outputs[-1]:
            outputs.pop()
        yield OnnxNode(
            name,
            proto.op_type,
            "" if proto.domain in _STANDARD_DOMAINS else proto.domain,
            tuple(proto.input),
            tuple(outputs),
            {a.name: _attribute(a, path) for a in proto.attribute},
            proto,
        )


def _attribute(attribute: onnx.AttributeProto, path: Path) -> Any:  # noqa: ANN401 - one of ONNX's kinds
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return _to_array(value, path)
    if isinstance(value, int | float | str | onnx.GraphProto):
        return value
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value)


def type_name(kind: int) -> str:
    """Return ONNX's name of an element type, its number where it has none."""
    types = onnx.TensorProto.DataType
    return types.Name(kind) if kind in types.values() else f"number {kind}"


def _image_shape(
    value: onnx.ValueInfoProto, path: Path
) -> tuple[int | None, int | None, int | None, int | None]:
    kind = value.type.tensor_type
    dims = [int(d.dim_value) or None for d in kind.shape.dim]
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    if len(dims) != 4 or kind.elem_type not in floats:
        raise UnsupportedLayerError(
            f"'{path}' takes '{value.name}' of type {type_name(kind.elem_type)} and shape {dims}; "
            "nibbleflow imports networks of one float image [1, 3, height, width]"
        )
    return dims[0], dims[1], dims[2], dims[3]

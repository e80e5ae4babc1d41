# SPDX-License-Identifier: Apache-2.0
"""The float network beside a bundle: ``float.json`` and ``float.safetensors``.

Numpy only: reading and writing need no torch.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as safetensors_arrays
from safetensors.numpy import save as safetensors_bytes

from quant.bundle.decode import decode_object
from quant.bundle.folder import write_folder
from quant.bundle.text import CHECKSUM_KEY, checksum_of, parse, render
from quant.errors import BundleError, InputFileError
from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    FloatMaxPool,
    FloatMultiply,
    FloatOp,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
    Padding,
    Pair,
    float_sources_of,
)
from quant.hostspec import HostSpec

FORMAT = "nibbleflow-float"
VERSION = 1
GRAPH_FILE = "float.json"
TENSOR_FILE = "float.safetensors"

Floats = npt.NDArray[np.float32]
Json = dict[str, Any]

_PlainOp = (
    FloatInput
    | FloatActivation
    | FloatMaxPool
    | FloatAvgPool
    | FloatAdd
    | FloatConcat
    | FloatSplit
    | FloatUpsample
    | FloatMultiply
    | FloatShuffle
)

_AGAIN = "restore the file or quantize the model again"
_PLAIN: dict[str, type[_PlainOp]] = {kind.__name__: kind for kind in get_args(_PlainOp)}
_PARTS = {
    "format", "version", "name", "outputs", "shapes", "source_parameters", "ops", "host",
    "tensors_sha256", CHECKSUM_KEY,
}  # fmt: skip


@dataclass(frozen=True)
class _ConvRow:
    """A convolution without its arrays."""

    name: str
    source: str
    stride: Pair
    padding: Padding
    groups: int


@dataclass(frozen=True)
class _LinearRow:
    """A linear layer without its arrays."""

    name: str
    source: str


@dataclass(frozen=True)
class _Head:
    """The graph without its operations."""

    name: str
    outputs: tuple[str, ...]
    source_parameters: int


@dataclass(frozen=True)
class _Shape:
    """Shape of one tensor."""

    shape: tuple[int, int, int]


def save_float(graph: FloatGraph, host: HostSpec, directory: Path, *, force: bool = False) -> None:
    """Write a float network; a half-written one never appears under ``directory``.

    Args:
        graph: Fused float graph.
        host: Its host spec.
        directory: Folder to make; its parents are made too.
        force: Replace an existing folder of the same kind.

    Raises:
        BundleError: The folder exists and ``force`` is off, it holds other files, it cannot be
            written, or a number is not finite.
    """
    arrays: dict[str, Floats] = {}
    for op in graph.ops:
        if isinstance(op, FloatConv | FloatLinear):
            arrays[f"{op.name}.weight"] = np.ascontiguousarray(op.weight, np.float32)
            arrays[f"{op.name}.bias"] = np.ascontiguousarray(op.bias, np.float32)
    tensors = safetensors_bytes(arrays, metadata={"format": FORMAT})
    body = {
        "format": FORMAT,
        "version": VERSION,
        "name": graph.name,
        "outputs": graph.outputs,
        "shapes": graph.shapes,
        "source_parameters": graph.source_parameters,
        "tensors_sha256": hashlib.sha256(tensors).hexdigest(),
        "host": host.to_json(),
        "ops": [_row(op) for op in graph.ops],
    }
    files = {GRAPH_FILE: render(body).encode(), TENSOR_FILE: tensors}
    write_folder(directory, files.items(), suffixes=(GRAPH_FILE, TENSOR_FILE), force=force)


def load_float(directory: Path) -> tuple[FloatGraph, HostSpec]:
    """Read a float network and check that it is what was written.

    Args:
        directory: Folder that ``save_float`` made.

    Returns:
        The graph, with read-only arrays, and the host spec.

    Raises:
        InputFileError: The folder or a file is missing or not readable.
        BundleError: A file is truncated, edited, foreign or from a newer program.
    """
    file = directory / GRAPH_FILE
    body = _read_body(file)
    raw = _read_bytes(directory / TENSOR_FILE)
    if hashlib.sha256(raw).hexdigest() != body["tensors_sha256"]:
        raise BundleError(
            f"'{directory / TENSOR_FILE}' was changed after it was written (its sha256 differs); "
            f"{_AGAIN}"
        )
    try:
        arrays = safetensors_arrays(raw)
    except (SafetensorError, KeyError, ValueError, TypeError):
        raise BundleError(
            f"'{directory / TENSOR_FILE}' is no safetensors file ({len(raw):,} bytes); {_AGAIN}"
        ) from None
    try:
        graph = _graph(body, arrays)
        host = decode_object(HostSpec, body["host"], "host")
    except BundleError as error:
        raise BundleError(f"'{file}': {error}; {_AGAIN}") from None
    return graph, host


def _row(op: FloatOp) -> Json:
    kind = {"op": type(op).__name__}
    if isinstance(op, FloatConv):
        row = _ConvRow(op.name, op.source, op.stride, op.padding, op.groups)
        return {**kind, **asdict(row)}
    if isinstance(op, FloatLinear):
        return {**kind, **asdict(_LinearRow(op.name, op.source))}
    return {**kind, **asdict(op)}


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputFileError(
            f"'{file}' cannot be read ({error.strerror or error}); {_AGAIN}"
        ) from None


def _read_body(file: Path) -> Json:
    raw = _read_bytes(file)
    try:
        body = parse(raw.decode())
    except (ValueError, RecursionError):
        raise BundleError(f"'{file}' is no complete JSON text; {_AGAIN}") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise BundleError(f"'{file}' is JSON but no {FORMAT}; name the folder 'float' of a build")
    if body.get("version") != VERSION:
        raise BundleError(
            f"'{file}' has version {body.get('version')!r}; this program reads {VERSION}; "
            "quantize the model again or update nibbleflow"
        )
    if set(body) != _PARTS:
        raise BundleError(
            f"'{file}' lacks or has too many parts {sorted(set(body) ^ _PARTS)}; {_AGAIN}"
        )
    if body[CHECKSUM_KEY] != checksum_of(body):
        raise BundleError(
            f"'{file}' was edited after it was written (its checksum differs); {_AGAIN}"
        )
    return body


def _graph(body: Json, arrays: dict[str, Floats]) -> FloatGraph:
    head = {key: body[key] for key in ("name", "outputs", "source_parameters")}
    top = decode_object(_Head, head, "graph")
    if not isinstance(body["ops"], list) or not isinstance(body["shapes"], dict):
        raise BundleError("ops is no list or shapes is no object")
    ops = tuple(_op(value, i, arrays) for i, value in enumerate(body["ops"]))
    shapes = {
        name: decode_object(_Shape, {"shape": value}, f"shapes['{name}']").shape
        for name, value in body["shapes"].items()
    }
    known: set[str] = set()
    for op in ops:
        lost = [s for s in float_sources_of(op) if s not in known]
        if lost:
            raise BundleError(f"'{op.name}' reads '{lost[0]}', which no earlier operation makes")
        known.add(op.name)
    if set(shapes) != known or not known.issuperset(top.outputs):
        raise BundleError("shapes, outputs and operations do not name the same tensors")
    if not ops or not isinstance(ops[0], FloatInput):
        raise BundleError("the graph does not begin with its input")
    return FloatGraph(top.name, ops, top.outputs, shapes, top.source_parameters)


def _op(value: Any, index: int, arrays: dict[str, Floats]) -> FloatOp:  # noqa: ANN401
    where = f"ops[{index}]"
    if not isinstance(value, dict):
        raise BundleError(f"{where} is no object")
    kind = value.get("op")
    rest = {k: v for k, v in value.items() if k != "op"}
    if kind == FloatConv.__name__:
        conv = decode_object(_ConvRow, rest, where)
        weight, bias = _arrays(conv.name, 4, arrays)
        return FloatConv(
            conv.name, conv.source, weight, bias, conv.stride, conv.padding, conv.groups
        )
    if kind == FloatLinear.__name__:
        linear = decode_object(_LinearRow, rest, where)
        weight, bias = _arrays(linear.name, 2, arrays)
        return FloatLinear(linear.name, linear.source, weight, bias)
    if kind not in _PLAIN:
        raise BundleError(f"{where} is of kind {kind!r}, which this program does not know")
    return decode_object(_PLAIN[kind], rest, where)


def _arrays(name: str, axes: int, arrays: dict[str, Floats]) -> tuple[Floats, Floats]:
    weight, bias = arrays.get(f"{name}.weight"), arrays.get(f"{name}.bias")
    if weight is None or bias is None:
        raise BundleError(f"'{name}' has no stored weight or bias")
    if weight.ndim != axes or bias.shape != weight.shape[:1] or weight.dtype != np.float32:
        raise BundleError(
            f"'{name}' has weight {weight.dtype} {list(weight.shape)} and bias {list(bias.shape)}"
        )
    for array in (weight, bias):
        array.setflags(write=False)
    return weight, bias

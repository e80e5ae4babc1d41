# SPDX-License-Identifier: Apache-2.0
"""Reading a bundle: whatever is not exactly what was written is refused, nothing is executed."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as safetensors_arrays

from quant.bundle.decode import decode_graph, decode_object
from quant.bundle.encode import describe_tensor, encode_node
from quant.bundle.layout import StoredTensor, graph_tensors
from quant.bundle.pack import MAX_PACK_BITS, packed_size, unpack
from quant.bundle.save import FORMAT, GRAPH_FILE, TENSOR_FILE, VERSION, WEIGHTS_VERSION, Bundle
from quant.bundle.text import CHECKSUM_KEY, checksum_of, parse
from quant.errors import BundleError
from quant.graph import QGraph
from quant.hostspec import HostSpec
from quant.record import QuantRecord

Json = dict[str, Any]
Streams = dict[str, npt.NDArray[np.uint8]]

_AGAIN = "restore the file or quantize the model again"
_PARTS = ("format", "version", "graph_digest", "graph", "tensors", "host", "record", CHECKSUM_KEY)
_DTYPES = ("uint8", "uint16", "uint32", "int16", "int32", "int64")


def load_bundle(directory: Path) -> Bundle:
    """Read a bundle and prove that it is what was written.

    Args:
        directory: Folder of the bundle (``graph.json`` and ``tensors.safetensors``).

    Raises:
        BundleError: The folder or a file is missing, truncated, edited, foreign, from a newer
            program, or describes a graph that cannot be built.
    """
    if not directory.is_dir():
        raise BundleError(f"bundle '{directory}' does not exist; make it with nibbleflow quantize")
    graph_file, tensor_file = directory / GRAPH_FILE, directory / TENSOR_FILE
    body = read_graph_file(graph_file, VERSION, _PARTS)
    streams = read_tensor_file(tensor_file, body["tensors"])
    try:
        graph = decode_graph(
            body["graph"], lambda name: read_tensor(name, body["tensors"], streams)
        )
        _check_layout(graph, body)
        host = decode_object(HostSpec, body["host"], "host")
        record = decode_object(QuantRecord, body["record"], "record")
    except BundleError as error:
        raise BundleError(f"'{graph_file}': {error}; {_AGAIN}") from None
    if graph.digest != body["graph_digest"]:
        raise BundleError(
            f"'{graph_file}': the graph's digest is {graph.digest[:12]}, "
            f"recorded is {str(body['graph_digest'])[:12]}; {_AGAIN}"
        )
    return Bundle(graph, host, record)


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"'{file}' is missing; {_AGAIN}") from None
    except OSError as error:
        raise BundleError(f"'{file}' cannot be read: {error.strerror or error}") from None


def read_graph_file(file: Path, wanted: int, parts: tuple[str, ...]) -> Json:
    """Return the checked body of a ``graph.json``.

    Args:
        file: The file.
        wanted: Bundle version that the caller reads.
        parts: Its top-level keys.

    Raises:
        BundleError: The file is missing, edited, foreign, of another kind or newer.
    """
    raw = _read_bytes(file)
    try:
        body = parse(raw.decode())
    except (ValueError, RecursionError):
        raise BundleError(f"'{file}' is no complete JSON text; {_AGAIN}") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise BundleError(f"'{file}' is JSON but no {FORMAT}; name the bundle folder of a build")
    version = body.get("version")
    if type(version) is int and version > WEIGHTS_VERSION:
        raise BundleError(
            f"'{file}' has bundle version {version}; this program reads {WEIGHTS_VERSION}; "
            "update nibbleflow"
        )
    if type(version) is int and (version, wanted) == (WEIGHTS_VERSION, VERSION):
        raise BundleError(
            f"'{file}' is of kind weights: its activations are float, so there is no integer "
            "network; quantize again without --weights-only"
        )
    if version != wanted or type(version) is not int:
        raise BundleError(f"'{file}' has bundle version {version!r}; needed {wanted}; {_AGAIN}")
    for part in parts:
        if part not in body:
            raise BundleError(f"'{file}' has no part '{part}'; {_AGAIN}")
    if body[CHECKSUM_KEY] != checksum_of(body):
        raise BundleError(
            f"'{file}' was edited after it was written (its checksum differs); {_AGAIN}"
        )
    for part in body:
        if part not in parts:
            raise BundleError(f"'{file}' has an unknown part '{part}'; {_AGAIN}")
    for part in ("graph", "tensors", "host", "record"):
        if part in parts and not isinstance(body[part], dict):
            raise BundleError(f"'{file}': part '{part}' is no object; {_AGAIN}")
    return body


def read_tensor_file(file: Path, entries: Json) -> Streams:
    """Return the packed bytes of every listed tensor.

    Raises:
        BundleError: The file is missing or damaged, or belongs to another graph.
    """
    raw = _read_bytes(file)
    try:
        streams: Streams = safetensors_arrays(raw)
    except (SafetensorError, KeyError, ValueError, TypeError):
        raise BundleError(
            f"'{file}' is no complete safetensors file ({len(raw):,} bytes); {_AGAIN}"
        ) from None
    missing, extra = sorted(set(entries) - set(streams)), sorted(set(streams) - set(entries))
    if missing or extra:
        what = f"has no tensor '{missing[0]}'" if missing else f"has a tensor '{extra[0]}' too many"
        raise BundleError(f"'{file}' {what}, it belongs to another graph.json; {_AGAIN}")
    for name, stream in streams.items():
        size = entries[name].get("bytes") if isinstance(entries[name], dict) else None
        if stream.dtype != np.uint8 or stream.shape != (size,):
            raise BundleError(
                f"'{file}': tensor '{name}' is {stream.dtype} {list(stream.shape)}, "
                f"recorded are {size} bytes; {_AGAIN}"
            )
        if hashlib.sha256(stream.tobytes()).hexdigest() != entries[name].get("sha256"):
            raise BundleError(
                f"'{file}': tensor '{name}' was changed after it was written "
                f"(its sha256 differs); {_AGAIN}"
            )
    return streams


def read_tensor(name: str, entries: Json, streams: Streams) -> npt.NDArray[Any]:
    """Return one tensor in its logical dtype and shape.

    Raises:
        BundleError: It is not listed, or its description does not fit its bytes.
    """
    if name not in entries:
        raise BundleError(f"tensor '{name}' is not listed")
    entry = entries[name]
    shape, bits, signed = entry.get("shape"), entry.get("bits"), entry.get("signed")
    if not isinstance(shape, list) or any(type(n) is not int or n < 1 for n in shape):
        raise BundleError(f"tensor '{name}' has shape {shape!r}")
    if type(bits) is not int or not 1 <= bits <= MAX_PACK_BITS or type(signed) is not bool:
        raise BundleError(f"tensor '{name}' has bits {bits!r} and signed {signed!r}")
    if entry.get("dtype") not in _DTYPES:
        raise BundleError(f"tensor '{name}' has dtype {entry.get('dtype')!r}")
    count = 1
    for n in shape:
        count *= n
    size = streams[name].size
    if packed_size(count, bits) != size:
        raise BundleError(
            f"tensor '{name}' of shape {shape} and {bits} bits needs "
            f"{packed_size(count, bits)} bytes, there are {size}"
        )
    try:
        values = unpack(streams[name], count, bits, signed, entry["dtype"])
    except BundleError as error:
        raise BundleError(f"tensor '{name}': {error}") from None
    return values.reshape(shape)


def _check_layout(graph: QGraph, body: Json) -> None:
    """Check that nodes and tensors are written as this graph's writer would write them."""
    for node, written in zip(graph.nodes, body["graph"]["nodes"], strict=True):
        if encode_node(node) != written:
            raise BundleError(f"'{node.name}' does not name its own tensors")
    check_tensors(graph_tensors(graph), body["tensors"])


def check_tensors(tensors: Iterable[StoredTensor], entries: Json) -> None:
    """Check that tensors are described as their writer would describe them.

    Raises:
        BundleError: One is described otherwise, or is of no use.
    """
    expected = {t.name: t for t in tensors}
    extra = sorted(set(entries) - set(expected))
    if extra:
        raise BundleError(f"tensor '{extra[0]}' is listed but no node stores it so")
    for name, tensor in expected.items():
        entry = entries[name]  # there: the graph was decoded from it
        wanted = describe_tensor(tensor, packed_size(tensor.values.size, tensor.bits), "")
        for key, value in wanted.items():
            if key != "sha256" and entry.get(key) != value:
                raise BundleError(f"tensor '{name}' has {key} {entry.get(key)!r}; needed {value!r}")
        unknown = sorted(set(entry) - set(wanted))
        if unknown:
            raise BundleError(f"tensor '{name}' has an unknown field '{unknown[0]}'")

# SPDX-License-Identifier: Apache-2.0
"""Writing a bundle: ``graph.json`` and ``tensors.safetensors``, the same bytes every time."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as safetensors_bytes

from quant.bundle.encode import describe_tensor, encode_graph
from quant.bundle.folder import write_folder
from quant.bundle.layout import StoredTensor, graph_tensors
from quant.bundle.pack import pack
from quant.bundle.text import render
from quant.graph import QGraph
from quant.hostspec import HostSpec
from quant.record import QuantRecord

FORMAT = "nibbleflow-bundle"
VERSION = 1
# Bundles of kind weights: no graph, so an older reader must refuse them.
WEIGHTS_VERSION = 2
GRAPH_FILE = "graph.json"
TENSOR_FILE = "tensors.safetensors"


@dataclass(frozen=True, eq=False)
class Bundle:
    """What a bundle holds.

    Attributes:
        graph: The integer graph.
        host: Preprocessing and meaning of the outputs.
        record: How the graph was made.
    """

    graph: QGraph
    host: HostSpec
    record: QuantRecord


def bundle_files(graph: QGraph, host: HostSpec, record: QuantRecord) -> dict[str, bytes]:
    """Return the files of the bundle by name: the same input gives the same bytes.

    Raises:
        BundleError: Something has no place in a bundle (a NaN, a value too wide for its bits).
    """
    arrays, entries = packed_tensors(graph_tensors(graph))
    body = {
        "format": FORMAT,
        "version": VERSION,
        "graph_digest": graph.digest,
        "graph": encode_graph(graph),
        "tensors": entries,
        "host": host.to_json(),
        "record": record.to_json(),
    }
    return {
        GRAPH_FILE: render(body).encode(),
        TENSOR_FILE: safetensors_bytes(arrays, metadata={"format": FORMAT}),
    }


def packed_tensors(
    tensors: Iterable[StoredTensor],
) -> tuple[dict[str, npt.NDArray[np.uint8]], dict[str, Any]]:
    """Return the packed bytes and the JSON entry of every tensor, by name.

    Raises:
        BundleError: A value is too wide for its bits.
    """
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    entries: dict[str, Any] = {}
    for tensor in tensors:
        stream = pack(tensor.values, tensor.bits, tensor.signed)
        arrays[tensor.name] = stream
        digest = hashlib.sha256(stream.tobytes()).hexdigest()
        entries[tensor.name] = describe_tensor(tensor, stream.size, digest)
    return arrays, entries


def save_bundle(
    graph: QGraph, host: HostSpec, record: QuantRecord, directory: Path, *, force: bool = False
) -> None:
    """Write a bundle; a half-written one never appears under ``directory``.

    Args:
        graph: The integer graph.
        host: Preprocessing and meaning of the outputs.
        record: How the graph was made.
        directory: Folder to make; its parents are made too.
        force: Replace an existing bundle. The old one stays until the new one is complete.

    Raises:
        BundleError: The folder exists and ``force`` is off, it holds files that are no bundle's,
            it cannot be written, or something has no place in a bundle.
    """
    files = bundle_files(graph, host, record)
    write_folder(directory, files.items(), suffixes=(GRAPH_FILE, TENSOR_FILE), force=force)

# SPDX-License-Identifier: Apache-2.0
"""QGraph to JSON values: one object per node, arrays by reference to their tensor."""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from quant.bundle.layout import StoredTensor, stored_tensors, weight_tensors
from quant.errors import BundleError
from quant.graph import QGraph
from quant.nodes import Node
from quant.weights import Weights

Json = dict[str, Any]

PACKING = "C order, low bit first"


def encode_graph(graph: QGraph) -> Json:
    """Return the graph as JSON values; its stored arrays are named, not contained."""
    return {"name": graph.name, "nodes": [encode_node(node) for node in graph.nodes]}


def encode_node(node: Node) -> Json:
    """Return one node as ``{"kind": ..., <field>: ...}``.

    Integer arrays become ``{"tensor": name}``, or ``{"fill": value}`` where every element is the
    same by construction; real scales become lists of numbers.
    """
    stored = {t.field: t for t in stored_tensors(node)}
    body: Json = {"kind": type(node).__name__}
    for field in fields(node):
        body[field.name] = _encode(getattr(node, field.name), field.name, stored)
    return body


def encode_weights(name: str, weights: Weights) -> Json:
    """Return the weights of layer ``name`` as JSON values, like the field of a node."""
    stored = {t.field: t for t in weight_tensors(name, weights)}
    body: Json = _encode(weights, "weights", stored)
    return body


def describe_tensor(tensor: StoredTensor, size: int, digest: str) -> Json:
    """Return the JSON entry of one stored tensor.

    Args:
        tensor: The tensor.
        size: Bytes that it occupies when packed.
        digest: Hex sha256 of those bytes.
    """
    return {
        "dtype": tensor.values.dtype.name,
        "bits": tensor.bits,
        "signed": tensor.signed,
        "shape": list(tensor.values.shape),
        "axes": tensor.axes,
        "packing": PACKING,
        "bytes": size,
        "sha256": digest,
    }


def _encode(value: Any, path: str, stored: dict[str, StoredTensor]) -> Any:  # noqa: ANN401 - any field
    if isinstance(value, np.ndarray):
        return _encode_array(value, path, stored)
    if is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _encode(getattr(value, f.name), f"{path}.{f.name}", stored)
            for f in fields(value)
        }
    if isinstance(value, tuple):
        return [_encode(v, path, stored) for v in value]
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, int | float):
        return value
    raise BundleError(f"field '{path}' of type {type(value).__name__} has no place in a bundle")


def _encode_array(value: np.ndarray, path: str, stored: dict[str, StoredTensor]) -> Any:  # noqa: ANN401
    tensor = stored.get(path)
    if tensor is not None:
        return {"tensor": tensor.name}
    if np.issubdtype(value.dtype, np.floating):
        # Nine significant digits name every float32 uniquely.
        return [float(f"{v:.9g}") for v in value.tolist()]
    return {"fill": int(value.flat[0])}

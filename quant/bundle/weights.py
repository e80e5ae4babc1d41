# SPDX-License-Identifier: Apache-2.0
"""Bundles of kind weights: stored weights without an integer graph, in the same two files."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import save as safetensors_bytes

from quant.bundle.decode import decode_object, decode_weights
from quant.bundle.encode import encode_weights
from quant.bundle.folder import write_folder
from quant.bundle.layout import weight_tensors
from quant.bundle.load import check_tensors, read_graph_file, read_tensor, read_tensor_file
from quant.bundle.save import (
    FORMAT,
    GRAPH_FILE,
    TENSOR_FILE,
    WEIGHTS_VERSION,
    packed_tensors,
)
from quant.bundle.text import CHECKSUM_KEY, parse, render
from quant.errors import BundleError, GraphError
from quant.hostspec import HostSpec
from quant.record import QuantRecord
from quant.weightsonly import LayerWeights, WeightsModel

_AGAIN = "restore the file or quantize the model again"
_PARTS = ("format", "version", "name", "layers", "tensors", "host", "record", CHECKSUM_KEY)


@dataclass(frozen=True, eq=False)
class WeightsBundle:
    """What a bundle of kind weights holds.

    Attributes:
        model: The stored weights.
        host: Preprocessing and meaning of the outputs.
        record: How they were made; its kind is ``weights``.
    """

    model: WeightsModel
    host: HostSpec
    record: QuantRecord


def save_weights(model: WeightsModel, host: HostSpec, record: QuantRecord, directory: Path) -> None:
    """Write a bundle of kind weights; a half-written one never appears under ``directory``.

    Args:
        model: The stored weights.
        host: Preprocessing and meaning of the outputs.
        record: How they were made, of kind ``weights``.
        directory: Folder to make; its parents are made too.

    Raises:
        BundleError: The folder exists or cannot be written, the record is of another kind, or
            something has no place in a bundle.
    """
    if record.kind != "weights":
        raise BundleError(f"weights of '{model.name}' have a record of kind '{record.kind}'")
    arrays, entries = packed_tensors(
        tensor for layer in model.layers for tensor in weight_tensors(layer.name, layer.weights)
    )
    body = {
        "format": FORMAT,
        "version": WEIGHTS_VERSION,
        "name": model.name,
        "layers": [_layer(layer) for layer in model.layers],
        "tensors": entries,
        "host": host.to_json(),
        "record": record.to_json(),
    }
    files = {
        GRAPH_FILE: render(body).encode(),
        TENSOR_FILE: safetensors_bytes(arrays, metadata={"format": FORMAT}),
    }
    write_folder(directory, files.items(), suffixes=(GRAPH_FILE, TENSOR_FILE), force=False)


def load_weights(directory: Path) -> WeightsBundle:
    """Read a bundle of kind weights and prove that it is what was written.

    Args:
        directory: Folder of the bundle.

    Raises:
        BundleError: The folder or a file is missing, truncated, edited, foreign, from a newer
            program, or breaks the contract of stored weights.
    """
    if not directory.is_dir():
        raise BundleError(f"bundle '{directory}' does not exist; make it with nibbleflow quantize")
    file = directory / GRAPH_FILE
    body = read_graph_file(file, WEIGHTS_VERSION, _PARTS)
    streams = read_tensor_file(directory / TENSOR_FILE, body["tensors"])
    try:
        if not isinstance(body["layers"], list) or not isinstance(body["name"], str):
            raise BundleError("layers is no list or name is no text")
        layers = []
        for index, value in enumerate(body["layers"]):
            where = f"layers[{index}]"
            if not isinstance(value, dict) or set(value) != {"name", "biases", "weights"}:
                raise BundleError(f"{where} must have name, biases and weights")
            name, biases = value["name"], value["biases"]
            if type(name) is not str or type(biases) is not int or biases < 0:
                raise BundleError(f"{where} has name {name!r} and {biases!r} biases")
            weights = decode_weights(
                value["weights"], where, lambda n: read_tensor(n, body["tensors"], streams)
            )
            layers.append(LayerWeights(name, weights, biases))
        try:
            model = WeightsModel(body["name"], tuple(layers))
        except GraphError as error:
            raise BundleError(str(error)) from None
        # Through JSON, as it was written: tuples are lists there.
        if (
            parse(render({"layers": [_layer(layer) for layer in layers]}))["layers"]
            != body["layers"]
        ):
            raise BundleError("a layer does not name its own tensors")
        check_tensors(
            (t for layer in layers for t in weight_tensors(layer.name, layer.weights)),
            body["tensors"],
        )
        host = decode_object(HostSpec, body["host"], "host")
        record = decode_object(QuantRecord, body["record"], "record")
        if record.kind != "weights":
            raise BundleError(f"its record is of kind '{record.kind}'; needed weights")
    except BundleError as error:
        raise BundleError(f"'{file}': {error}; {_AGAIN}") from None
    return WeightsBundle(model, host, record)


def is_weights_bundle(directory: Path) -> bool:
    """Whether the folder's ``graph.json`` says that it is a bundle of kind weights.

    Anything else, whatever its state, is left to ``load_bundle``, which says what is wrong.
    """
    try:
        body = parse((directory / GRAPH_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("version") == WEIGHTS_VERSION


def _layer(layer: LayerWeights) -> dict[str, object]:
    return {
        "name": layer.name,
        "biases": layer.biases,
        "weights": encode_weights(layer.name, layer.weights),
    }

# SPDX-License-Identifier: Apache-2.0
"""Layers to an hls4ml ModelGraph, and the check that hls4ml kept every one of them."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hls.layer import Layer, stream_variable
from hls.storage import Backend, storage_pragmas
from hls.streams import Stream
from quant.errors import ToolError

DEFAULT_PART = "xczu7ev-ffvc1156-2-e"
DEFAULT_CLOCK_HZ = 200_000_000


@dataclass(frozen=True)
class Target:
    """What the vendor's scripts are written for.

    Attributes:
        backend: hls4ml's backend.
        part: The vendor's part name.
        clock_hz: Clock.
    """

    backend: Backend = "Vitis"
    part: str = DEFAULT_PART
    clock_hz: int = DEFAULT_CLOCK_HZ


def model_graph(
    name: str,
    input_name: str,
    source: Stream,
    layers: Sequence[Layer],
    outputs: Sequence[str],
    folder: Path,
    target: Target,
) -> Any:  # noqa: ANN401 - untyped package
    """Return the hls4ml ModelGraph of some layers.

    Args:
        name: Project name.
        input_name: Name of the input port.
        source: Its stream.
        layers: All layers, every stream written before it is read.
        outputs: Names of the layers that are output ports.
        folder: Where hls4ml will write.
        target: Backend, part and clock.

    Raises:
        PlanError: A memory style does not exist in the backend.
        ToolError: hls4ml is not installed, or changed or dropped a layer.
    """
    register, graph_class = _hls4ml()
    register.register()
    pragmas = [storage_pragmas(layer, target.backend) for layer in layers]
    config = {
        "Backend": target.backend,
        "OutputDir": str(folder),
        "ProjectName": name,
        "Part": target.part,
        "ClockPeriod": float(np.round(1e9 / target.clock_hz, 3)),
        "IOType": "io_stream",
        "WriterConfig": {"Namespace": None, "WriteWeightsTxt": False, "WriteTar": False},
        "HLSConfig": {
            "Model": {"Precision": "ap_int<8>", "ReuseFactor": 1, "Strategy": "Resource"},
            "LayerName": {input_name: {"Precision": {"result": f"ap_uint<{source.bits}>"}}},
        },
    }
    port = {
        "class_name": "InputLayer",
        "name": input_name,
        "input_shape": stream_shape(source),
    }
    listed = [
        port,
        *(layer_attributes(layer, lines) for layer, lines in zip(layers, pragmas, strict=True)),
    ]
    model = graph_class.from_layer_list(config, listed, inputs=[input_name], outputs=list(outputs))
    _check_kept(model, input_name, layers)
    for layer in layers:
        node = model.graph[layer.name]
        for stream, depth in zip(layer.outputs, layer.depths, strict=True):
            node.get_output_variable(stream).pragma = ("stream", depth)
    return model


def stream_shape(stream: Stream) -> list[int]:
    """Return a stream's shape as hls4ml knows it; the last axis is one word.

    With all channels in a word it is (H, W, C), which hls4ml's own layers understand.
    """
    channels, height, width = stream.shape
    if stream.lanes == channels:
        return [height, width, channels]
    return [stream.beats, stream.lanes]


def layer_attributes(layer: Layer, pragmas: Sequence[str] = ()) -> dict[str, Any]:
    """Return a layer as hls4ml's ``from_layer_list`` takes it.

    Args:
        layer: The layer.
        pragmas: Lines before its call.
    """
    kernel = layer.kernel
    output = kernel.outputs[0]
    return {
        "class_name": layer.kind,
        "name": layer.name,
        "inputs": list(layer.inputs),
        "outputs": list(layer.outputs),
        "stream_shape": stream_shape(output),
        "code_bits": output.bits,
        "configuration": kernel.configuration,
        "header": kernel.header,
        "data_header": layer.data_header or "",
        "function": kernel.function,
        "arguments": "".join(f", {value}" for value in kernel.arguments),
        "arrays": " ".join(f"{layer.prefix}_{array.name}" for array in kernel.arrays),
        "pragmas": "\n".join(pragmas),
        "trace_name": layer.trace or "",
    }


def check_written(top: str, layers: Sequence[Layer]) -> None:
    """Refuse a written top function that lacks the call of a layer.

    Args:
        top: Text of the top function.
        layers: What must be in it.

    Raises:
        ToolError: A layer is missing.
    """
    lines = [line.strip() for line in top.splitlines()]
    for layer in layers:
        function = f"{layer.kernel.function}<"
        streams = {stream_variable(s) for s in layer.outputs}
        if not any(line.startswith(function) and all(s in line for s in streams) for line in lines):
            raise ToolError(
                f"hls4ml wrote no call of {layer.kernel.function} for layer '{layer.name}'; "
                "this version of hls4ml does not keep our layers; install the pinned one"
            )


def _check_kept(model: Any, input_name: str, layers: Sequence[Layer]) -> None:  # noqa: ANN401 - untyped package
    expected = [(input_name, "Input"), *((x.name, x.kind) for x in layers)]
    found = [(x.name, x.class_name) for x in model.get_layers()]
    if found == expected:
        return
    missing = [name for name, _ in expected if name not in {n for n, _ in found}]
    extra = [name for name, _ in found if name not in {n for n, _ in expected}]
    raise ToolError(
        f"hls4ml changed the model: dropped {missing[:5]}, added {extra[:5]}; "
        "this version of hls4ml does not keep our layers; install the pinned one"
    )


def _hls4ml() -> tuple[Any, Any]:
    try:
        register = importlib.import_module("hls.register")
        graph_class = importlib.import_module("hls4ml.model").ModelGraph
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("hls4ml"):
            raise
        raise ToolError(
            "hls4ml is not installed; it writes the HLS projects; "
            "install the project with its 'hls' extra"
        ) from error
    return register, graph_class

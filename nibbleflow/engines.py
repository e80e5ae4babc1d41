# SPDX-License-Identifier: Apache-2.0
"""The three ways to run a build's network on one image, with the same face."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from nibbleflow.folders import BuildFolder
from quant.bundle import Bundle
from quant.bundle.weights import WeightsBundle
from quant.errors import BundleError
from quant.floatgraph import FloatGraph
from quant.floatstore import load_float
from quant.hostspec import HostSpec
from quant.ptq.executor import FloatExecutor
from quant.ptq.fakequant import FakeQuantExecutor
from quant.ptq.recipes.weights import load_biases, with_biases
from quant.ptq.schemes.integers import real_weights
from quant.ptq.study import weight_layers_of, with_weights
from quant.weights import Weights
from sim.golden import GoldenModel
from sim.host import input_codes, normalise, real_outputs

Pixels = npt.NDArray[np.uint8]
Outputs = dict[str, npt.NDArray[np.float32]]
Engine = Callable[[Pixels], Outputs]
Shape = tuple[int, ...]


def float_engine(build: BuildFolder) -> Engine:
    """Return the float network of a build."""
    return float_graph_engine(*load_float(build.floats))


def float_graph_engine(graph: FloatGraph, host: HostSpec) -> Engine:
    """Return a float network: canvas uint8 [H, W, 3] to real outputs [rows, h, w] by name."""
    executor = FloatExecutor(graph)

    def run(canvas: Pixels) -> Outputs:
        return {n: t[0] for n, t in executor.run(normalise(canvas, host)[None]).items()}

    return run


def stored_weights_engine(build: BuildFolder, bundle: WeightsBundle) -> Engine:
    """Return the float network of a build with the real value of its stored weights.

    Raises:
        BundleError: The stored weights belong to another network.
    """
    graph, host = load_float(build.floats)
    floats = weight_layers_of(graph)
    stored = {layer.name: layer.weights for layer in bundle.model.layers}
    wrong = [n for n in {*floats, *stored} if _shape(floats, n) != _shape(stored, n)]
    if wrong:
        raise BundleError(
            f"'{sorted(wrong)[0]}' is not the same layer in bundle and float network of "
            f"'{build.path}'; quantize the model again"
        )
    real = {n: real_weights(w).astype(np.float32) for n, w in stored.items()}
    graph = with_weights(graph, real)
    if build.biases.is_file():
        graph = with_biases(graph, load_biases(build.biases))
    return float_graph_engine(graph, host)


def _shape(layers: Mapping[str, Weights | npt.NDArray[np.float32]], name: str) -> Shape | None:
    return layers[name].shape if name in layers else None


def fake_quant_engine(build: BuildFolder, bundle: Bundle) -> Engine:
    """Return the float-scale fake-quantized network."""
    graph, _ = load_float(build.floats)
    executor = FakeQuantExecutor(bundle.graph, graph)

    def run(canvas: Pixels) -> Outputs:
        return {n: t[0] for n, t in executor.run(normalise(canvas, bundle.host)[None]).items()}

    return run


def integer_engine(bundle: Bundle) -> Engine:
    """Return the golden integer network with dequantized outputs."""
    model = GoldenModel(bundle.graph)
    names = [o.source for o in bundle.graph.outputs]
    fmt = bundle.graph.input.output

    def run(canvas: Pixels) -> Outputs:
        codes = input_codes(canvas, bundle.host, fmt.scale, fmt.zero_point)
        tensors = model.run(codes[None], keep=names).tensors
        return real_outputs(bundle.graph, {name: tensors[name][0] for name in names})

    return run

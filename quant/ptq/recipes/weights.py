# SPDX-License-Identifier: Apache-2.0
"""Networks whose weights alone are calibrated: what a build of kind weights stores of them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from quant.errors import BundleError
from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.ptq.lower import dead_filters, decibels
from quant.ptq.recipes.solution import Calibrated
from quant.ptq.study import RoundedNetwork, weight_layers_of
from quant.record import LayerRecord
from quant.weightsonly import LayerWeights, weights_memory

Floats32 = npt.NDArray[np.float32]


def stored_network(graph: FloatGraph, found: Calibrated) -> RoundedNetwork:
    """Return what a recipe made of a network's weights, beside the float ones.

    Errors are those against the float weights; a recipe that moves weights makes them larger while
    it makes the outputs' error smaller.

    Args:
        graph: The float network.
        found: Its calibrated layers.
    """
    layers: list[LayerWeights] = []
    records: list[LayerRecord] = []
    real: dict[str, Floats32] = {}
    signal, noise = 0.0, 0.0
    for name, weight in weight_layers_of(graph).items():
        solution = found.layers[name]
        stored = solution.weights
        own = float(np.square(weight, dtype=np.float64).sum())
        lost = float(np.square(solution.real - weight).sum())
        signal, noise = signal + own, noise + lost
        real[name] = solution.real.astype(np.float32)
        layers.append(LayerWeights(name, stored, weight.shape[0]))
        granularity = str(stored.granularity)
        error = decibels(own, lost)
        dead = dead_filters(stored)
        records.append(
            LayerRecord(
                name, "weights", stored.bits, 0, stored.scheme, granularity, error, None, dead
            )
        )
    total = decibels(signal, noise)
    memory = weights_memory(layers)
    return RoundedNetwork(tuple(layers), tuple(records), (), real, memory, total, total)


def save_biases(found: Calibrated, file: Path) -> None:
    """Write every layer's bias, float32 [F] by layer name."""
    biases = {name: layer.bias.astype(np.float32) for name, layer in found.layers.items()}
    save_file(biases, file)


def load_biases(file: Path) -> dict[str, Floats32]:
    """Read what ``save_biases`` wrote.

    Raises:
        BundleError: The file is damaged.
    """
    try:
        return dict(load_file(file))
    except Exception as error:  # the format's own error type is not public
        raise BundleError(f"'{file}' cannot be read ({error}); quantize the model again") from None


def with_biases(graph: FloatGraph, biases: Mapping[str, Floats32]) -> FloatGraph:
    """Return the network with other biases.

    Raises:
        BundleError: They are not those of the network's layers.
    """
    ops = []
    for op in graph.ops:
        if isinstance(op, FloatConv | FloatLinear):
            bias = biases.get(op.name)
            if bias is None or bias.shape != op.bias.shape:
                raise BundleError(
                    f"the biases of the build lack those of '{op.name}'; quantize the model again"
                )
            op = replace(op, bias=bias)
        ops.append(op)
    return replace(graph, ops=tuple(ops))

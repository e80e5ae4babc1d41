# SPDX-License-Identifier: Apache-2.0
"""Rewrites an ONNX graph without changing a value, so that it reads like a torch network.

Constant nodes become stored tensors; a Slice of a Slice over other axes becomes one Slice (a Focus
layer slices rows, then columns); operators that nothing here can run are cut off where only the
network's end depends on them; what no output needs is dropped.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from quant.errors import UnsupportedLayerError
from quant.zoo.onnx_file import Array, OnnxGraph, OnnxNode

TRAINED_INPUTS: dict[str, tuple[str, ...]] = {
    "BatchNormalization": ("", "weight", "bias"),
    "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "weight", "bias"),
    "GRU": ("", "weight", "recurrence", "bias"),
    "Gemm": ("", "weight", "bias"),
    "GroupNormalization": ("", "weight", "bias"),
    "InstanceNormalization": ("", "weight", "bias"),
    "LSTM": ("", "weight", "recurrence", "bias"),
    "LayerNormalization": ("", "weight", "bias"),
    "MatMul": ("left", "weight"),
    "PRelu": ("", "weight"),
    "RNN": ("", "weight", "recurrence", "bias"),
}
"""Names of the inputs of each operator that are trained when they are stored floats."""

_CONTROL = ("If", "Loop", "Scan", "SequenceMap")


def simplify(graph: OnnxGraph, unrunnable: frozenset[str] = frozenset()) -> OnnxGraph:
    """Return an equal graph that is easier to read; see the file's first lines.

    Args:
        graph: As read.
        unrunnable: Names of nodes that are known not to run.

    Raises:
        UnsupportedLayerError: A trained layer depends on an operator that cannot be run.
    """
    graph = _without_unrunnable(_fold_constants(graph), unrunnable)
    graph = _merge_slices(graph)
    return _needed_only(graph)


def _fold_constants(graph: OnnxGraph) -> OnnxGraph:
    """Turn Constant nodes, and Identity of a constant, into stored tensors."""
    constants = dict(graph.constants)
    nodes = []
    for node in graph.nodes:
        if node.op == "Constant" and not node.domain:
            value = _constant(node)
            if value is not None:
                constants[node.outputs[0]] = value
                continue
        if node.op == "Identity" and node.inputs[0] in constants:
            constants[node.outputs[0]] = constants[node.inputs[0]]
            continue
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), constants=constants)


def _constant(node: OnnxNode) -> Array | None:
    kinds: dict[str, Any] = {
        "value": None,
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    for key, value in node.attributes.items():
        if key in kinds:
            return np.asarray(value, dtype=kinds[key])
    return None


def _without_unrunnable(graph: OnnxGraph, unrunnable: frozenset[str]) -> OnnxGraph:
    """Cut off operators of other domains and control flow, with everything behind them."""
    unknown: dict[str, OnnxNode] = {}  # value -> the operator that stands in the way
    kept: list[OnnxNode] = []
    border: list[str] = []
    for node in graph.nodes:
        blamed = next((unknown[i] for i in node.inputs if i in unknown), None)
        runs = not node.domain and node.op not in _CONTROL and node.name not in unrunnable
        if blamed is None and runs:
            kept.append(node)
            continue
        blamed = blamed or node
        if node.op in TRAINED_INPUTS and any(i in graph.constants for i in node.inputs):
            domain = f" of domain '{blamed.domain}'" if blamed.domain else ""
            raise UnsupportedLayerError(
                f"'{blamed.name}' is {blamed.op}{domain}, before the trained '{node.name}'; "
                "nibbleflow runs standard ONNX operators without branches; export the model "
                "without it"
            )
        unknown.update(dict.fromkeys(node.outputs, blamed))
        border += [i for i in node.inputs if i and i not in unknown and i not in graph.constants]
    outputs = [o for o in graph.outputs if o not in unknown] + border
    return replace(graph, nodes=tuple(kept), outputs=tuple(dict.fromkeys(outputs)))


def _merge_slices(graph: OnnxGraph) -> OnnxGraph:
    """Let a Slice of a Slice over other axes read the first one's source directly."""
    constants = dict(graph.constants)
    slices: dict[str, tuple[str, _Ranges]] = {}  # value -> what it slices, and how
    nodes = []
    for node in graph.nodes:
        ranges = _ranges(node, constants) if node.op == "Slice" else None
        if ranges is not None:
            source, before = slices.get(node.inputs[0], (node.inputs[0], {}))
            if before and not before.keys() & ranges.keys():
                ranges = {**before, **ranges}
                node = _slice_node(node, source, ranges, constants)
            slices[node.outputs[0]] = (node.inputs[0], ranges)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), constants=constants)


_Ranges = dict[int, tuple[int, int, int]]


def _ranges(node: OnnxNode, constants: dict[str, Array]) -> _Ranges | None:
    """Return (start, end, step) by axis of a Slice with stored, non-negative axes, else None."""
    names = node.inputs[1:]
    if len(names) < 3 or any(name not in constants for name in names):
        return None
    given = [[int(v) for v in np.ravel(constants[name])] for name in names]
    starts, ends, axes = given[:3]
    steps = given[3] if given[3:] else [1] * len(starts)
    if min(axes) < 0 or len(set(axes)) != len(axes):
        return None
    return dict(zip(axes, zip(starts, ends, steps, strict=True), strict=True))


def _slice_node(
    node: OnnxNode, source: str, ranges: _Ranges, constants: dict[str, Array]
) -> OnnxNode:
    columns = [[r[i] for r in ranges.values()] for i in range(3)]
    values = {"starts": columns[0], "ends": columns[1], "axes": list(ranges), "steps": columns[2]}
    names = []
    for key, numbers in values.items():
        name = f"{node.name}:{key}"
        constants[name] = np.array(numbers, dtype=np.int64)
        names.append(name)
    return replace(node, inputs=(source, *names))


def _needed_only(graph: OnnxGraph) -> OnnxGraph:
    needed = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    constants = {name: value for name, value in graph.constants.items() if name in needed}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)

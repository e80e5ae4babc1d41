# SPDX-License-Identifier: Apache-2.0
"""Reads the description of an ncnn network: a JSON list of nodes, weights in a file of their own.

Each node is ``{"op", "name", "inputs", "outputs", "params"}``; ``params`` has ncnn's numbered
parameters. Source: ncnn's ``.param`` format, one line per node.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import InputFileError

NODE_LIMIT = 100_000
_KEYS = {"op", "name", "inputs", "outputs", "params"}

Value = int | float | tuple[int, ...]


@dataclass(frozen=True)
class NcnnNode:
    """One node.

    Attributes:
        op: Operator, for example ``Convolution``.
        name: Unique name; its tensors are ``NAME.weight`` and ``NAME.bias``.
        inputs: Values read.
        outputs: Values made.
        params: Parameters by ncnn's number.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: dict[int, Value]


@dataclass(frozen=True)
class NcnnGraph:
    """A network in order of execution.

    Attributes:
        path: The file.
        image: Name of the input value.
        nodes: All nodes but the input.
        outputs: Values that nothing reads, in order.
    """

    path: Path
    image: str
    nodes: tuple[NcnnNode, ...]
    outputs: tuple[str, ...]


def parse_ncnn(value: list[Any], path: Path) -> NcnnGraph:
    """Return the network that a JSON value describes.

    Args:
        value: The list of nodes.
        path: Where it came from, for messages.

    Raises:
        InputFileError: It is no such list, a name repeats, or a value is read before it is made.
    """
    if not 1 <= len(value) <= NODE_LIMIT:
        raise InputFileError(
            f"'{path}' as a JSON list has {len(value)} nodes; need 1 to {NODE_LIMIT:,}"
        )
    nodes = [_node(item, index, path) for index, item in enumerate(value)]
    first = nodes[0]
    if first.op != "Input" or first.inputs or len(first.outputs) != 1:
        raise InputFileError(f"'{path}' does not begin with its one Input; export it again")
    names: set[str] = set()
    made: dict[str, None] = {}
    for node in nodes:
        if node.name in names:
            raise InputFileError(f"'{path}' has two nodes named '{node.name}'; names must differ")
        names.add(node.name)
        lost = [v for v in node.inputs if v not in made]
        if lost:
            raise InputFileError(
                f"'{path}': '{node.name}' reads '{lost[0]}', which no earlier node makes; export "
                "it again"
            )
        twice = [v for i, v in enumerate(node.outputs) if v in made or v in node.outputs[:i]]
        if twice:
            raise InputFileError(
                f"'{path}': '{node.name}' makes '{twice[0]}', which exists already; export it again"
            )
        made.update(dict.fromkeys(node.outputs))
    read = {v for node in nodes for v in node.inputs}
    outputs = tuple(v for v in made if v not in read)
    return NcnnGraph(path, first.outputs[0], tuple(nodes[1:]), outputs)


def _node(item: object, index: int, path: Path) -> NcnnNode:
    wrong = InputFileError(
        f"'{path}': node {index} is no object of op, name, inputs, outputs, params; export it again"
    )
    if not isinstance(item, dict) or set(item) != _KEYS or not isinstance(item["params"], dict):
        raise wrong
    lists = (item["inputs"], item["outputs"])
    if not all(isinstance(v, list) and all(isinstance(n, str) for n in v) for v in lists):
        raise wrong
    if not all(isinstance(item[key], str) and item[key] for key in ("op", "name")):
        raise wrong
    params: dict[int, Value] = {}
    for key, value in item["params"].items():
        number = tuple(value) if isinstance(value, list) else value
        members = number if isinstance(number, tuple) else (number,)
        kinds = (int,) if isinstance(number, tuple) else (int, float)
        if not key.isdecimal() or not all(type(m) in kinds for m in members):
            raise InputFileError(
                f"'{path}': '{item['name']}' has parameter {key}={value}, which is no number; "
                "export it again"
            )
        params[int(key)] = number
    inputs, outputs = (tuple(v) for v in lists)
    return NcnnNode(item["op"], item["name"], inputs, outputs, params)

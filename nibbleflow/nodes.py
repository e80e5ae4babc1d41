# SPDX-License-Identifier: Apache-2.0
"""Which nodes a ``--nodes`` option means."""

from quant.errors import InputFileError
from quant.graph import QGraph
from quant.nodes import Conv, Input, Node, Output


def choose_nodes(graph: QGraph, text: str) -> tuple[Node, ...]:
    """Return the nodes that ``text`` names.

    Args:
        graph: The integer graph.
        text: ``all-convs``, ``all`` (every node but input and outputs), or names joined by commas.

    Raises:
        GraphError: A name is no node; near names are listed.
        InputFileError: The text names nothing.
    """
    if text == "all-convs":
        return graph.convs
    if text == "all":
        return tuple(n for n in graph.nodes if not isinstance(n, Input | Output))
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputFileError("--nodes is empty; write all-convs, all, or NAME,…")
    return tuple(graph.node(name) for name in dict.fromkeys(names))


def choose_convs(graph: QGraph, text: str) -> tuple[Conv, ...]:
    """Return the convolutions that ``text`` names.

    Raises:
        GraphError: A name is no node.
        InputFileError: A named node is not a convolution.
    """
    if text == "all":
        text = "all-convs"
    nodes = choose_nodes(graph, text)
    others = [n for n in nodes if not isinstance(n, Conv)]
    if others:
        kind = type(others[0]).__name__.lower()
        raise InputFileError(
            f"'{others[0].name}' is a node of kind {kind}; hardware cells exist for convolutions "
            "so far: use all-convs"
        )
    return tuple(n for n in nodes if isinstance(n, Conv))

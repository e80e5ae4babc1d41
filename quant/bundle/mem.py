# SPDX-License-Identifier: Apache-2.0
"""``$readmemh`` texts of every stored tensor: one element per line, hexadecimal, in C order."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quant.bundle.folder import write_folder
from quant.bundle.layout import StoredTensor, graph_tensors
from quant.bundle.names import shown, unique_stems
from quant.graph import QGraph

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def mem_text(tensor: StoredTensor) -> str:
    """Return the ``$readmemh`` text of one tensor.

    A comment line names node, field, width and shape; then one element per line, ``ceil(bits/4)``
    hexadecimal digits, two's complement within ``bits`` when signed.
    """
    shape = ",".join(str(n) for n in tensor.values.shape)
    title = (
        f"// {shown(tensor.name)}: {'signed' if tensor.signed else 'unsigned'} {tensor.bits} bits, "
        f"{tensor.axes} [{shape}], C order\n"
    )
    width = (tensor.bits + 3) // 4
    words = np.ravel(tensor.values).astype(np.int64) & ((1 << tensor.bits) - 1)
    rows = np.full((words.size, width + 1), ord("\n"), np.uint8)
    for column in range(width):
        rows[:, column] = _DIGITS[(words >> (4 * (width - 1 - column))) & 15]
    return title + rows.tobytes().decode("ascii")


def mem_texts(graph: QGraph) -> Iterator[tuple[str, str]]:
    """Yield file name and text of every stored tensor: ``<node>.<field>.mem``."""
    stems = unique_stems([n.name for n in graph.nodes])
    for tensor in graph_tensors(graph):
        yield f"{stems[tensor.node]}.{tensor.field}.mem", mem_text(tensor)


def export_mem(graph: QGraph, directory: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Write the ``$readmemh`` text of every stored tensor into a new folder.

    Args:
        graph: The integer graph.
        directory: Folder to make.
        force: Replace an existing folder of such files.

    Returns:
        The files written, in node order.

    Raises:
        BundleError: The folder exists without ``force``, or cannot be written.
    """
    files = ((name, text.encode()) for name, text in mem_texts(graph))
    return write_folder(directory, files, suffixes=(".mem",), force=force)

# SPDX-License-Identifier: Apache-2.0
"""C headers (C99 and C++) of every stored tensor, packed as in the bundle."""

from collections.abc import Iterator
from pathlib import Path

from quant.bundle.folder import write_folder
from quant.bundle.layout import StoredTensor, shared_zero_point, stored_tensors
from quant.bundle.names import shown, unique_stems
from quant.bundle.pack import pack
from quant.graph import QGraph
from quant.nodes import AvgPool, Conv, Linear, Node, Requantize

BITS_HEADER = "nibbleflow_bits.h"
GRAPH_HEADER = "nibbleflow_graph.h"

_BYTES_PER_LINE = 16

_BITS_TEXT = """\
/* SPDX-License-Identifier: Apache-2.0 */
/* Reading packed integers: element i of width b occupies bits [i*b, (i+1)*b) of the stream; bit k
   of the stream is bit k % 8 of byte k / 8 (4-bit elements: low nibble first). */
#ifndef NIBBLEFLOW_BITS_H
#define NIBBLEFLOW_BITS_H

#include <stddef.h>
#include <stdint.h>

/* Returns element `index` of unsigned elements of `bits` bits, 1..32. */
static inline uint32_t nf_unsigned(const uint8_t *stream, size_t index, unsigned bits) {
  const size_t first = index * bits;
  const unsigned skip = (unsigned)(first % 8);
  const unsigned bytes = (skip + bits + 7) / 8;
  uint64_t word = 0;
  for (unsigned i = 0; i < bytes; ++i) word |= (uint64_t)stream[first / 8 + i] << (8 * i);
  return (uint32_t)((word >> skip) & (((uint64_t)1 << bits) - 1));
}

/* Returns element `index` of two's complement elements of `bits` bits, 1..32. */
static inline int32_t nf_signed(const uint8_t *stream, size_t index, unsigned bits) {
  const int64_t half = (int64_t)1 << (bits - 1);
  return (int32_t)(((int64_t)nf_unsigned(stream, index, bits) ^ half) - half);
}

#endif
"""


def c_texts(graph: QGraph) -> Iterator[tuple[str, str]]:
    """Yield file name and text of the headers: the bit reader, one per node with arrays, and all.

    ``<node>.h`` holds one ``static const uint8_t`` array per tensor with macros for its bits, sign,
    count and shape; ``nibbleflow_graph.h`` includes them all and carries the graph's digest.
    """
    stems = unique_stems([n.name for n in graph.nodes])
    yield BITS_HEADER, _BITS_TEXT
    included = []
    for node in graph.nodes:
        tensors = stored_tensors(node)
        if not tensors:
            continue
        # The prefix keeps node names like "double" or "main" out of the reserved words.
        stem = f"nf_{stems[node.name]}"
        parts = [_scalar_macros(node, stem), *(_array(t, stem) for t in tensors)]
        comment = f"/* Node {shown(node.name)} of graph {shown(graph.name)}, {graph.digest}. */"
        yield f"{stem}.h", _guarded(stem, comment, [BITS_HEADER], "\n".join(p for p in parts if p))
        included.append(f"{stem}.h")
    comment = f"/* All stored arrays of graph {shown(graph.name)}. */"
    digest = f'#define NIBBLEFLOW_GRAPH_DIGEST "{graph.digest}"\n'
    yield GRAPH_HEADER, _guarded("nibbleflow_graph", comment, included, digest)


def export_c(graph: QGraph, directory: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Write the C headers of the graph's arrays into a new folder.

    Args:
        graph: The integer graph.
        directory: Folder to make.
        force: Replace an existing folder of headers.

    Returns:
        The files written.

    Raises:
        BundleError: The folder exists without ``force``, or cannot be written.
    """
    files = ((name, text.encode()) for name, text in c_texts(graph))
    return write_folder(directory, files, suffixes=(".h",), force=force)


def _guarded(stem: str, comment: str, includes: list[str], body: str) -> str:
    guard = f"{stem.upper()}_HEADER"
    lines = "".join(f'#include "{name}"\n' for name in includes)
    return (
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        f"{comment}\n#ifndef {guard}\n#define {guard}\n\n{lines}\n{body}\n#endif\n"
    )


def _scalar_macros(node: Node, stem: str) -> str:
    if not isinstance(node, Conv | Linear | AvgPool | Requantize):
        return ""
    requant, upper = node.requant, stem.upper()
    values = {"BITS": requant.bits, "LOW": requant.low, "HIGH": requant.high}
    if shared_zero_point(requant):
        values["ZERO_POINT"] = int(requant.zero_point[0])
    rows = [f"#define {upper}_REQUANT_CODE_{name} {value}" for name, value in values.items()]
    return "/* Requantized codes: width, clip limits, the zero point when shared. */\n" + (
        "\n".join(rows) + "\n"
    )


def _array(tensor: StoredTensor, stem: str) -> str:
    name = f"{stem}_{tensor.field.replace('.', '_')}"
    upper = name.upper()
    stream = pack(tensor.values, tensor.bits, tensor.signed).tobytes()
    shape = ", ".join(f"{a}={n}" for a, n in zip(tensor.axes, tensor.values.shape, strict=True))
    macros = {"BITS": tensor.bits, "SIGNED": int(tensor.signed), "COUNT": tensor.values.size}
    macros |= {f"DIM_{a}": n for a, n in zip(tensor.axes, tensor.values.shape, strict=True)}
    rows = [f"#define {upper}_{key} {value}" for key, value in macros.items()]
    sign = "signed" if tensor.signed else "unsigned"
    reader = "nf_signed" if tensor.signed else "nf_unsigned"
    return (
        f"/* {tensor.kind.value}: {tensor.values.size} {sign} elements of {tensor.bits} bits, "
        f"{shape}, C order;\n   read with {reader}({name}, index, {upper}_BITS). */\n"
        + "\n".join(rows)
        + f"\nstatic const uint8_t {name}[{len(stream)}] = {{\n{_byte_rows(stream)}}};\n"
    )


def _byte_rows(stream: bytes) -> str:
    rows = (stream[i : i + _BYTES_PER_LINE] for i in range(0, len(stream), _BYTES_PER_LINE))
    return "".join("  0x" + row.hex(",").replace(",", ", 0x") + ",\n" for row in rows)

# SPDX-License-Identifier: Apache-2.0
"""Golden vectors for a user's own hardware, and the comparison of what that hardware dumped.

One folder per node: ``input*.npy/.mem``, ``output.npy/.mem``, ``accumulator.npy/.mem`` where the
node has one, every stored parameter as ``<field>.mem`` (and, for layers, the decoded integer
weights as ``weights.npy``), and ``vector.json`` that says shape, bits, scale and order of each.
Tensors in ``.mem`` are in stream order: row, pixel, channel group; one word per channel group.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quant.bundle import stored_tensors
from quant.bundle.mem import mem_text as parameter_text
from quant.bundle.names import unique_stems
from quant.errors import InputFileError
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import AvgPool, Conv, Linear, Node, sources_of
from quant.widths import accumulator_bits
from sim.golden import GoldenModel
from sim.golden.decode import decode_weights
from sim.stream import beat_bytes, mem_text, pack_beats, read_mem, unpack_beats

ACCUMULATOR_BITS = 32
MANIFEST = "vector.json"

Codes = npt.NDArray[np.integer]


def write_vectors(
    graph: QGraph, nodes: Sequence[Node], codes: Codes, channels_per_beat: int, directory: Path
) -> list[dict[str, Any]]:
    """Run one image and write the vectors of ``nodes``.

    Args:
        graph: The integer graph.
        nodes: Nodes wanted.
        codes: Input codes, uint8 [C, H, W].
        channels_per_beat: Codes per ``.mem`` word; must divide every tensor's channels.
        directory: Existing folder to write into.

    Returns:
        One JSON record per node, also in its ``vector.json``.

    Raises:
        StreamError: ``channels_per_beat`` does not divide some tensor's channels.
    """
    wanted = {s for n in nodes for s in sources_of(n)} | {n.name for n in nodes}
    sums = [n.name for n in nodes if isinstance(n, Conv | Linear | AvgPool)]
    run = GoldenModel(graph).run(codes[None], keep=sorted(wanted), accumulators=sums)
    stems = unique_stems([n.name for n in graph.nodes])
    rows = []
    for node in nodes:
        folder = directory / stems[node.name]
        folder.mkdir()
        row: dict[str, Any] = {
            "name": node.name,
            "kind": type(node).__name__.lower(),
            "folder": stems[node.name],
            "graph_digest": graph.digest,
            "inputs": [],
        }
        sources = sources_of(node)
        for index, source in enumerate(sources):
            stem = "input" if len(sources) == 1 else f"input{index}"
            fmt = graph.formats[source]
            row["inputs"].append(
                _tensor(folder, stem, run.tensors[source][0], fmt, channels_per_beat)
            )
        fmt = graph.formats[node.name]
        row["output"] = _tensor(folder, "output", run.tensors[node.name][0], fmt, channels_per_beat)
        if node.name in run.accumulators:
            values = run.accumulators[node.name][0].astype(np.int64)
            row["accumulator"] = _save(folder, "accumulator", values, ACCUMULATOR_BITS, True, 1)
        if isinstance(node, Conv | Linear):
            row["accumulator"]["proven_bits"] = accumulator_bits(node, graph.formats[node.source])
            np.save(folder / "weights.npy", decode_weights(node.weights).astype(np.int32))
            row["weights"] = {"file": "weights.npy", "order": "OIHW", "meaning": "w_int"}
        row["parameters"] = _parameters(folder, node)
        row["geometry"] = _geometry(node)
        (folder / MANIFEST).write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        rows.append(row)
    return rows


@dataclass(frozen=True)
class Compared:
    """One dumped tensor against its golden vector.

    Attributes:
        node: Node name.
        tensor: ``output`` or ``accumulator``.
        values: Values compared.
        mismatches: Wrong ones.
        first: The first wrong value in words, in stream order; ``None`` when all are equal.
    """

    node: str
    tensor: str
    values: int
    mismatches: int
    first: str | None


def compare_dump(vectors: Path, dump: Path) -> tuple[Compared, ...]:
    """Compare a user's dump with golden vectors.

    Args:
        vectors: Folder that ``write_vectors`` filled.
        dump: Folder with ``<node folder>/output.npy|.mem`` and optionally ``accumulator``.

    Returns:
        One record per dumped tensor, nodes in vector order.

    Raises:
        InputFileError: Nothing in the dump belongs to the vectors, a shape differs, or a file is
            not readable.
    """
    if not dump.is_dir():
        raise InputFileError(f"{dump} is no folder; dump to FOLDER/<node>/output.mem or output.npy")
    results = []
    for manifest in sorted(vectors.glob(f"*/{MANIFEST}")):
        row = json.loads(manifest.read_text(encoding="utf-8"))
        for tensor in ("accumulator", "output"):
            found = _dumped(dump / row["folder"], tensor)
            if found is None or tensor not in row:
                continue
            expected = np.load(manifest.parent / f"{tensor}.npy", allow_pickle=False)
            got = _read(found, row[tensor])
            results.append(_compared(row, tensor, expected, got, manifest.parent))
    if not results:
        names = ", ".join(p.parent.name for p in sorted(vectors.glob(f"*/{MANIFEST}"))[:4])
        raise InputFileError(
            f"{dump} has nothing to compare; dump to {dump}/<node>/output.mem or output.npy "
            f"with <node> as in the vectors folder: {names}, …"
        )
    return tuple(results)


def _compared(
    row: dict[str, Any], tensor: str, expected: Codes, got: Codes, folder: Path
) -> Compared:
    wrong = expected.astype(np.int64) != got.astype(np.int64)
    count = int(wrong.sum())
    first = None
    if count:
        y, x, c = (int(i[0]) for i in np.nonzero(wrong.transpose(1, 2, 0)))
        first = (
            f"'{row['name']}' {tensor} [{c}, {y}, {x}] (channel, row, column): got {got[c, y, x]}, "
            f"golden {expected[c, y, x]}"
        )
        if tensor == "output" and "accumulator" in row:
            sums = np.load(folder / "accumulator.npy", allow_pickle=False)
            first += f", golden accumulator {sums[c, y, x]}"
        first += f" ({count:,} of {expected.size:,} differ)"
    return Compared(row["name"], tensor, int(expected.size), count, first)


def _dumped(folder: Path, tensor: str) -> Path | None:
    for suffix in (".npy", ".mem"):
        if (folder / f"{tensor}{suffix}").is_file():
            return folder / f"{tensor}{suffix}"
    return None


def _read(path: Path, about: dict[str, Any]) -> Codes:
    c, h, w = about["shape"]
    if path.suffix == ".mem":
        lanes = about["channels_per_beat"]
        beats = read_mem(path, beat_bytes(about["bits"], lanes))
        return unpack_beats(beats, (c, h, w), about["bits"], lanes, signed=about["signed"])
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputFileError(f"{path} cannot be read as .npy: {error}") from None
    if values.shape != (c, h, w) or not np.issubdtype(values.dtype, np.integer):
        raise InputFileError(
            f"{path} holds {values.dtype} {list(values.shape)}; needed integers {[c, h, w]}"
        )
    return np.asarray(values)


def _tensor(
    folder: Path, stem: str, codes: Codes, fmt: TensorFormat, channels_per_beat: int
) -> dict[str, Any]:
    about = _save(folder, stem, codes, fmt.bits, False, channels_per_beat)
    about["ranges"] = [
        {"stop": r.stop, "scale": r.scale, "zero_point": r.zero_point} for r in fmt.ranges
    ]
    about["codebook"] = None if fmt.codebook is None else list(fmt.codebook)
    if fmt.uniform:
        about["zero_code"] = fmt.zero_code
    return about


def _save(
    folder: Path, stem: str, values: Codes, bits: int, signed: bool, channels_per_beat: int
) -> dict[str, Any]:
    np.save(folder / f"{stem}.npy", values, allow_pickle=False)
    beats = pack_beats(values, bits, channels_per_beat)
    (folder / f"{stem}.mem").write_text(mem_text(beats), encoding="ascii")
    return {
        "file": stem,
        "shape": list(values.shape),
        "order": "CHW in .npy; row, column, channel group in .mem",
        "bits": bits,
        "signed": signed,
        "channels_per_beat": channels_per_beat,
    }


def _parameters(folder: Path, node: Node) -> list[dict[str, Any]]:
    rows = []
    for tensor in stored_tensors(node):
        name = f"{tensor.field}.mem"
        (folder / name).write_text(parameter_text(tensor), encoding="ascii")
        rows.append(
            {
                "file": name,
                "shape": list(tensor.values.shape),
                "axes": tensor.axes,
                "bits": tensor.bits,
                "signed": bool(tensor.signed),
            }
        )
    return rows


def _geometry(node: Node) -> dict[str, Any]:
    match node:
        case Conv():
            return {
                "kernel": list(node.weights.shape[2:]),
                "stride": list(node.stride),
                "padding": list(node.padding),
                "groups": node.groups,
                "low": node.requant.low,
                "high": node.requant.high,
                "requantized_bits": node.requant.bits,
            }
        case _:
            return {}

# SPDX-License-Identifier: Apache-2.0
"""Golden vectors for a user's own hardware; ``sim.dumps`` compares what that hardware answers.

One folder per node: ``input*.npy/.mem``, ``output.npy/.mem``, ``accumulator.npy/.mem`` where the
node has one, every parameter as ``<field>.mem`` (layers also have the decoded integer weights,
``weights.npy/.mem``), and ``vector.json`` that says shape, bits, scale and order of each.
Tensors in ``.mem`` are in stream order: row, pixel, channel group; one word per channel group.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quant.bundle import MemoryKind, StoredTensor, stored_tensors
from quant.bundle.mem import mem_text as parameter_text
from quant.bundle.names import unique_stems
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import AvgPool, Conv, Linear, Node, Requantize, sources_of
from quant.widths import accumulator_bits
from sim.golden import GoldenModel
from sim.golden.decode import decode_weights
from sim.stream import mem_text, pack_beats

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
    names = [n.name for n in graph.nodes]
    stems = unique_stems(names)
    rows = []
    for node in nodes:
        folder = directory / stems[node.name]
        folder.mkdir()
        row: dict[str, Any] = {
            "name": node.name,
            "kind": type(node).__name__.lower(),
            "position": names.index(node.name),
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
        row["parameters"] = [_parameter(folder, t) for t in _parameters(node)]
        row["geometry"] = _geometry(node)
        (folder / MANIFEST).write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        rows.append(row)
    return rows


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


def _parameters(node: Node) -> tuple[StoredTensor, ...]:
    """Return what is stored, and what own hardware needs besides: weights and zero points."""
    stored = stored_tensors(node)
    extra = []
    if isinstance(node, Conv | Linear):
        values = decode_weights(node.weights)
        bits = _signed_bits(values)
        extra.append(
            StoredTensor(node.name, "weights", values, bits, True, "OIHW", MemoryKind.CODES)
        )
    if isinstance(node, Conv | Linear | AvgPool | Requantize):
        # Stored only where the filters differ; a file per parameter is easier to build with.
        zero, name = node.requant.zero_point, "requant.zero_point"
        kind, bits = MemoryKind.ZERO_POINTS, node.requant.bits
        if all(t.field != name for t in stored):
            extra.append(StoredTensor(node.name, name, zero, bits, False, "O", kind))
    return (*stored, *extra)


def _signed_bits(values: Codes) -> int:
    """Return the two's complement width that holds every value."""
    return max(int(values.max()).bit_length(), (~int(values.min())).bit_length()) + 1


def _parameter(folder: Path, tensor: StoredTensor) -> dict[str, Any]:
    name = f"{tensor.field}.mem"
    (folder / name).write_text(parameter_text(tensor), encoding="ascii")
    return {
        "file": name,
        "shape": list(tensor.values.shape),
        "axes": tensor.axes,
        "bits": tensor.bits,
        "signed": bool(tensor.signed),
    }


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

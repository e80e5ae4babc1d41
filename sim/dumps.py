# SPDX-License-Identifier: Apache-2.0
"""What a user's own hardware dumped, against the golden vectors: the first wrong value."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quant.errors import InputFileError
from sim.stream import beat_bytes, beat_count, read_mem, unpack_beats
from sim.vectors import MANIFEST

# An accumulator first: where it differs, its output only follows.
TENSORS = ("accumulator", "output")
SUFFIXES = (".npy", ".mem")
SHOWN_NAMES = 4

Codes = npt.NDArray[np.integer]


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


@dataclass(frozen=True)
class _Layout:
    """How one tensor lies in its file."""

    shape: tuple[int, int, int]
    bits: int
    signed: bool
    lanes: int

    @classmethod
    def of(cls, about: dict[str, Any]) -> "_Layout":
        c, h, w = (int(n) for n in about["shape"])
        lanes = int(about["channels_per_beat"])
        return cls((c, h, w), int(about["bits"]), bool(about["signed"]), lanes)


@dataclass(frozen=True)
class _Vector:
    """What ``vector.json`` says, as far as a comparison needs it."""

    name: str
    kind: str
    folder: Path
    position: int
    tensors: dict[str, _Layout]


def compare_dump(vectors: Path, dump: Path) -> tuple[Compared, ...]:
    """Compare a user's dump with golden vectors.

    Args:
        vectors: Folder that ``sim.vectors.write_vectors`` filled.
        dump: Folder with ``<node folder>/output.npy|.mem`` and optionally ``accumulator``.

    Returns:
        One record per dumped tensor, nodes in the order of the graph.

    Raises:
        InputFileError: Nothing in the dump belongs to the vectors, something in it belongs to no
            vector, a shape or length differs, or a file is not readable.
    """
    if not dump.is_dir():
        raise InputFileError(f"{dump} is no folder; dump to FOLDER/<node>/output.mem or output.npy")
    known = {v.folder.name: v for v in _read_vectors(vectors)}
    dumped = sorted(p for p in dump.iterdir() if any(_dumped(p, t) for t in TENSORS))
    names = ", ".join(list(known)[:SHOWN_NAMES]) + (", …" if len(known) > SHOWN_NAMES else "")
    foreign = [p for p in dumped if p.name not in known]
    if foreign:
        raise InputFileError(
            f"{foreign[0]} belongs to no node of {vectors}; there are: {names}; "
            "write its vectors too or remove it"
        )
    if not dumped:
        raise InputFileError(
            f"{dump} has nothing to compare; dump to {dump}/<node>/output.mem or output.npy "
            f"with <node> as in the vectors folder: {names}"
        )
    results = []
    for folder, vector in known.items():
        for tensor in TENSORS:
            found = _dumped(dump / folder, tensor)
            if found is None:
                continue
            if tensor not in vector.tensors:
                raise InputFileError(
                    f"{found}: '{vector.name}' is a node of kind {vector.kind}, which has no "
                    f"{tensor}; remove the file"
                )
            results.append(_compared(vector, tensor, _read(found, vector.tensors[tensor])))
    return tuple(results)


def _read_vectors(vectors: Path) -> list[_Vector]:
    """Return the vectors in the order of the graph."""
    found = []
    for path in vectors.glob(f"*/{MANIFEST}"):
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            tensors = {t: _Layout.of(row[t]) for t in TENSORS if t in row}
            name, kind, position = str(row["name"]), str(row["kind"]), int(row["position"])
        except (OSError, ValueError, KeyError, TypeError):
            raise InputFileError(
                f"{path} is damaged; write the vectors again with --force"
            ) from None
        found.append(_Vector(name, kind, path.parent, position, tensors))
    return sorted(found, key=lambda v: v.position)


def _compared(vector: _Vector, tensor: str, got: Codes) -> Compared:
    expected = _golden(vector.folder / f"{tensor}.npy")
    wrong = expected.astype(np.int64) != got.astype(np.int64)
    count = int(wrong.sum())
    first = None
    if count:
        y, x, c = (int(i[0]) for i in np.nonzero(wrong.transpose(1, 2, 0)))
        first = (
            f"'{vector.name}' {tensor} [{c}, {y}, {x}] (channel, row, column): got "
            f"{got[c, y, x]}, golden {expected[c, y, x]}"
        )
        if tensor == "output" and "accumulator" in vector.tensors:
            sums = _golden(vector.folder / "accumulator.npy")
            first += f", golden accumulator {sums[c, y, x]}"
        first += f" ({count:,} of {expected.size:,} differ)"
    return Compared(vector.name, tensor, int(expected.size), count, first)


def _golden(path: Path) -> Codes:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputFileError(
            f"{path} cannot be read ({error}); write the vectors again with --force"
        ) from None


def _dumped(folder: Path, tensor: str) -> Path | None:
    for suffix in SUFFIXES:
        if (folder / f"{tensor}{suffix}").is_file():
            return folder / f"{tensor}{suffix}"
    return None


def _read(path: Path, layout: _Layout) -> Codes:
    shape = list(layout.shape)
    if path.suffix == ".mem":
        beats = read_mem(path, beat_bytes(layout.bits, layout.lanes))
        needed = beat_count(layout.shape, layout.lanes)
        if len(beats) != needed:
            raise InputFileError(
                f"{path} holds {len(beats):,} words; {shape} at {layout.lanes} channels per word "
                f"needs {needed:,}"
            )
        return unpack_beats(beats, layout.shape, layout.bits, layout.lanes, signed=layout.signed)
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputFileError(f"{path} cannot be read as .npy: {error}") from None
    if values.shape != layout.shape or not np.issubdtype(values.dtype, np.integer):
        raise InputFileError(
            f"{path} holds {values.dtype} {list(values.shape)}; needed integers {shape}"
        )
    return np.asarray(values)

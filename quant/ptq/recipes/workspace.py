# SPDX-License-Identifier: Apache-2.0
"""Where a recipe keeps what it has finished, so that an interrupted run goes on from there.

The folder belongs to one task: a digest of network, images, settings and recipe is its key. What
another task left there is thrown away.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.ptq.recipes.solution import LayerSolution
from quant.weights import Granularity, Weights

KEY_FILE = "key.txt"


class Workspace:
    """Finished layers and saved training states of one task.

    Without a folder nothing is kept and nothing is found.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        """Open the folder; its content is thrown away when it belongs to another task.

        Args:
            folder: The folder, made when it is missing; ``None`` keeps nothing.
            key: Of the task.
        """
        self._folder = None if folder is None else folder / "state"
        if self._folder is None:
            return
        file = self._folder / KEY_FILE
        if not file.is_file() or file.read_text(encoding="utf-8") != key:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            file.write_text(key, encoding="utf-8")

    def load_layer(self, stage: int, name: str) -> LayerSolution | None:
        """Return a layer that stage number ``stage`` finished; ``None`` when it has not."""
        file = self._file(stage, name, ".npz")
        if file is None or not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as found:
            arrays = {key: found[key] for key in found.files}
        scheme: Any = str(arrays["scheme"])
        weights = Weights(
            codes=arrays["codes"],
            bits=int(arrays["bits"]),
            tables=arrays["tables"],
            selectors=arrays["selectors"],
            multipliers=arrays["multipliers"],
            scale=arrays["scale"],
            granularity=Granularity(str(arrays["granularity"])),
            scheme=scheme,
        )
        return LayerSolution(weights, arrays["bias"])

    def save_layer(self, stage: int, name: str, solution: LayerSolution) -> None:
        """Keep a finished layer."""
        file = self._file(stage, name, ".npz")
        if file is None:
            return
        w = solution.weights
        arrays: dict[str, npt.NDArray[Any]] = {
            "codes": w.codes,
            "bits": np.array(w.bits),
            "tables": w.tables,
            "selectors": w.selectors,
            "multipliers": w.multipliers,
            "scale": w.scale,
            "granularity": np.array(str(w.granularity)),
            "scheme": np.array(w.scheme),
            "bias": solution.bias,
        }

        def write(path: Path) -> None:
            with path.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)

        _whole(file, write)

    def load_training(self, stage: int) -> dict[str, Any] | None:
        """Return the last saved training state of a stage."""
        return _state(self._file(stage, "training", ".pt"))

    def load_unit(self, stage: int, name: str) -> dict[str, Any] | None:
        """Return what a stage kept of a finished unit beside its layers."""
        return _state(self._file(stage, f"unit {name}", ".pt"))

    def save_unit(self, stage: int, name: str, state: Mapping[str, Any]) -> None:
        """Keep what belongs to a finished unit beside its layers: numbers, lists and mappings."""
        file = self._file(stage, f"unit {name}", ".pt")
        if file is not None:
            _whole(file, lambda path: torch.save(dict(state), path))

    def save_training(self, stage: int, state: Mapping[str, Any]) -> None:
        """Keep a training state: tensors, numbers, lists and mappings of them."""
        file = self._file(stage, "training", ".pt")
        if file is not None:
            _whole(file, lambda path: torch.save(dict(state), path))

    def _file(self, stage: int, name: str, suffix: str) -> Path | None:
        if self._folder is None:
            return None
        # Layer names come from models: anything may stand in them.
        short = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self._folder / f"{stage}-{short}{suffix}"


def task_key(
    graph: FloatGraph, codes: npt.NDArray[np.uint8], facts: Mapping[str, Any], extra: Iterable[str]
) -> str:
    """Return the digest of everything that a recipe's result depends on.

    Args:
        graph: The float network.
        codes: uint8 [N, C, H, W] images.
        facts: Settings and recipe, JSON values.
        extra: More of it in words: formats, device, threads.
    """
    digest = hashlib.sha256()
    for op in graph.ops:
        digest.update(f"{type(op).__name__} {op.name}".encode())
        if isinstance(op, FloatConv | FloatLinear):
            digest.update(np.ascontiguousarray(op.weight).tobytes())
            digest.update(np.ascontiguousarray(op.bias).tobytes())
    for image in codes:
        digest.update(np.ascontiguousarray(image).tobytes())
    digest.update(json.dumps(dict(facts), sort_keys=True).encode())
    for text in extra:
        digest.update(text.encode())
    return digest.hexdigest()


def _state(file: Path | None) -> dict[str, Any] | None:
    if file is None or not file.is_file():
        return None
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _whole(file: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that it appears whole or not at all."""
    partial = file.with_name(f".{file.name}.partial-{os.getpid()}")
    try:
        write(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)

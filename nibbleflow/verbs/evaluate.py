# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow evaluate``: accuracy of the float, fake-quantized and integer network."""

import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from nibbleflow.engines import Engine, fake_quant_engine, float_engine, integer_engine
from nibbleflow.folders import BuildFolder
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from quant.bundle import load_bundle
from quant.errors import InputFileError
from quant.floatstore import load_float
from quant.hostspec import HostSpec
from quant.zoo.shapes import HELD_OUT_COUNT, HELD_OUT_SEED, write_shapes
from sim.host import Dataset, Detections, detect, letterbox, read_dataset
from sim.host import evaluate as score

ENGINES = ("float", "fake_quant", "integer")


def evaluate(
    build: str | Path,
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    engines: tuple[str, ...] = ENGINES,
) -> Result:
    """Measure accuracy with pycocotools, same preprocessing and decoding for every engine.

    Args:
        build: A build folder.
        data: COCO ``instances`` file; a build of the demo needs none (500 held-out shapes).
        images: Folder of the images.
        limit: Only the first so many images.
        engines: Which of ``float``, ``fake_quant``, ``integer`` to run.

    Returns:
        ``values`` has ``images`` and per engine ``map``, ``map50``, ``precision``, ``recall`` in
        percent (``null`` for an engine that was not run).

    Raises:
        NibbleflowError: Build, data or an image cannot be read, or an engine is unknown.
    """
    folder = BuildFolder.existing(build)
    bundle = load_bundle(folder.bundle)
    unknown = [e for e in engines if e not in ENGINES]
    if unknown:
        raise InputFileError(f"engine '{unknown[0]}' is unknown; choose {', '.join(ENGINES)}")
    if (data is None) != (images is None):
        raise InputFileError("evaluate needs both --data and --images, or neither for the demo")
    if limit is not None and limit < 1:
        raise InputFileError(f"--limit {limit} must be at least 1")
    makers = {
        "float": lambda: (float_engine(folder), load_float(folder.floats)[1]),
        "fake_quant": lambda: (fake_quant_engine(folder, bundle), bundle.host),
        "integer": lambda: (integer_engine(bundle), bundle.host),
    }
    chosen = {name: makers[name]() for name in ENGINES if name in engines}
    with tempfile.TemporaryDirectory() as scratch:
        dataset = _dataset(bundle.record.model, bundle.host, data, images, Path(scratch), limit)
        found = _detect_all(dataset, bundle.host, chosen, limit)
    values: dict[str, object] = {"build": str(build), "digest": bundle.graph.digest}
    table = Table(title="accuracy in percent", box=None)
    for column in ("engine", "mAP", "mAP50", "precision", "recall"):
        table.add_column(column)
    for name in ENGINES:
        values[name] = None
        if name in found:
            accuracy = score(dataset, found[name], bundle.host.class_names)
            values["images"] = accuracy.images
            values[name] = asdict(accuracy)
            row = (accuracy.map, accuracy.map50, accuracy.precision, accuracy.recall)
            table.add_row(name, *(f"{v:.2f}" for v in row))
    return Result("evaluate", values, (table,))


def _dataset(
    model: str,
    host: HostSpec,
    data: str | Path | None,
    images: str | Path | None,
    scratch: Path,
    limit: int | None,
) -> Dataset:
    if data is not None and images is not None:
        return read_dataset(Path(data), Path(images))
    if model != "demo":
        raise InputFileError(f"evaluating a build of {model} needs --data and --images")
    count = HELD_OUT_COUNT if limit is None else min(limit, HELD_OUT_COUNT)
    write_shapes(scratch, count, HELD_OUT_SEED, (host.height, host.width))
    return read_dataset(scratch / "instances.json", scratch)


def _detect_all(
    dataset: Dataset,
    host: HostSpec,
    engines: dict[str, tuple[Engine, HostSpec]],
    limit: int | None,
) -> dict[str, dict[int, Detections]]:
    found: dict[str, dict[int, Detections]] = {name: {} for name in engines}
    chosen = dataset.images[:limit]
    with progress_bar("evaluating", len(chosen)) as advance:
        for image in chosen:
            canvas, placement = letterbox(image.read(), host)
            for name, (run, spec) in engines.items():
                found[name][image.image_id] = detect(run(canvas), spec, placement)
            advance(1)
    return found

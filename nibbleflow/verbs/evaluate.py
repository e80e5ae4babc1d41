# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow evaluate``: accuracy of the float, fake-quantized and integer network."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nibbleflow.accuracy import box_accuracy, class_accuracy
from nibbleflow.result import Result
from nibbleflow.subject import ENGINES, Subject, subject_of
from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo.shapes import HELD_OUT_COUNT, HELD_OUT_SEED, write_shapes
from sim.host import Dataset, read_dataset

BOX_COLUMNS = {"map": "mAP", "map50": "mAP50", "precision": "precision", "recall": "recall"}
CLASS_COLUMNS = {"top1": "top-1", "top5": "top-5"}


def evaluate(
    build: str | Path,
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    labels: str | Path | None = None,
    limit: int | None = None,
    engines: Sequence[str] = (),
    arch: str | None = None,
    image_size: Sequence[int] | None = None,
    decode: str | None = None,
    seed: int | None = None,
) -> Result:
    """Measure accuracy, same preprocessing and decoding for every engine.

    Detectors are scored with pycocotools against ``data``, classifiers by top-1 and top-5 against
    ``labels``.

    Args:
        build: A build folder, or a model as ``quantize`` takes it: then only its float network.
        data: COCO ``instances`` file; the demo needs none (500 held-out shapes).
        images: Folder of the images.
        labels: JSON of a classifier's images: file name to class index.
        limit: Only the first so many images.
        engines: Which of ``float``, ``fake_quant``, ``integer`` to run; empty for all there are.
        arch: Of a model: as for ``quantize``.
        image_size: Of a model: as for ``quantize``.
        decode: Of a model: as for ``quantize``.
        seed: Of a model: as for ``quantize``.

    Returns:
        ``values`` has ``images`` and per engine ``map``, ``map50``, ``precision``, ``recall``, or
        ``top1``, ``top5``, in percent (``null`` for an engine that was not run); ``absent`` says
        why an engine does not exist.

    Raises:
        NibbleflowError: Build, model, data or an image cannot be read, or an engine is unknown.
    """
    size = None if image_size is None else (image_size[0], image_size[1])
    subject = subject_of(build, arch=arch, image_size=size, decode=decode, seed=seed)
    if limit is not None and limit < 1:
        raise InputFileError(f"--limit {limit} must be at least 1")
    if subject.host.decode == "none":
        raise UnsupportedLayerError(
            f"{subject.model} decodes 'none': raw outputs have no accuracy; give it a --decode"
        )
    if subject.host.decode == "classify":
        if data is not None or labels is None or images is None:
            raise InputFileError("evaluating a classifier needs --images and --labels, no --data")
        running = subject.start(engines)
        found = class_accuracy(subject.host, running, Path(labels), Path(images), limit)
        return _result(subject, found, CLASS_COLUMNS)
    if labels is not None:
        raise InputFileError(
            f"--labels is for classifiers; {subject.model} finds boxes: use --data"
        )
    if (data is None) != (images is None):
        raise InputFileError("evaluate needs both --data and --images, or neither for the demo")
    running = subject.start(engines)
    with tempfile.TemporaryDirectory() as scratch:
        dataset = _dataset(subject, data, images, Path(scratch), limit)
        found = box_accuracy(dataset, subject.host, running, limit)
    return _result(subject, found, BOX_COLUMNS)


def _result(
    subject: Subject, found: Mapping[str, dict[str, Any]], columns: Mapping[str, str]
) -> Result:
    values: dict[str, Any] = dict(subject.facts)
    table = Table(title="accuracy in percent", box=None)
    table.add_column("engine")
    for title in columns.values():
        table.add_column(title)
    for name in ENGINES:
        values[name] = found.get(name)
        if name in found:
            values["images"] = found[name]["images"]
            table.add_row(name, *(f"{found[name][key]:.2f}" for key in columns))
    values["absent"] = subject.absent
    parts: list[RenderableType] = [table]
    for why, names in _grouped(subject.absent).items():
        parts.append(Text(f"{', '.join(names)}: {why}"))
    return Result("evaluate", values, tuple(parts))


def _grouped(absent: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the engines by the reason why they do not exist."""
    found: dict[str, list[str]] = {}
    for name, why in absent.items():
        found.setdefault(why, []).append(name)
    return found


def _dataset(
    subject: Subject,
    data: str | Path | None,
    images: str | Path | None,
    scratch: Path,
    limit: int | None,
) -> Dataset:
    if data is not None and images is not None:
        return read_dataset(Path(data), Path(images))
    if subject.model != "demo":
        raise InputFileError(f"evaluating {subject.model} needs --data and --images")
    count = HELD_OUT_COUNT if limit is None else min(limit, HELD_OUT_COUNT)
    write_shapes(scratch, count, HELD_OUT_SEED, (subject.host.height, subject.host.width))
    return read_dataset(scratch / "instances.json", scratch)

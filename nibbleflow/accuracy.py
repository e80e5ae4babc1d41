# SPDX-License-Identifier: Apache-2.0
"""Accuracy of networks on labelled images: the same images and decoding for all of them."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nibbleflow.engines import Engine
from nibbleflow.progress import progress_bar
from quant.hostspec import HostSpec
from sim.host import (
    Dataset,
    Detections,
    best_classes,
    class_logits,
    detect,
    letterbox,
    read_image,
    read_labels,
    top_accuracy,
)
from sim.host import evaluate as score

Running = tuple[Engine, HostSpec]


def box_accuracy(
    dataset: Dataset, host: HostSpec, engines: Mapping[str, Running], limit: int | None
) -> dict[str, dict[str, Any]]:
    """Return mAP, precision and recall of every engine, in percent, by its name.

    Args:
        dataset: Labelled images.
        host: How images become canvases, the same for all engines.
        engines: What to run.
        limit: Only the first so many images.
    """
    found: dict[str, dict[int, Detections]] = {name: {} for name in engines}
    chosen = dataset.images[:limit]
    with progress_bar("evaluating", len(chosen)) as advance:
        for image in chosen:
            canvas, placement = letterbox(image.read(), host)
            for name, (run, spec) in engines.items():
                found[name][image.image_id] = detect(run(canvas), spec, placement)
            advance(1)
    return {n: asdict(score(dataset, b, host.class_names)) for n, b in found.items()}


def class_accuracy(
    host: HostSpec,
    engines: Mapping[str, Running],
    labels: Path,
    folder: Path,
    limit: int | None,
) -> dict[str, dict[str, Any]]:
    """Return top-1 and top-5 of every engine, in percent, by its name.

    Args:
        host: How images become canvases.
        engines: What to run.
        labels: JSON of file name to class index.
        folder: The images.
        limit: Only the first so many images.
    """
    images = read_labels(labels, folder)[:limit]
    best: dict[str, list[Any]] = {name: [] for name in engines}
    with progress_bar("evaluating", len(images)) as advance:
        for image in images:
            canvas, _ = letterbox(read_image(image.path), host)
            for name, (run, spec) in engines.items():
                best[name].append(best_classes(class_logits(run(canvas), spec)))
            advance(1)
    return {name: asdict(top_accuracy(images, classes)) for name, classes in best.items()}

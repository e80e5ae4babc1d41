# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow detect``: boxes of float and integer side by side."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from nibbleflow.engines import float_engine, integer_engine
from nibbleflow.folders import BuildFolder
from nibbleflow.result import Result
from quant.bundle import load_bundle
from quant.errors import InputFileError
from quant.floatstore import load_float
from quant.hostspec import HostSpec
from sim.host import (
    Detections,
    best_classes,
    class_logits,
    draw_detections,
    enlarge,
    letterbox,
    read_image,
    save_png,
    side_by_side,
    softmax,
)
from sim.host import (
    detect as boxes_of,
)


def detect(
    build: str | Path,
    image: str | Path,
    *,
    output: str | Path | None = None,
    confidence: float = 0.25,
) -> Result:
    """Draw the boxes that the float and the integer network find in one image.

    Of a classifier the five likeliest classes are listed, and nothing is drawn.

    Args:
        build: A build folder.
        image: JPEG or PNG file.
        output: PNG to write; ``BUILD/report/detect.png`` when not given.
        confidence: Smallest score shown, 0 to 1.

    Returns:
        ``values`` has ``picture`` and ``detections`` per engine: class, score, box (x1, y1, x2, y2
        in pixels; ``null`` for a classifier, as is the picture).

    Raises:
        NibbleflowError: Build or image cannot be read, or the network has no boxes.
    """
    if not 0.0 <= confidence <= 1.0:
        raise InputFileError(f"--confidence {confidence} must be in [0, 1]")
    folder = BuildFolder.existing(build)
    bundle = load_bundle(folder.bundle)
    pixels = read_image(Path(image))
    canvas, placement = letterbox(pixels, bundle.host)
    float_host = load_float(folder.floats)[1]
    outputs = {
        "float": (float_engine(folder)(canvas), float_host),
        "integer": (integer_engine(bundle)(canvas), bundle.host),
    }
    if bundle.host.decode == "classify":
        if output is not None:
            raise InputFileError(f"{build} is a classifier: nothing is drawn; leave -o out")
        return _classes(str(image), {n: class_logits(*o) for n, o in outputs.items()}, bundle.host)
    found = {n: boxes_of(tensors, host, placement) for n, (tensors, host) in outputs.items()}
    shown = {name: d.above(confidence) for name, d in found.items()}
    names = bundle.host.class_names
    picture = side_by_side(
        [(n, draw_detections(*enlarge(pixels, d), names)) for n, d in shown.items()]
    )
    target = Path(output) if output else folder.report / "detect.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    save_png(picture, target)
    table = Table(title=f"{image} -> {target}", box=None)
    for column in ("engine", "class", "score", "box"):
        table.add_column(column)
    rows = {name: _rows(d, names) for name, d in shown.items()}
    for engine, entries in rows.items():
        for entry in entries:
            box = ", ".join(f"{v:.0f}" for v in entry["box"])
            table.add_row(engine, entry["class"], f"{entry['score']:.2f}", box)
    return Result("detect", {"picture": str(target), "detections": rows}, (table,))


def _classes(image: str, logits: dict[str, NDArray[np.float32]], host: HostSpec) -> Result:
    names = dict(enumerate(host.class_names))
    table = Table(title=image, box=None)
    for column in ("engine", "class", "score"):
        table.add_column(column)
    rows: dict[str, list[dict[str, Any]]] = {}
    for engine, values in logits.items():
        scores = softmax(values)
        rows[engine] = [
            {"class": names.get(int(c), str(int(c))), "score": float(scores[c]), "box": None}
            for c in best_classes(values)
        ]
        for row in rows[engine]:
            table.add_row(engine, row["class"], f"{row['score']:.3f}")
    return Result("detect", {"picture": None, "detections": rows}, (table,))


def _rows(detections: Detections, names: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = zip(detections.classes, detections.scores, detections.boxes, strict=True)
    return [
        {"class": names[int(c)], "score": float(s), "box": [float(v) for v in b]}
        for c, s, b in rows
    ]

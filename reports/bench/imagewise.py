# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.imagewise BUILD --json FILE``: a build's results, image by image.

For paired comparisons. A detector's integer network is matched with labelled boxes as pycocotools
does it; a classifier's is compared with its own float network: whether the best class is the same,
and the mean squared error of the logits relative to their variance.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quant.bundle import load_bundle
from quant.errors import InputFileError, NibbleflowError
from quant.floatstore import load_float
from quant.ptq.executor import FloatExecutor
from quant.zoo.shapes import HELD_OUT_COUNT, HELD_OUT_SEED, write_shapes
from reports.bench.bootstrap import BoxScores, ClassMatches, MeanScores
from sim.golden import GoldenModel
from sim.host import (
    class_logits,
    detect,
    input_codes,
    letterbox,
    list_images,
    matched,
    normalise,
    read_dataset,
    read_image,
    real_outputs,
)

Json = dict[str, Any]
# IoU thresholds 0.50 to 0.95.
LEVELS = 10
Run = Callable[[npt.NDArray[np.uint8]], dict[str, npt.NDArray[np.float32]]]


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the results; return the exit code."""
    parser = argparse.ArgumentParser(description="A build's results, image by image.")
    parser.add_argument("build", type=Path, help="build folder")
    parser.add_argument("--data", type=Path, help="instances file; none for the demo")
    parser.add_argument("--images", type=Path, help="folder of images; none for the demo")
    parser.add_argument("--skip", type=int, default=0, help="images left out at the beginning")
    parser.add_argument("--limit", type=int, help="images after those; all without it")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        found = measure(given.build, given.data, given.images, given.skip, given.limit)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(found, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def measure(
    build: Path, data: Path | None, folder: Path | None, skip: int, limit: int | None
) -> Json:
    """Return a build's results as JSON values, for ``read_boxes`` or ``read_figures``.

    Args:
        build: Build folder.
        data: Instances file of a detector; ``None`` for the demo's own held-out images.
        folder: Its images, or those of a classifier.
        skip: Images left out at the beginning of the sorted list.
        limit: Most images after those.

    Raises:
        NibbleflowError: Build, data or an image cannot be read.
    """
    bundle = load_bundle(build / "bundle")
    host = bundle.host
    end = None if limit is None else skip + limit
    if host.decode == "classify":
        if folder is None:
            raise InputFileError("a classifier's results need --images")
        return _agreement(build, list_images(folder)[skip:end])
    with tempfile.TemporaryDirectory() as scratch:
        if data is None or folder is None:
            write_shapes(Path(scratch), HELD_OUT_COUNT, HELD_OUT_SEED, (host.height, host.width))
            dataset = read_dataset(Path(scratch) / "instances.json", Path(scratch))
        else:
            dataset = read_dataset(data, folder)
        run = _integer(build)
        boxes = {}
        for image in dataset.images[skip:end]:
            canvas, placement = letterbox(image.read(), host)
            boxes[image.image_id] = detect(run(canvas), host, placement)
        scorer = matched(dataset, boxes, host.class_names)
    return _matches(scorer.evalImgs, len(scorer.params.catIds), len(boxes))


def read_boxes(found: Json) -> BoxScores:
    """Return a detector's results from ``measure``'s values."""
    classes = []
    for one in found["classes"]:
        hit, ignored = (
            np.array([[level >> t & 1 for level in one[k]] for t in range(LEVELS)], np.bool_)
            for k in ("hit", "ignored")
        )
        classes.append(
            ClassMatches(
                np.array(one["image"], np.int64),
                hit.reshape(LEVELS, -1),
                ignored.reshape(LEVELS, -1),
                np.array(one["labelled"], np.float64),
            )
        )
    return BoxScores(int(found["images"]), tuple(classes))


def read_figures(found: Json, key: str) -> MeanScores:
    """Return a classifier's figure per image from ``measure``'s values."""
    return MeanScores(np.array(found[key], np.float64))


def _integer(build: Path) -> Run:
    bundle = load_bundle(build / "bundle")
    model = GoldenModel(bundle.graph)
    names = [o.source for o in bundle.graph.outputs]
    fmt = bundle.graph.input.output

    def run(canvas: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        codes = input_codes(canvas, bundle.host, fmt.scale, fmt.zero_point)
        tensors = model.run(codes[None], keep=names).tensors
        return real_outputs(bundle.graph, {name: tensors[name][0] for name in names})

    return run


def _matches(entries: list[Any], classes: int, images: int) -> Json:
    """Return pycocotools' matches by class, best score first; bit t is IoU threshold t."""
    found = []
    areas = len(entries) // (classes * images)
    for first in range(0, len(entries), areas * images):
        parts = entries[first : first + images]  # the first area range: all
        labelled = [0 if e is None else int((np.asarray(e["gtIgnore"]) == 0).sum()) for e in parts]
        if not any(labelled):
            continue
        rows: list[tuple[float, int, int, int]] = []
        for place, e in enumerate(parts):
            if e is None:
                continue
            hits = _bits(np.asarray(e["dtMatches"]) > 0)
            ignored = _bits(np.asarray(e["dtIgnore"]) > 0)
            rows += [
                (-score, place, hit, skipped)
                for score, hit, skipped in zip(e["dtScores"], hits, ignored, strict=True)
            ]
        rows.sort(key=lambda row: row[0])  # stable: equal scores stay in order of images
        found.append(
            {
                "image": [r[1] for r in rows],
                "hit": [r[2] for r in rows],
                "ignored": [r[3] for r in rows],
                "labelled": labelled,
            }
        )
    return {"images": images, "classes": found}


def _bits(flags: npt.NDArray[np.bool_]) -> list[int]:
    """Return one integer per column of bool [LEVELS, n]."""
    weights = 1 << np.arange(LEVELS)
    return [int(v) for v in (flags.reshape(LEVELS, -1) * weights[:, None]).sum(axis=0)]


def _agreement(build: Path, paths: Sequence[Path]) -> Json:
    graph, host = load_float(build / "float")
    exact, run = FloatExecutor(graph), _integer(build)
    spec = load_bundle(build / "bundle").host
    agrees, errors = [], []
    for path in paths:
        canvas, _ = letterbox(read_image(path), host)
        outputs = exact.run(normalise(canvas, host)[None])
        wanted = class_logits({n: t[0] for n, t in outputs.items()}, host).astype(np.float64)
        made = class_logits(run(canvas), spec).astype(np.float64)
        agrees.append(int(made.argmax() == wanted.argmax()))
        errors.append(float(np.square(made - wanted).mean() / wanted.var()))
    return {"images": len(paths), "agrees": agrees, "error": errors}


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The way from a classifier's output tensor to classes, and from labels to top-1 and top-5."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quant.errors import GraphError, InputFileError, UnsupportedLayerError
from quant.hostspec import HostSpec
from sim.host.images import SUFFIXES

TOP = 5


@dataclass(frozen=True)
class LabelledImage:
    """One image with its true class.

    Attributes:
        path: The file.
        label: Index of the class, >= 0.
    """

    path: Path
    label: int


@dataclass(frozen=True)
class TopAccuracy:
    """Classification accuracy in percent.

    Attributes:
        images: Number of images scored.
        top1: Share whose true class has the highest score.
        top5: Share whose true class is among the five highest.
    """

    images: int
    top1: float
    top5: float


def class_logits(
    outputs: Mapping[str, NDArray[np.floating]], spec: HostSpec
) -> NDArray[np.float32]:
    """Return one image's class logits, float32 [classes].

    Args:
        outputs: Real values by output name; the network's one output has shape [classes, 1, 1].
        spec: Decode kind and the output's name.

    Raises:
        UnsupportedLayerError: ``spec.decode`` is not ``classify``.
        GraphError: There is not exactly one output of that shape, or a value is not finite.
    """
    if spec.decode != "classify":
        raise UnsupportedLayerError(
            f"decode kind '{spec.decode}' has no classes; quantize with --decode classify"
        )
    names = [name for scale in spec.outputs for name in scale]
    if len(names) != 1 or names[0] not in outputs:
        raise GraphError(
            f"a classifier has one output; the host spec reads {names}, the network gave "
            f"{sorted(outputs)}; choose one with --outputs"
        )
    logits = outputs[names[0]]
    if logits.ndim != 3 or logits.shape[1:] != (1, 1):
        raise GraphError(
            f"classifier output '{names[0]}' is {list(logits.shape)}; need [classes, 1, 1]"
        )
    if not np.isfinite(logits).all():
        raise GraphError(f"classifier output '{names[0]}' is not finite; check the model")
    return np.asarray(logits[:, 0, 0], dtype=np.float32)


def best_classes(logits: NDArray[np.float32], count: int = TOP) -> NDArray[np.int64]:
    """Return the classes of the ``count`` highest logits, best first; of equals the lower index.

    Args:
        logits: float32 [classes].
        count: How many, at least 1; fewer come back when there are fewer classes.
    """
    return np.argsort(-logits, kind="stable")[:count].astype(np.int64)


def top1(logits: NDArray[np.float32]) -> int:
    """Return the class of the highest logit; of equals the lower index."""
    return int(best_classes(logits, 1)[0])


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of the classes, float32 [classes], without overflow."""
    powers = np.exp((logits - logits.max()).astype(np.float64))
    return np.asarray(powers / powers.sum(), dtype=np.float32)


def top_accuracy(images: Sequence[LabelledImage], best: Sequence[NDArray[np.int64]]) -> TopAccuracy:
    """Score the best classes of every image against the labels.

    Args:
        images: The labelled images, at least one.
        best: ``best_classes`` of each image, same order, at least ``TOP`` wide where the network
            has as many classes.

    Raises:
        GraphError: There is no image, or not one result per image.
    """
    if not images or len(images) != len(best):
        raise GraphError(f"{len(best)} results for {len(images)} labelled images")
    first = sum(int(b[0]) == i.label for i, b in zip(images, best, strict=True))
    among = sum(i.label in b[:TOP].tolist() for i, b in zip(images, best, strict=True))
    return TopAccuracy(len(images), 100.0 * first / len(images), 100.0 * among / len(images))


def read_labels(path: Path, folder: Path) -> tuple[LabelledImage, ...]:
    """Read the labels of the images in a folder.

    Args:
        path: JSON object: file name to class index. Names are relative to ``folder`` or to the
            folder above it; names in other folders beside it are left out.
        folder: Folder of the images.

    Returns:
        At least one, sorted by file name.

    Raises:
        InputFileError: A file is missing or malformed, or an image directly in ``folder`` has no
            label, or a label no image.
    """
    if not folder.is_dir():
        raise InputFileError(f"image folder {folder} is not a folder; give an existing one")
    labels = _read(path)
    name = folder.resolve().name
    from_above = [n for n in labels if n.startswith(f"{name}/")]
    inside = {
        folder / (n.removeprefix(f"{name}/") if from_above else n): labels[n]
        for n in from_above or labels
    }
    missing = [p for p in inside if not p.is_file()]
    if missing:
        raise InputFileError(
            f"labels {path} name {missing[0]}, which does not exist ({len(missing)} in all); give "
            "the folder that the names are relative to with --images"
        )
    here = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    unlabelled = [p for p in here if p not in inside]
    if unlabelled:
        raise InputFileError(
            f"image {unlabelled[0]} has no label in {path} ({len(unlabelled)} in all); add it or "
            "move it away"
        )
    return tuple(LabelledImage(p, label) for p, label in sorted(inside.items()))


def _read(path: Path) -> dict[str, int]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputFileError(f"labels {path} do not exist; give a JSON file") from None
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"labels {path} are not readable JSON: {error}; give an object of file name to class"
        ) from None
    if not isinstance(content, dict) or not content:
        raise InputFileError(f"labels {path} must be a JSON object of file name to class index")
    for name, label in content.items():
        if type(label) is not int or label < 0:
            raise InputFileError(
                f"labels {path}: '{name}' has class {label!r}; need a whole number from 0"
            )
    return content

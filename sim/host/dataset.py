# SPDX-License-Identifier: Apache-2.0
"""Read a COCO annotation file, checked against the images on disk."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import InputFileError
from sim.host.images import read_image

_Keys = Mapping[str, type | tuple[type, ...]]
_IMAGE_KEYS: _Keys = {"id": int, "file_name": str, "width": int, "height": int}
_BOX_KEYS: _Keys = {
    "id": int,
    "image_id": int,
    "category_id": int,
    "bbox": list,
    "area": (int, float),
    "iscrowd": int,
}
_CATEGORY_KEYS: _Keys = {"id": int, "name": str}


@dataclass(frozen=True)
class DatasetImage:
    """One labelled image.

    Attributes:
        image_id: Its number in the annotation file.
        path: The file.
        width: Width in pixels that the annotations refer to.
        height: Height in pixels that the annotations refer to.
    """

    image_id: int
    path: Path
    width: int
    height: int

    def read(self) -> NDArray[np.uint8]:
        """Read the pixels, uint8 [height, width, 3] in the order blue, green, red.

        Raises:
            InputFileError: The file cannot be read, or its size is not the annotated one.
        """
        pixels = read_image(self.path)
        if pixels.shape[:2] != (self.height, self.width):
            raise InputFileError(
                f"image {self.path} is {pixels.shape[1]}x{pixels.shape[0]} pixels, the annotations "
                f"say {self.width}x{self.height}; use the original image"
            )
        return pixels


@dataclass(frozen=True)
class Dataset:
    """A checked COCO annotation file and its images.

    Attributes:
        path: The annotation file.
        images: Its images by rising id.
        categories: Category id of every category name.
        annotations: The boxes as COCO dictionaries, not to be changed.
    """

    path: Path
    images: tuple[DatasetImage, ...]
    categories: Mapping[str, int]
    annotations: tuple[Mapping[str, Any], ...]

    def category_ids(self, class_names: Sequence[str]) -> tuple[int, ...]:
        """Return the category id of every class, matched by name.

        Raises:
            InputFileError: A class is not in the annotation file.
        """
        unknown = [name for name in class_names if name not in self.categories]
        if unknown:
            raise InputFileError(
                f"class '{unknown[0]}' of the model is not among the {len(self.categories)} "
                f"categories of {self.path} ({len(unknown)} of {len(class_names)} classes are "
                "missing); use annotations with the model's class names"
            )
        return tuple(self.categories[name] for name in class_names)


def read_dataset(annotations: Path, images: Path) -> Dataset:
    """Read a COCO ``instances`` file and check it against the image folder.

    Args:
        annotations: The JSON file.
        images: The folder that holds every image named in it.

    Returns:
        The data set.

    Raises:
        InputFileError: The file is missing, no JSON, lacks a key, refers to an unknown image or
            category, holds a malformed box, or an image is not on disk.
    """
    content = _load(annotations)
    records = {}
    for key, keys in (
        ("images", _IMAGE_KEYS),
        ("annotations", _BOX_KEYS),
        ("categories", _CATEGORY_KEYS),
    ):
        records[key] = _records(content, key, keys, annotations)
    known = {record["id"] for record in records["images"]}
    categories = {record["name"]: record["id"] for record in records["categories"]}
    if len(categories) < len(records["categories"]):
        raise InputFileError(f"annotations {annotations} name a category twice; names must differ")
    for box in records["annotations"]:
        _check_box(box, known, set(categories.values()), annotations)
    found = sorted(
        (
            DatasetImage(r["id"], images / r["file_name"], r["width"], r["height"])
            for r in records["images"]
        ),
        key=lambda image: image.image_id,
    )
    absent = [image.path for image in found if not image.path.is_file()]
    if absent:
        raise InputFileError(
            f"image {absent[0]} named in {annotations} does not exist ({len(absent)} of "
            f"{len(found)} are missing); give the folder that holds them"
        )
    return Dataset(annotations, tuple(found), categories, tuple(records["annotations"]))


def _load(path: Path) -> dict[str, Any]:
    """Read the JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputFileError(f"annotations {path} do not exist; give a COCO JSON file") from None
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"annotations {path} are not readable JSON: {error}; give a COCO instances file"
        ) from None
    if not isinstance(content, dict):
        raise InputFileError(f"annotations {path} are no JSON object; give a COCO instances file")
    return content


def _records(content: Mapping[str, Any], key: str, keys: _Keys, path: Path) -> list[dict[str, Any]]:
    """Return the list under ``key``, its records checked for their keys and for unique ids."""
    records = content.get(key)
    if not isinstance(records, list):
        raise InputFileError(f"annotations {path} have no list '{key}'; give a COCO instances file")
    seen: set[int] = set()
    for index, record in enumerate(records):
        where = f"annotations {path}: {key}[{index}]"
        for name, kind in keys.items():
            if not isinstance(record, dict) or name not in record:
                raise InputFileError(f"{where} lacks '{name}'; needed are {', '.join(keys)}")
            if not isinstance(record[name], kind):
                raise InputFileError(
                    f"{where} has '{name}' = {record[name]!r} of the wrong type; correct the file"
                )
        if record["id"] in seen:
            raise InputFileError(f"{where} repeats id {record['id']}; ids must differ")
        seen.add(record["id"])
    return records


def _check_box(box: Mapping[str, Any], images: set[int], categories: set[int], path: Path) -> None:
    """Check one annotation's references and numbers."""
    where = f"annotations {path}: annotation {box['id']}"
    if box["image_id"] not in images:
        raise InputFileError(f"{where} is for image {box['image_id']}, which is not listed; add it")
    if box["category_id"] not in categories:
        raise InputFileError(
            f"{where} has category {box['category_id']}, which is not listed; add it"
        )
    numbers = box["bbox"]
    if (
        len(numbers) != 4
        or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
        or min(numbers[2:]) < 0
    ):
        raise InputFileError(
            f"{where} has bbox {numbers}; need [x, y, width, height], finite, sizes at least 0"
        )

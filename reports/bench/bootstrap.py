# SPDX-License-Identifier: Apache-2.0
"""Is one variant better than another? Paired differences over images and seeds, with an interval.

Both variants have seen the same images with the same seeds. Images and seeds are drawn anew, with
replacement, the same ones for both; the middle 95 % of the differences is the interval. A claim
holds only if that interval leaves out 0.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentiles).
Average precision: COCO's, at 101 recalls, as pycocotools computes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
SEED = 20241104
RECALLS = np.linspace(0.0, 1.0, 101)


class Scores(Protocol):
    """One run's results, image by image."""

    @property
    def images(self) -> int:
        """Number of images."""
        ...

    def total(self, counts: Floats) -> float:
        """Return the score of all images, each counted so often, float64 [images]."""
        ...


@dataclass(frozen=True, eq=False)
class MeanScores:
    """A figure per image whose mean is the score.

    Attributes:
        values: float64 [images].
    """

    values: Floats

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.values)

    def total(self, counts: Floats) -> float:
        """Return the mean of the values, each counted so often."""
        return float((self.values * counts).sum() / counts.sum())


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """Detections of one class, best score first, and what they match.

    Attributes:
        image: int64 [n], position of the image.
        hit: bool [10, n], by IoU threshold: matches a labelled box.
        ignored: bool [10, n], counts neither way.
        labelled: float64 [images], boxes of the class that count.
    """

    image: npt.NDArray[np.int64]
    hit: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]
    labelled: Floats


@dataclass(frozen=True, eq=False)
class BoxScores:
    """Matches of a detector; its score is the mean average precision in percent.

    Attributes:
        images: Number of images.
        classes: By class that has labelled boxes.
    """

    images: int
    classes: tuple[ClassMatches, ...]

    def total(self, counts: Floats) -> float:
        """Return mAP over IoU 0.50 to 0.95, in percent, with each image counted so often."""
        found = []
        for one in self.classes:
            positives = float((one.labelled * counts).sum())
            if positives > 0.0:
                weight = counts[one.image]
                right = np.cumsum((one.hit & ~one.ignored) * weight, axis=1)
                wrong = np.cumsum((~one.hit & ~one.ignored) * weight, axis=1)
                found += [
                    _average_precision(r, w, positives) for r, w in zip(right, wrong, strict=True)
                ]
        return 100.0 * float(np.mean(found)) if found else 0.0


@dataclass(frozen=True)
class Difference:
    """How much better the first of two variants is.

    Attributes:
        mean: Mean difference over seeds, all images.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the interval says that the first is better."""
        return self.low > 0.0


def difference(
    first: Sequence[Scores], second: Sequence[Scores], resamples: int = RESAMPLES
) -> Difference:
    """Return the paired difference of two variants.

    Args:
        first: Results by seed.
        second: Results of the other variant, same seeds, same images.
        resamples: How often images and seeds are drawn.
    """
    images = first[0].images
    mean = mean_score(first) - mean_score(second)
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(resamples):
        counts = np.bincount(rng.integers(0, images, images), minlength=images).astype(np.float64)
        seeds, times = np.unique(rng.integers(0, len(first), len(first)), return_counts=True)
        differences = [first[s].total(counts) - second[s].total(counts) for s in seeds]
        drawn.append(float(np.average(differences, weights=times)))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Difference(mean, float(low), float(high))


def mean_score(runs: Sequence[Scores]) -> float:
    """Return the mean score of several runs, every image counted once."""
    return float(np.mean([run.total(np.ones(run.images)) for run in runs]))


def _average_precision(right: Floats, wrong: Floats, positives: float) -> float:
    recall = right / positives
    precision = right / np.maximum(right + wrong, np.spacing(1.0))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    reached = places < len(best)
    return (
        float(np.where(reached, best[np.minimum(places, len(best) - 1)], 0.0).mean())
        if len(best)
        else 0.0
    )

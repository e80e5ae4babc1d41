# SPDX-License-Identifier: Apache-2.0
"""Recipes: frozen, validated lists of calibration stages, by name or from a TOML file.

A file has one table per stage, in order::

    [[stage]]
    kind = "gptq"
    damping = 0.01

    [[stage]]
    kind = "distill"
    steps = 1200
    enabled = true

A new kind of stage is one more frozen class in ``Stage``; whoever runs stages matches on it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from quant.errors import InputFileError, QuantizationError
from quant.ptq.recipes.blockstages import RepApq, TaskQ
from quant.ptq.recipes.ranges import one_of, within

Gain = Literal["none", "moments", "least-squares"]
Targets = Literal["own", "float"]
GAINS: tuple[str, ...] = get_args(Gain)
Arithmetic = Literal["auto", "float32"]
ARITHMETICS: tuple[str, ...] = get_args(Arithmetic)
TARGETS: tuple[str, ...] = get_args(Targets)


@dataclass(frozen=True)
class Nearest:
    """Round to nearest layer by layer, with a gain and a bias per filter fitted behind it.

    Attributes:
        images: Calibration images that are read.
        columns: Columns (output pixels) of a layer that its statistics hold, over all images.
        gain: Gain per filter: none, the one that keeps the deviation, or that of least error.
        enabled: Whether the stage runs.
    """

    images: int = 32
    columns: int = 20_000
    gain: Gain = "moments"
    enabled: bool = True

    def __post_init__(self) -> None:
        """Check the fields."""
        _check_layerwise("nearest", self.images, self.columns, self.gain)


@dataclass(frozen=True)
class Gptq:
    """Round column by column and let the columns still to come make up for each error.

    Attributes:
        images: Calibration images that are read.
        columns: Columns of a layer that its statistics hold, over all images.
        gain: Gain per filter behind it.
        damping: Added to the Hessian's diagonal, as a share of its mean.
        act_order: Whether columns of large input energy come first.
        block: Columns whose errors reach the rest at once.
        targets: ``own``: the outputs of the float weights on the rounded inputs are aimed at;
            ``float``: those of the float network, whatever the rounded inputs. The second makes
            every tensor's error smaller (1 to 2 dB at the heads of YOLOv5n), and detectors worse:
            it also fits the rounding noise of the few images.
        enabled: Whether the stage runs.
    """

    images: int = 32
    columns: int = 20_000
    gain: Gain = "moments"
    damping: float = 0.01
    act_order: bool = True
    block: int = 128
    targets: Targets = "own"
    enabled: bool = True

    def __post_init__(self) -> None:
        """Check the fields."""
        _check_layerwise("gptq", self.images, self.columns, self.gain)
        within("gptq", "damping", self.damping, 1e-6, 1.0)
        within("gptq", "block", self.block, 1, 4096)
        one_of("gptq", "targets", self.targets, TARGETS)


@dataclass(frozen=True)
class AdaRound:
    """Learn for each weight whether it rounds up or down, layer by layer.

    Attributes:
        images: Calibration images that are read.
        columns: Columns of a layer that its statistics hold, over all images.
        gain: Gain per filter behind it.
        damping: As for GPTQ.
        iterations: Steps of Adam.
        rate: Its learning rate.
        pull: Weight of the term that drives every choice to up or down.
        targets: As for GPTQ.
        enabled: Whether the stage runs.
    """

    images: int = 32
    columns: int = 20_000
    gain: Gain = "moments"
    damping: float = 0.01
    iterations: int = 600
    rate: float = 0.02
    pull: float = 0.01
    targets: Targets = "own"
    enabled: bool = True

    def __post_init__(self) -> None:
        """Check the fields."""
        _check_layerwise("adaround", self.images, self.columns, self.gain)
        within("adaround", "damping", self.damping, 1e-6, 1.0)
        within("adaround", "iterations", self.iterations, 1, 100_000)
        within("adaround", "rate", self.rate, 1e-6, 1.0)
        within("adaround", "pull", self.pull, 0.0, 100.0)
        one_of("adaround", "targets", self.targets, TARGETS)


@dataclass(frozen=True)
class Distill:
    """Train the whole rounded network towards the float one; rounding passes gradients straight.

    Attributes:
        steps: Steps of Adam; a time limit may lower it.
        batch: Images of a step; 0 takes about as many pixels as two images of 640 x 640 have.
        crop: Side of the random crops, as a share of the input; 1 keeps whole images.
        reach: Largest share of the input that a crop shows, made smaller to its size; as ``crop``
            or less, all crops keep the images' own size.
        weight_rate: Learning rate of weights, as a share of half their levels' span.
        scale_rate: Learning rate of weight scales (their logarithms).
        bias_rate: Learning rate of biases, in units of the layer's outputs.
        range_rate: Learning rate of activation scales (their logarithms).
        feature: Weight of the inner tensors' error beside the outputs'.
        arithmetic: ``auto`` multiplies bfloat16 where the processor is made for it; ``float32``.
        save_every: Steps between two saved states.
        seed: Of crops, flips and order.
        enabled: Whether the stage runs.
    """

    steps: int = 1000
    batch: int = 8
    crop: float = 0.5
    reach: float = 0.5
    weight_rate: float = 8e-4
    scale_rate: float = 3e-4
    bias_rate: float = 5e-4
    range_rate: float = 3e-4
    feature: float = 1.0
    arithmetic: Arithmetic = "auto"
    save_every: int = 100
    seed: int = 1
    enabled: bool = True

    def __post_init__(self) -> None:
        """Check the fields."""
        within("distill", "steps", self.steps, 1, 1_000_000)
        within("distill", "batch", self.batch, 0, 256)
        within("distill", "crop", self.crop, 0.1, 1.0)
        within("distill", "reach", self.reach, 0.1, 1.0)
        one_of("distill", "arithmetic", self.arithmetic, ARITHMETICS)
        for name in ("weight_rate", "scale_rate", "bias_rate", "range_rate"):
            within("distill", name, getattr(self, name), 0.0, 0.1)
        within("distill", "feature", self.feature, 0.0, 100.0)
        within("distill", "save_every", self.save_every, 1, 1_000_000)
        within("distill", "seed", self.seed, 0, 2**31 - 1)


Layerwise = Nearest | Gptq | AdaRound
Stage = Layerwise | RepApq | TaskQ | Distill
KINDS: dict[str, type[Stage]] = {
    "nearest": Nearest,
    "gptq": Gptq,
    "adaround": AdaRound,
    "repapq": RepApq,
    "taskq": TaskQ,
    "distill": Distill,
}


def kind_of(stage: Stage) -> str:
    """Return the name of a stage's kind."""
    return next(name for name, kind in KINDS.items() if type(stage) is kind)


@dataclass(frozen=True)
class Recipe:
    """A list of stages.

    Attributes:
        name: What the user named.
        stages: In order; those that are not enabled are passed over.
    """

    name: str
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        """Check the order.

        Raises:
            QuantizationError: A stage would throw away what an earlier one found.
        """
        seen: list[str] = []
        for stage in self.active:
            if isinstance(stage, Layerwise) and seen:
                raise QuantizationError(
                    f"recipe '{self.name}': '{kind_of(stage)}' after '{seen[-1]}' would start from "
                    "the float weights again; put it first and disable the other"
                )
            seen.append(kind_of(stage))

    @property
    def active(self) -> tuple[Stage, ...]:
        """The stages that run."""
        return tuple(stage for stage in self.stages if stage.enabled)

    @property
    def has_blocks(self) -> bool:
        """Whether a stage that runs goes block by block."""
        return any(isinstance(stage, RepApq | TaskQ) for stage in self.active)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "name": self.name,
            "stages": [{"kind": kind_of(stage), **asdict(stage)} for stage in self.stages],
        }


def recipe_of(name: str) -> Recipe:
    """Return the recipe of that name, or of the TOML file of that path.

    Raises:
        InputFileError: There is neither, or the file cannot be read.
        QuantizationError: The file names an unknown stage or field, or a value is out of range.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise InputFileError(
            f"recipe '{name}' is unknown; choose {', '.join(RECIPES)}, or name a .toml file"
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFileError(f"recipe {path} cannot be read as TOML: {error}") from None
    stages = content.get("stage")
    tables = isinstance(stages, list) and all(isinstance(stage, dict) for stage in stages)
    if set(content) != {"stage"} or not tables or not isinstance(stages, list):
        raise QuantizationError(f"recipe {path} must hold [[stage]] tables and nothing else")
    return Recipe(name, tuple(_stage(table, path) for table in stages))


def _stage(table: Mapping[str, Any], path: Path) -> Stage:
    values = dict(table)
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise QuantizationError(
            f"recipe {path}: a stage has kind {kind!r}; choose {', '.join(KINDS)}"
        )
    known = {field.name: field.default for field in fields(KINDS[kind])}
    for name, value in values.items():
        if name not in known:
            raise QuantizationError(
                f"recipe {path}: '{kind}' has no '{name}'; it has {', '.join(known)}"
            )
        wanted = type(known[name])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise QuantizationError(
                f"recipe {path}: '{name}' of '{kind}' is {value!r}; it must be {_article(wanted)}"
            )
    return KINDS[kind](**values)


def _article(wanted: type) -> str:
    names = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
    return names[wanted]


def _check_layerwise(kind: str, images: int, columns: int, gain: str) -> None:
    within(kind, "images", images, 1, 100_000)
    within(kind, "columns", columns, 1, 10_000_000)
    one_of(kind, "gain", gain, GAINS)


# Below the checks that making a stage runs. On YOLOv5n, weights alone at a ratio of 3.5, faster
# weights on small crops end below the mAP that GPTQ leaves, whole images at this rate above it.
# Ranges of 4-bit activations have further to go: at 5e-3 the loss falls faster than at 1e-3.
_THOROUGH = Gptq(images=128, columns=60_000)
_GENTLE = Distill(steps=800, batch=0, crop=1.0, reach=1.0, weight_rate=2e-4, range_rate=2e-3)
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("rtn", ()),
        Recipe("gptq", (Gptq(),)),
        Recipe("adaround", (AdaRound(),)),
        Recipe("repapq", (Gptq(), RepApq())),
        Recipe("taskq", (Gptq(), TaskQ())),
        Recipe("distill", (Nearest(), Distill())),
        Recipe("best", (_THOROUGH, _GENTLE)),
        Recipe("best-long", (_THOROUGH, replace(_GENTLE, steps=6000))),
    )
}
RTN = RECIPES["rtn"]

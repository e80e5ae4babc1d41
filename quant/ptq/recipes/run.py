# SPDX-License-Identifier: Apache-2.0
"""Runs a recipe: stage after stage, each from what the one before found."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
import numpy.typing as npt
import torch

from quant.errors import QuantizationError
from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.hostspec import HostSpec
from quant.ptq.formats import FormatPlan, merged_rows
from quant.ptq.lower import edge_names, least_scale
from quant.ptq.recipes.blockchoice import chosen_blocks
from quant.ptq.recipes.blockstages import RepApq, TaskQ
from quant.ptq.recipes.blockwise import BlockwisePass
from quant.ptq.recipes.distill import Distillation
from quant.ptq.recipes.images import ImageCodes
from quant.ptq.recipes.layerwise import LayerTask, LayerwisePass
from quant.ptq.recipes.network import FormattedNetwork
from quant.ptq.recipes.recipe import AdaRound, Distill, Gptq, Nearest, Recipe
from quant.ptq.recipes.solution import Calibrated, LayerSolution
from quant.ptq.recipes.workspace import Workspace, task_key
from quant.ptq.schemes.setting import quantize_layer
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import Step
from quant.ptq.study import ENERGY_IMAGES, input_energy

Floats = npt.NDArray[np.float64]
Bars = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def no_bars(what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Show nothing: progress for those who do not watch."""
    return nullcontext(lambda count: None)


@dataclass(frozen=True)
class RunOptions:
    """Where and how long a recipe runs.

    Attributes:
        folder: Keeps images and finished work; ``None`` keeps them in memory only.
        device: ``cpu`` or ``cuda``.
        minutes: Limit of the whole recipe; the number of training steps follows from it.
        bars: Shows progress.
        blocks: Where blocks end, for the stages that have blocks: names with commas between them,
            or a TOML file; ``None`` finds blocks by structure.
    """

    folder: Path | None = None
    device: str = "cpu"
    minutes: float | None = None
    bars: Bars = no_bars
    blocks: str | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            QuantizationError: The device is not there, or the time is no time.
        """
        if self.device not in ("cpu", "cuda"):
            raise QuantizationError(f"--device '{self.device}' is unknown; choose cpu or cuda")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise QuantizationError("--device cuda: no CUDA device is there; use cpu")
        if self.minutes is not None and not 0.0 < self.minutes <= 100_000.0:
            raise QuantizationError(f"--minutes {self.minutes} must be above 0")


def run_recipe(
    recipe: Recipe,
    graph: FloatGraph,
    steps: tuple[Step, ...],
    host: HostSpec,
    plan: FormatPlan | None,
    settings: QuantizeSettings,
    images: ImageCodes,
    options: RunOptions,
) -> Calibrated:
    """Run the stages of a recipe.

    Args:
        recipe: At least one stage is enabled.
        graph: The float network.
        steps: Its steps.
        host: Says what the outputs mean; output names are those of float tensors.
        plan: Formats of tensors; ``None`` where activations stay float.
        settings: Bits and schemes of weights.
        images: Calibration images.
        options: Device, time, folder, progress.

    Returns:
        Layers and formats.

    Raises:
        InputFileError: The file of blocks cannot be read.
        QuantizationError: A block cannot be.
    """
    deadline = None if options.minutes is None else time.monotonic() + 60.0 * options.minutes
    device = torch.device(options.device)
    facts = {"recipe": recipe.to_json(), "settings": settings.to_json(), "host": host.to_json()}
    blocks = chosen_blocks(graph, steps, options.blocks)
    words = [repr(plan), options.device, f"{torch.get_num_threads()} threads", torch.__version__]
    words.append(repr(blocks))
    workspace = Workspace(options.folder, task_key(graph, images.codes, facts, words))
    tasks = _Tasks(graph, steps, plan, settings, images)
    found: Calibrated | None = None
    notes: list[str] = []
    for number, stage in enumerate(recipe.active):
        match stage:
            case Nearest() | Gptq() | AdaRound():
                network = FormattedNetwork(graph, steps, plan, device)
                task = LayerwisePass(network, stage, number, tasks.of, workspace)
                found = Calibrated(task.run(images, options.bars, options.folder), plan)
            case RepApq() | TaskQ():
                start = found or Calibrated(tasks.nearest(), plan)
                formats = start.plan
                if isinstance(stage, TaskQ) and not stage.stahq and formats is not None:
                    formats = merged_rows(formats)
                network = FormattedNetwork(graph, steps, formats, device)
                blockwise = BlockwisePass(network, host, stage, blocks, start.layers)
                limit = _share_of(deadline, len(recipe.active) - number)
                found = blockwise.run(
                    images, workspace, number, options.bars, options.folder, limit
                )
                notes += found.notes
            case Distill():
                start = found or Calibrated(tasks.nearest(), plan)
                network = FormattedNetwork(graph, steps, start.plan, device)
                work = Distillation(network, host, stage, start.layers, images)
                found, told = work.run(workspace, number, options.bars, deadline)
                notes.append(
                    f"distilled {told.steps} steps of {work.batch} images; loss "
                    f"{told.first_loss:.4g} at first, {told.last_loss:.4g} at last"
                )
            case _:
                assert_never(stage)
    if found is None:
        raise TypeError(f"recipe '{recipe.name}' has no stage to run")
    return Calibrated(found.layers, found.plan, tuple(notes))


def _share_of(deadline: float | None, stages: int) -> float | None:
    """Return when a stage must be done that leaves as much time to each of those behind it."""
    if deadline is None:
        return None
    now = time.monotonic()
    return now + (deadline - now) / stages


class _Tasks:
    """What each layer is rounded to."""

    def __init__(
        self,
        graph: FloatGraph,
        steps: tuple[Step, ...],
        plan: FormatPlan | None,
        settings: QuantizeSettings,
        images: ImageCodes,
    ) -> None:
        self._graph, self._images = graph, images
        self._steps = {s.name: s for s in steps if isinstance(s.op, FloatConv | FloatLinear)}
        self._edges = edge_names(steps, {s.name for s in steps})
        self._name_of = {s.result: s.name for s in steps}
        self._plan = plan
        self._settings = settings

    def of(self, name: str, bias: Floats) -> LayerTask:
        """Return the task of a layer with that bias."""
        bits = self._settings.weight_bits_of(name, edge=name in self._edges)
        least = None
        if self._plan is not None:
            op = self._steps[name].op
            if not isinstance(op, FloatConv | FloatLinear):
                raise TypeError(f"'{name}' is no layer")
            source = self._plan.formats[self._name_of[op.source]]
            least = least_scale(bias, source, self._plan.formats[name])
        return LayerTask(self._settings.weights_of(bits), least)

    def nearest(self) -> dict[str, LayerSolution]:
        """Return every layer rounded to nearest, with its float bias."""
        found = {}
        importance: Mapping[str, Floats] = {}
        if self._settings.weight_error == "outputs":
            few = self._images.real(self._images.codes[:ENERGY_IMAGES])
            importance = input_energy(self._graph, few)
        for name, step in self._steps.items():
            op = step.op
            if isinstance(op, FloatConv | FloatLinear):
                bias = op.bias.astype(np.float64)
                task = self.of(name, bias)
                weight = op.weight if isinstance(op, FloatConv) else op.weight[:, :, None, None]
                counts = importance.get(name)
                layer = quantize_layer(weight, task.setting, counts, task.least_scale)
                found[name] = LayerSolution(layer.weights, bias)
        return found

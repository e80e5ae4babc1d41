# SPDX-License-Identifier: Apache-2.0
"""Runs a recipe: stage after stage, each from what the one before found."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from quant.errors import QuantizationError
from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.hostspec import HostSpec
from quant.ptq.formats import FormatPlan
from quant.ptq.lower import edge_names, least_scale
from quant.ptq.recipes.distill import Distillation
from quant.ptq.recipes.images import ImageCodes
from quant.ptq.recipes.layerwise import LayerTask, LayerwisePass
from quant.ptq.recipes.network import FormattedNetwork
from quant.ptq.recipes.recipe import Distill, Recipe
from quant.ptq.recipes.solution import Calibrated, LayerSolution
from quant.ptq.recipes.workspace import Workspace, task_key
from quant.ptq.schemes.setting import quantize_layer
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import Step

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
    """

    folder: Path | None = None
    device: str = "cpu"
    minutes: float | None = None
    bars: Bars = no_bars

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
    """
    deadline = None if options.minutes is None else time.monotonic() + 60.0 * options.minutes
    device = torch.device(options.device)
    facts = {"recipe": recipe.to_json(), "settings": settings.to_json(), "host": host.to_json()}
    words = [repr(plan), options.device, f"{torch.get_num_threads()} threads", torch.__version__]
    workspace = Workspace(options.folder, task_key(graph, images.codes, facts, words))
    tasks = _Tasks(graph, steps, plan, settings)
    found = Calibrated(tasks.nearest(), plan) if isinstance(recipe.active[0], Distill) else None
    notes: list[str] = []
    for number, stage in enumerate(recipe.active):
        network = FormattedNetwork(graph, steps, plan if found is None else found.plan, device)
        if isinstance(stage, Distill):
            if found is None:
                raise TypeError("a distillation starts from layers")
            work = Distillation(network, host, stage, found.layers, images)
            found, told = work.run(workspace, number, options.bars, deadline)
            notes.append(
                f"distilled {told.steps} steps of {stage.batch} images; loss {told.first_loss:.4g} "
                f"at first, {told.last_loss:.4g} at last"
            )
        else:
            task = LayerwisePass(network, stage, number, tasks.of, workspace)
            layers = task.run(images, options.bars, options.folder)
            found = Calibrated(layers, plan)
    if found is None:
        raise TypeError(f"recipe '{recipe.name}' has no stage to run")
    return Calibrated(found.layers, found.plan, tuple(notes))


class _Tasks:
    """What each layer is rounded to."""

    def __init__(
        self,
        graph: FloatGraph,
        steps: tuple[Step, ...],
        plan: FormatPlan | None,
        settings: QuantizeSettings,
    ) -> None:
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
        for name, step in self._steps.items():
            op = step.op
            if isinstance(op, FloatConv | FloatLinear):
                bias = op.bias.astype(np.float64)
                task = self.of(name, bias)
                weight = op.weight if isinstance(op, FloatConv) else op.weight[:, :, None, None]
                layer = quantize_layer(weight, task.setting, least_scale=task.least_scale)
                found[name] = LayerSolution(layer.weights, bias)
        return found

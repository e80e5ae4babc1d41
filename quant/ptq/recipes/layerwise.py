# SPDX-License-Identifier: Apache-2.0
"""Layer by layer through the network: each one is rounded knowing what its rounded inputs are.

All images wait at one place of the network, once as the float network has them and once as the
rounded one has them; the layer there is solved, and they move on behind it. Finished layers are
kept, and an interrupted run takes them as they are.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatConv, FloatInput, FloatLinear
from quant.ptq.correct import GAIN_LIMIT
from quant.ptq.executor import activate, apply_op
from quant.ptq.recipes.adaround import adaround
from quant.ptq.recipes.gptq import gptq
from quant.ptq.recipes.grid import Grid, in_groups
from quant.ptq.recipes.images import ImageCodes
from quant.ptq.recipes.network import FormattedNetwork, float_parameters, shaped
from quant.ptq.recipes.recipe import AdaRound, Gain, Gptq, Layerwise, Nearest, kind_of
from quant.ptq.recipes.solution import LayerSolution, scale_per_filter
from quant.ptq.recipes.spool import Spool, spool
from quant.ptq.recipes.statistics import Moments, MomentSums
from quant.ptq.recipes.workspace import Workspace
from quant.ptq.schemes.setting import Setting, quantize_layer
from quant.ptq.steps import Step
from quant.weights import Weights

Floats = npt.NDArray[np.float64]
Bars = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

# Inputs of no energy still count a little, so that a grid fits every weight.
LEAST_IMPORTANCE = 1e-4


@dataclass(frozen=True)
class LayerTask:
    """What the rounding of a layer must keep to.

    Attributes:
        setting: Bits, scheme, granularity.
        least_scale: float64 [F], least weight scale at which the bias fits; ``None`` without one.
    """

    setting: Setting
    least_scale: Floats | None


class LayerwisePass:
    """One layerwise stage on one network."""

    def __init__(
        self,
        network: FormattedNetwork,
        stage: Layerwise,
        number: int,
        task_of: Callable[[str, Floats], LayerTask],
        workspace: Workspace,
    ) -> None:
        """Prepare.

        Args:
            network: The network with its formats.
            stage: What to do.
            number: Its place in the recipe.
            task_of: Gives a layer's task from its name and its float bias.
            workspace: Keeps finished layers.
        """
        self._network = network
        self._stage = stage
        self._number = number
        self._task_of = task_of
        self._workspace = workspace
        self._floats = float_parameters(network.graph, network.device)
        layers = [s.name for s in network.steps if isinstance(s.op, FloatConv | FloatLinear)]
        self._numbers = {name: index for index, name in enumerate(layers)}

    def run(self, images: ImageCodes, bars: Bars, scratch: Path | None) -> dict[str, LayerSolution]:
        """Go through the network once.

        Args:
            images: Calibration images; the stage's number of them, spread over all, is read.
            bars: Shows progress.
            scratch: Folder for tensors that do not fit in memory.

        Returns:
            Every layer, by name.
        """
        chosen = spread(len(images), self._stage.images)
        count = len(chosen)
        solved: dict[str, LayerSolution] = {}
        what = f"{kind_of(self._stage)}, layers"
        with (
            torch.no_grad(),
            spool(scratch) as exact,
            spool(scratch) as coarse,
            bars(what, len(self._numbers)) as advance,
        ):
            for step in self._network.steps:
                sources = self._network.sources_of[step.name]
                if isinstance(step.op, FloatInput):
                    for i, place in enumerate(chosen):
                        image = torch.from_numpy(images.real(images.codes[place][None]))
                        exact.put(step.name, i, image)
                        coarse.put(step.name, i, image)
                elif isinstance(step.op, FloatConv | FloatLinear):
                    solution = self._layer(step, step.op, sources[0], count, exact, coarse)
                    solved[step.name] = solution
                    self._forward(step, step.op, sources[0], count, coarse, solution)
                    advance(1)
                else:
                    self._move_on(step, sources, count, exact, coarse)
                for name in self._network.freed_after[step.name]:
                    exact.drop(name, count)
                    coarse.drop(name, count)
        return solved

    def _layer(
        self,
        step: Step,
        op: FloatConv | FloatLinear,
        source: str,
        count: int,
        exact: Spool,
        coarse: Spool,
    ) -> LayerSolution:
        """Move the float images behind the layer and return its solution."""
        found = self._workspace.load_layer(self._number, step.name)
        number = self._numbers[step.name]
        sums = MomentSums(op, self._stage.columns, count, number)
        own = isinstance(self._stage, Gptq | AdaRound) and self._stage.targets == "own"
        device = self._network.device
        for i in range(count):
            x = exact.get(source, i).to(device)
            y = apply_op(op, [x], self._floats[step.name])
            if found is None:
                inputs = coarse.get(source, i).to(device)
                wanted = apply_op(op, [inputs], self._floats[step.name]) if own else y
                sums.see(inputs, wanted, i)
            if step.activation is not None:
                y = activate(y, step.activation)
            exact.put(step.name, i, y)
        if found is None:
            found = self._solve(step.name, op, sums.moments())
            self._workspace.save_layer(self._number, step.name, found)
        return found

    def _solve(self, name: str, op: FloatConv | FloatLinear, moments: Moments) -> LayerSolution:
        task = self._task_of(name, op.bias.astype(np.float64))
        solution = solve(op, moments, self._stage, task, self._network.device)
        gain: Gain = self._stage.gain
        if isinstance(op, FloatLinear):  # one column per image: too few for a gain
            gain = "none"
        return refit(solution, moments, gain)

    def _forward(
        self,
        step: Step,
        op: FloatConv | FloatLinear,
        source: str,
        count: int,
        coarse: Spool,
        solution: LayerSolution,
    ) -> None:
        device = self._network.device
        weight = shaped(op, torch.from_numpy(solution.real).float().to(device))
        bias = torch.from_numpy(solution.bias).float().to(device)
        for i in range(count):
            x = coarse.get(source, i).to(device)
            coarse.put(step.name, i, self._network.apply(step, [x], (weight, bias)))

    def _move_on(
        self, step: Step, sources: tuple[str, ...], count: int, exact: Spool, coarse: Spool
    ) -> None:
        device = self._network.device
        for i in range(count):
            value = apply_op(step.op, [exact.get(s, i).to(device) for s in sources])
            if step.activation is not None:
                value = activate(value, step.activation)
            exact.put(step.name, i, value)
            rough = [coarse.get(s, i).to(device) for s in sources]
            coarse.put(step.name, i, self._network.apply(step, rough))


def spread(total: int, wanted: int) -> list[int]:
    """Return at most ``wanted`` of the numbers below ``total``, evenly spread."""
    count = min(total, wanted)
    return [index * total // count for index in range(count)]


def solve(
    op: FloatConv | FloatLinear,
    moments: Moments,
    stage: Layerwise,
    task: LayerTask,
    device: torch.device,
) -> LayerSolution:
    """Round one layer; the bias is the float one.

    Args:
        op: The layer.
        moments: Of its inputs and wanted outputs.
        stage: How.
        task: What to keep to.
        device: Where the moments live.
    """
    groups = moments.hessian.shape[0]
    weight = op.weight if isinstance(op, FloatConv) else op.weight[:, :, None, None]
    exact = in_groups(weight.astype(np.float64), groups).to(device)
    damping = stage.damping if isinstance(stage, Gptq | AdaRound) else 0.0
    wanted = exact if isinstance(stage, Nearest) else moments.best_weights(exact, damping)
    aimed = wanted.cpu().numpy().reshape(weight.shape).astype(np.float32)
    found = quantize_layer(
        aimed, task.setting, _importance(moments, weight.shape), task.least_scale
    )
    weights = found.weights
    grid = Grid.of(weights, groups, device)
    match stage:
        case Nearest():
            return LayerSolution(weights, op.bias.astype(np.float64))
        case Gptq():
            codes = gptq(
                wanted,
                moments.hessian,
                grid,
                damping=stage.damping,
                act_order=stage.act_order,
                block=stage.block,
            )
        case AdaRound():
            codes = adaround(
                wanted,
                moments,
                grid,
                iterations=stage.iterations,
                rate=stage.rate,
                pull=stage.pull,
            )
        case _:
            assert_never(stage)
    plain = grid.nearest(wanted)
    # A filter keeps plain rounding where the solver, greedy or stopped early, is no better.
    better = moments.error(grid.values(codes)) < moments.error(grid.values(plain))
    codes = torch.where(better[:, :, None], codes, plain)
    stored = codes.cpu().numpy().astype(np.uint8).reshape(weights.shape)
    return LayerSolution(replace(weights, codes=stored), op.bias.astype(np.float64))


def refit(solution: LayerSolution, moments: Moments, gain: Gain) -> LayerSolution:
    """Return the layer with a gain and a bias per filter that bring its outputs near the wanted.

    Both cost nothing at run time: the gain goes into the weight scale, hence the requantizer.

    Args:
        solution: The rounded layer.
        moments: Of its inputs and wanted outputs.
        gain: Which gain; the bias always takes out the mean error.
    """
    groups = moments.hessian.shape[0]
    weights = in_groups(solution.real, groups).to(moments.hessian.device)
    energy = ((weights @ moments.hessian) * weights).sum(2)
    match gain:
        case "none":
            factor = torch.ones_like(energy)
        case "moments":
            factor = (moments.output_energy / energy.clamp(min=1e-300)).sqrt()
        case "least-squares":
            factor = (weights * moments.cross).sum(2) / energy.clamp(min=1e-300)
        case _:
            assert_never(gain)
    usable = (energy > 0.0) & (moments.output_energy > 0.0)
    factor = torch.where(usable, factor, 1.0).clamp(1.0 / GAIN_LIMIT, GAIN_LIMIT)
    scale = scale_per_filter(solution.weights) * factor.reshape(-1).cpu().numpy()
    moved: Weights = replace(solution.weights, scale=scale.astype(np.float32))
    real = in_groups(LayerSolution(moved, solution.bias).real, groups).to(weights.device)
    mean = (real @ moments.input_mean[:, :, None])[:, :, 0]
    bias = (moments.output_mean - mean).reshape(-1).cpu().numpy()
    return LayerSolution(moved, bias)


def _importance(moments: Moments, shape: tuple[int, ...]) -> Floats:
    """Return the input energy that each weight meets, float64 [F, C/groups, KH, KW]."""
    energy = moments.hessian.diagonal(dim1=1, dim2=2).cpu().numpy()
    energy = np.maximum(energy, LEAST_IMPORTANCE * max(float(energy.mean()), 1e-30))
    per_filter = np.repeat(energy, shape[0] // energy.shape[0], axis=0)
    return np.asarray(per_filter.reshape(shape))

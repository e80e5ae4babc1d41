# SPDX-License-Identifier: Apache-2.0
"""One unit is trained: its rounded steps against the float network, the steps behind it in float.

A step reads the same window of a few images twice: as the float network has them, which gives the
aim, and as the rounded network has them so far, which goes through the unit. What both send on
through the rest of the stage (``L = |y - y*| + place / length * |S - S*|``) and, where the unit
answers for detections, through the rest of the network, is compared too.

Source: RepAPQ, arXiv 2402.16121 (across-block calibration; the weights of the stage's error are
this project's reconstruction); TASKQ, ICRA 2026; mixed inputs: Wei et al., QDrop, ICLR 2022.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from quant.hostspec import HostSpec
from quant.ptq.executor import activate, apply_op
from quant.ptq.recipes.adaround import FREE_SHARE, SHARPNESS
from quant.ptq.recipes.blocks import StepGraph
from quant.ptq.recipes.blockstages import RepApq, TaskQ
from quant.ptq.recipes.detection import detection_loss, head_maps
from quant.ptq.recipes.losses import divergence
from quant.ptq.recipes.network import FormattedNetwork
from quant.ptq.recipes.parts import windows_of
from quant.ptq.recipes.tuned import TunedLayer
from quant.ptq.recipes.units import Task, TaskRows, Unit

Parameters = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
Tensors = dict[str, torch.Tensor]
# Gives a source's tensor [1, C, H, W] by name, image, and whether it is the float network's.
Read = Callable[[str, int, bool], torch.Tensor]

# Batches on which the sizes of two losses' gradients are compared.
BALANCE_BATCHES = 4
# A time limit is turned into a number of steps after so many of them.
TIMED_STEPS = 6


@dataclass(frozen=True)
class Fit:
    """What a unit's training says about itself.

    Attributes:
        steps: Steps made.
        first_loss: Mean reconstruction error of the first tenth of them.
        last_loss: Mean of the last tenth.
    """

    steps: int
    first_loss: float
    last_loss: float


@dataclass(frozen=True, eq=False)
class UnitTask:
    """What one unit's training needs to know beside the stage.

    Attributes:
        unit: The unit.
        number: Its number in the pass: images and windows depend on it.
        rest: Steps behind it that run in float, in graph order.
        beside: Finished outputs of the heads that it answers for.
        classes: Numbers of the formats' classes whose scales it may move.
    """

    unit: Unit
    number: int
    rest: tuple[str, ...]
    beside: tuple[str, ...]
    classes: tuple[int, ...]


class Reconstruction:
    """Trains the layers and activation scales of one unit."""

    def __init__(
        self,
        network: FormattedNetwork,
        lines: StepGraph,
        floats: Parameters,
        host: HostSpec,
        stage: RepApq | TaskQ,
        task: UnitTask,
        layers: Mapping[str, TunedLayer],
    ) -> None:
        """Prepare.

        Args:
            network: The network with its formats; its stretches are trained.
            lines: Of the network.
            floats: Float weight and bias of every layer.
            host: Says what the outputs mean.
            stage: Method, rates, steps.
            task: The unit and what stands behind it.
            layers: The unit's layers.
        """
        self._network, self._lines, self._floats = network, lines, floats
        self._host, self._stage, self._task, self._layers = host, stage, task, layers
        self._output_of = {
            tensor: name
            for tensor, name in ((network.result_of[n], n) for n in network.result_of)
            if any(tensor in scale for scale in host.outputs)
        }
        inside = {*task.unit.steps, *task.rest}
        read = [s for name in inside for s in lines.sources[name] if s not in inside]
        self.sources = lines.in_order([*read, *task.beside])
        self._windows = windows_of(lines, self.sources, (*task.unit.steps, *task.rest), stage.crop)
        rates = {
            "weight": stage.weight_rate,
            "scale": stage.scale_rate,
            "affine": stage.affine_rate if stage.qprep else 0.0,
        }
        pairs = [pair for layer in layers.values() for pair in layer.parameters(rates)]
        if stage.range_rate > 0.0:
            pairs += [(stage.range_rate, network.stretches[n]) for n in task.classes]
        self._pairs = pairs

    def run(self, read: Read, images: int, until: float | None) -> Fit:
        """Train.

        Args:
            read: Gives the sources' tensors.
            images: Number of images.
            until: ``time.monotonic()`` at which to be done, or ``None``.
        """
        stage = self._stage
        for _, tensor in self._pairs:
            tensor.requires_grad_()
        groups = [{"params": [t], "lr": rate, "base": rate} for rate, t in self._pairs]
        if not groups:
            return Fit(0, 0.0, 0.0)
        adam = torch.optim.Adam(groups, betas=(0.9, 0.99))
        balance = self._balance(read, images)
        planned, done, losses = stage.steps, 0, []
        begin = time.monotonic()
        while done < planned:
            factor = 0.5 * (1.0 + math.cos(math.pi * done / planned))
            for group in adam.param_groups:
                group["lr"] = group["base"] * factor
            with torch.enable_grad():
                made, wanted = self._forward(read, images, done)
                loss = self._error(made, wanted)
                losses.append(float(loss.detach()))
                if balance > 0.0:
                    loss = loss + balance * self._detection(made, wanted)
                loss = loss + self._pull(done, planned, losses[0])
                adam.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            for layer in self._layers.values():
                layer.confine()
            done += 1
            if until is not None and done == TIMED_STEPS:
                now = time.monotonic()
                fitting = int((until - now) / ((now - begin) / done))
                planned = min(planned, done + max(0, fitting))
        for _, tensor in self._pairs:
            tensor.requires_grad_(False)
        tenth = max(1, len(losses) // 10)
        return Fit(done, float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:])))

    def _forward(self, read: Read, images: int, step: int) -> tuple[Tensors, Tensors]:
        """Return what both networks make of a step's windows, by step name."""
        stage, unit = self._stage, self._task.unit
        rng = np.random.default_rng([stage.seed, self._task.number, step])
        chosen = rng.choice(images, min(stage.batch, images), replace=False)
        corners = [self._windows.draw(rng) for _ in chosen]

        def cut(name: str, exact: bool) -> torch.Tensor:
            parts = [
                self._windows.cut(name, read(name, int(image), exact), corner)
                for image, corner in zip(chosen, corners, strict=True)
            ]
            return torch.cat(parts).to(self._network.device)

        exact = {name: cut(name, True) for name in self.sources}
        coarse = {name: cut(name, False) for name in self.sources}
        with torch.no_grad():
            wanted = self._float_steps((*unit.steps, *self._task.rest), exact)
        made = dict(coarse)
        if stage.float_inputs > 0.0:
            for name in unit.sources:
                made[name] = _mixed(exact[name], coarse[name], stage.float_inputs, rng)
        for name in unit.steps:
            layer = self._layers.get(name)
            sources = [made[s] for s in self._lines.sources[name]]
            parameters = None if layer is None else layer.real()
            made[name] = self._network.apply(self._lines.steps[name], sources, parameters)
        made |= {name: coarse[name] for name in unit.sources}
        return self._float_steps(self._task.rest, made), wanted

    def _float_steps(self, names: Sequence[str], given: Mapping[str, torch.Tensor]) -> Tensors:
        values = dict(given)
        for name in names:
            step = self._lines.steps[name]
            sources = [values[s] for s in self._lines.sources[name]]
            value = apply_op(step.op, sources, self._floats.get(name))
            values[name] = value if step.activation is None else activate(value, step.activation)
        return values

    def _error(self, made: Tensors, wanted: Tensors) -> torch.Tensor:
        """Return the unit's own error and that of its stage."""
        unit = self._task.unit
        terms = [
            self._task_error(made[name], wanted[name], unit.tasks[name])
            if name in unit.tasks
            else self._difference(made[name], wanted[name])
            for name in unit.outputs
        ]
        if unit.stage_weight > 0.0 and unit.stage_output not in unit.tasks:
            name = unit.stage_output
            terms.append(unit.stage_weight * self._difference(made[name], wanted[name]))
        return torch.stack(terms).sum()

    def _difference(self, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        mse = self._stage.error == "mse"
        return F.mse_loss(made, wanted) if mse else F.l1_loss(made, wanted)

    def _task_error(
        self, made: torch.Tensor, wanted: torch.Tensor, parts: tuple[TaskRows, ...]
    ) -> torch.Tensor:
        """Return the errors of a head's rows, each as its task has it."""
        n, _, height, width = made.shape
        own, aim = (t.reshape(n, -1, parts[0].fields, height, width) for t in (made, wanted))
        terms = []
        for part in parts:
            a, b = own[:, :, part.begin : part.end], aim[:, :, part.begin : part.end]
            match part.task:
                case Task.BOX:
                    terms.append(self._difference(a, b))
                case Task.OBJECTNESS:
                    terms.append(divergence(a, b).mean())
                case Task.CLASSES:  # most places see nothing: each counts by its best class
                    weight = b.amax(dim=2).sigmoid()
                    terms.append((divergence(a, b).sum(2) * weight).sum() / weight.sum())
        return torch.stack(terms).sum()

    def _detection(self, made: Tensors, wanted: Tensors) -> torch.Tensor:
        stage = self._stage
        if not isinstance(stage, TaskQ):
            raise TypeError("only TASKQ answers for detections")
        own, aim = (
            head_maps(self._host, {t: v[n] for t, n in self._output_of.items() if n in v})
            for v in (made, wanted)
        )
        return detection_loss(self._host, own, aim, stage.confidence)

    def _balance(self, read: Read, images: int) -> float:
        """Return the weight of the detection terms: their gradients at the unit's outputs, sized.

        Nothing confident in sight, nothing to weigh: then it is 0.
        """
        stage, unit = self._stage, self._task.unit
        if not isinstance(stage, TaskQ) or not unit.detects:
            return 0.0
        sizes = [0.0, 0.0]
        for step in range(BALANCE_BATCHES):
            with torch.enable_grad():
                made, wanted = self._forward(read, images, step)
                for number, loss in enumerate(
                    (self._error(made, wanted), self._detection(made, wanted))
                ):
                    outputs = [made[name] for name in unit.outputs]
                    gradients = torch.autograd.grad(
                        loss, outputs, retain_graph=True, materialize_grads=True
                    )
                    squares = [float(g.square().sum()) for g in gradients]
                    sizes[number] += math.sqrt(sum(squares))
        return stage.balance * sizes[0] / sizes[1] if sizes[1] > 0.0 else 0.0

    def _pull(self, done: int, planned: int, first: float) -> torch.Tensor:
        """Return the term that closes AdaRound's choices, sized like the first error."""
        free = FREE_SHARE * planned
        if self._stage.rounding != "adaround" or done < free:
            return torch.zeros((), device=self._network.device)
        power = SHARPNESS[0] + (SHARPNESS[1] - SHARPNESS[0]) * (done - free) / (planned - free)
        count = sum(layer.weight.numel() for layer in self._layers.values())
        openness = torch.stack([layer.openness(power) for layer in self._layers.values()]).sum()
        return self._stage.pull * first * openness / max(1, count)


def _mixed(
    exact: torch.Tensor, coarse: torch.Tensor, share: float, rng: np.random.Generator
) -> torch.Tensor:
    """Return a tensor whose elements come from ``exact`` with probability ``share``."""
    chosen = torch.from_numpy(rng.random(exact.shape, dtype=np.float32) < share)
    return torch.where(chosen.to(exact.device), exact, coarse)

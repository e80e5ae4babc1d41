# SPDX-License-Identifier: Apache-2.0
"""Unit by unit through the network: each is trained knowing what its rounded inputs are.

Memory holds the tensors between units, of all images, once as the float network has them and once
as the rounded one has them, in memory up to a limit and on disk beyond it; nothing inside a unit is
kept. A finished unit is kept in the workspace, and an interrupted run goes on behind it.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch

from quant.floatgraph import FloatConv, FloatInput, FloatLinear
from quant.hostspec import HostSpec
from quant.ptq.executor import activate, apply_op
from quant.ptq.recipes.blocks import Block, StepGraph
from quant.ptq.recipes.blockstages import RepApq, TaskQ
from quant.ptq.recipes.images import ImageCodes
from quant.ptq.recipes.layerwise import spread
from quant.ptq.recipes.network import FormattedNetwork, float_parameters, shaped
from quant.ptq.recipes.reconstruction import Fit, Reconstruction, UnitTask
from quant.ptq.recipes.solution import Calibrated, LayerSolution
from quant.ptq.recipes.spool import Spool, spool
from quant.ptq.recipes.tuned import TunedLayer
from quant.ptq.recipes.units import Unit, units_of
from quant.ptq.recipes.workspace import Workspace
from quant.ptq.steps import Step

Bars = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
Solutions = Mapping[str, LayerSolution]


class BlockwisePass:
    """One blockwise stage on one network."""

    def __init__(
        self,
        network: FormattedNetwork,
        host: HostSpec,
        stage: RepApq | TaskQ,
        blocks: tuple[Block, ...],
        start: Solutions,
    ) -> None:
        """Prepare.

        Args:
            network: The network with its formats.
            host: Says what the outputs mean; its output names are those of float tensors.
            stage: What to do.
            blocks: Blocks of the network.
            start: Where every layer starts.
        """
        self._network, self._host, self._stage, self._start = network, host, stage, start
        self._lines = StepGraph(network.graph, network.steps)
        self._units = units_of(self._lines, blocks, host, stage)
        self._floats = float_parameters(network.graph, network.device)
        self._unit_of = {name: n for n, u in enumerate(self._units) for name in u.steps}
        name_of = {s.result: s.name for s in network.steps}
        self._heads = [tuple(name_of[t] for t in scale) for scale in host.outputs]
        self._last_reader = self._last_readers()

    def run(
        self,
        images: ImageCodes,
        workspace: Workspace,
        number: int,
        bars: Bars,
        scratch: Path | None,
        deadline: float | None,
    ) -> Calibrated:
        """Go through the network once.

        Args:
            images: Calibration images; the stage's number of them, spread over all, is read.
            workspace: Keeps finished units.
            number: Place of the stage in the recipe.
            bars: Shows progress.
            scratch: Folder for tensors that do not fit in memory.
            deadline: ``time.monotonic()`` at which to be done, or ``None``.
        """
        chosen = spread(len(images), self._stage.images)
        solved: dict[str, LayerSolution] = {}
        fits: list[Fit] = []
        with (
            torch.no_grad(),
            spool(scratch) as exact,
            spool(scratch) as coarse,
            bars(f"{self._stage.kind}, blocks", len(self._units)) as advance,
        ):
            for step in self._network.steps:
                if isinstance(step.op, FloatInput):
                    for i, place in enumerate(chosen):
                        image = torch.from_numpy(images.real(images.codes[place][None]))
                        exact.put(step.name, i, image)
                        coarse.put(step.name, i, image)
            for place, unit in enumerate(self._units):
                until = None
                if deadline is not None:
                    now = time.monotonic()
                    until = now + max(0.0, deadline - now) / (len(self._units) - place)
                found, fit = self._unit(
                    unit, place, (exact, coarse), len(chosen), (workspace, number), until
                )
                solved |= found
                fits.append(fit)
                self._move_on(unit, found, len(chosen), exact, coarse)
                for name, last in self._last_reader.items():
                    if last == place:
                        exact.drop(name, len(chosen))
                        coarse.drop(name, len(chosen))
                advance(1)
        stretches = [float(s) for s in self._network.stretches]
        return Calibrated(solved, self._network.stretched_plan(stretches), (self._note(fits),))

    def _unit(
        self,
        unit: Unit,
        place: int,
        spools: tuple[Spool, Spool],
        count: int,
        keep: tuple[Workspace, int],
        until: float | None,
    ) -> tuple[dict[str, LayerSolution], Fit]:
        """Return a unit's layers: those that an earlier run finished, or newly trained ones."""
        workspace, number = keep
        names = [name for name in unit.steps if self._lines.is_layer(name)]
        kept = workspace.load_unit(number, unit.name)
        if kept is not None:
            for class_number, stretch in kept["stretches"].items():
                self._network.stretches[int(class_number)] = torch.tensor(
                    stretch, device=self._network.device
                )
            found = {name: workspace.load_layer(number, name) for name in names}
            whole = {name: layer for name, layer in found.items() if layer is not None}
            if len(whole) == len(names):
                return whole, Fit(*kept["fit"])
        task = UnitTask(unit, place, *self._behind(unit, place), self._classes(unit))
        layers = {name: self._tuned(self._lines.steps[name]) for name in names}
        work = Reconstruction(
            self._network, self._lines, self._floats, self._host, self._stage, task, layers
        )
        exact, coarse = spools

        def read(name: str, image: int, is_exact: bool) -> torch.Tensor:
            return (exact if is_exact else coarse).get(name, image)

        fit = work.run(read, count, until)
        solved = {name: layer.solution() for name, layer in layers.items()}
        for name, layer in solved.items():
            workspace.save_layer(number, name, layer)
        stretches = {n: float(self._network.stretches[n]) for n in task.classes}
        workspace.save_unit(
            number,
            unit.name,
            {"stretches": stretches, "fit": [fit.steps, fit.first_loss, fit.last_loss]},
        )
        return solved, fit

    def _tuned(self, step: Step) -> TunedLayer:
        rounding, device = self._stage.rounding, self._network.device
        return TunedLayer(_layer(step), self._start[step.name], rounding, device)

    def _behind(self, unit: Unit, place: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the steps behind a unit that run in float, and the head outputs that are there.

        Where it answers for detections, they are all that the heads of the scales that it reaches
        still lack: a box counts by its classes, whichever unit makes them.
        """
        lines = self._lines
        needed, there = set(unit.stage_rest), set()
        if unit.detects:
            reached = self._reached(unit)
            scales = [s for s in self._heads if not reached.isdisjoint(s)]
            left = [name for scale in scales for name in scale]
            there = {name for name in left if self._unit_of[name] < place}
            while left:
                name = left.pop()
                if name not in needed and self._unit_of.get(name, -1) > place:
                    needed.add(name)
                    left.extend(lines.sources[name])
        return lines.in_order(needed), lines.in_order(there)

    def _reached(self, unit: Unit) -> set[str]:
        left = list(unit.outputs)
        reached: set[str] = set()
        while left:
            name = left.pop()
            if name not in reached:
                reached.add(name)
                left.extend(self._lines.readers[name])
        return reached

    def _classes(self, unit: Unit) -> tuple[int, ...]:
        """Return the formats' classes that a unit alone makes; others keep their ranges."""
        return tuple(
            number
            for number, names in enumerate(self._network.classes)
            if set(self._network.rounding_steps(names)) <= set(unit.steps)
        )

    def _move_on(
        self, unit: Unit, solved: Solutions, count: int, exact: Spool, coarse: Spool
    ) -> None:
        """Take all images through a finished unit, one by one."""
        lines, network = self._lines, self._network
        device = network.device
        parameters = {}
        for name, layer in solved.items():
            weight = torch.from_numpy(layer.real).float().to(device)
            bias = torch.from_numpy(layer.bias).float().to(device)
            parameters[name] = (shaped(_layer(lines.steps[name]), weight), bias)
        kept = [name for name in unit.outputs if name in self._last_reader]
        for i in range(count):
            true = {s: exact.get(s, i).to(device) for s in unit.sources}
            rough = {s: coarse.get(s, i).to(device) for s in unit.sources}
            for name in unit.steps:
                step = lines.steps[name]
                value = apply_op(
                    step.op, [true[s] for s in lines.sources[name]], self._floats.get(name)
                )
                true[name] = value if step.activation is None else activate(value, step.activation)
                sources = [rough[s] for s in lines.sources[name]]
                rough[name] = network.apply(step, sources, parameters.get(name))
            for name in kept:
                exact.put(name, i, true[name])
                coarse.put(name, i, rough[name])

    def _last_readers(self) -> dict[str, int]:
        """Return, per tensor between units, the last unit that needs it."""
        found: dict[str, int] = {}
        for place, unit in enumerate(self._units):
            found.update(dict.fromkeys(unit.sources, place))
        if any(unit.detects for unit in self._units):
            for scale in self._heads:  # an output waits for the other tasks of its scale
                last = max(self._unit_of[name] for name in scale)
                found.update({name: max(last, found.get(name, 0)) for name in scale})
        return found

    def _note(self, fits: list[Fit]) -> str:
        shares = [f.last_loss / f.first_loss for f in fits if f.first_loss > 0.0]
        steps = sum(f.steps for f in fits)
        mean = 100.0 * float(np.mean(shares)) if shares else 100.0
        return (
            f"{self._stage.kind}: {len(fits)} blocks, {steps} steps of {self._stage.batch} images "
            f"in all; the last errors of a block are {mean:.0f} % of its first ones (mean)"
        )


def _layer(step: Step) -> FloatConv | FloatLinear:
    if not isinstance(step.op, FloatConv | FloatLinear):
        raise TypeError(f"'{step.name}' is no layer")
    return step.op

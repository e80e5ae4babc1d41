# SPDX-License-Identifier: Apache-2.0
"""The network that calibration works on: real arithmetic, tensors rounded to their formats.

It computes what ``FakeQuantExecutor`` computes, from the float network and the planned formats
instead of a finished integer graph, so that it exists before lowering and has gradients.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch

from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    float_sources_of,
)
from quant.formats import RowRange, TensorFormat
from quant.ptq.executor import activate, apply_op, last_readers
from quant.ptq.formats import FormatPlan
from quant.ptq.recipes.rounding import rounded
from quant.ptq.steps import Step

Parameters = Callable[[str], tuple[torch.Tensor, torch.Tensor]]
Visit = Callable[[str, torch.Tensor], None]
# Operations whose output is rounded; the others hand on values of a format.
_ROUNDING = (FloatConv, FloatLinear, FloatActivation, FloatAvgPool, FloatAdd)


class FormattedNetwork:
    """Executes the steps of a float network with tensors rounded to a plan's formats."""

    def __init__(
        self,
        graph: FloatGraph,
        steps: tuple[Step, ...],
        plan: FormatPlan | None,
        device: torch.device,
    ) -> None:
        """Prepare.

        Args:
            graph: The float network.
            steps: Its steps.
            plan: Formats; ``None`` leaves every tensor real.
            device: Where tensors live.
        """
        self.graph = graph
        self.steps = steps
        self.device = device
        self._plan = plan
        self.classes = plan.classes if plan is not None else ()
        self._still = torch.zeros((), device=device)
        self._class_of: dict[str, int] = {}
        for number, names in enumerate(self.classes):
            self._class_of.update(dict.fromkeys(names, number))
        self.result_of = {s.name: s.result for s in steps}
        name_of = {s.result: s.name for s in steps}
        self.sources_of = {s.name: tuple(name_of[t] for t in float_sources_of(s.op)) for s in steps}
        self.freed_after = last_readers([(s.name, self.sources_of[s.name]) for s in steps])
        self.stretches: list[torch.Tensor] = [self._still.clone() for _ in self.classes]

    def apply(
        self,
        step: Step,
        sources: list[torch.Tensor],
        parameters: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Compute one step, activation and rounding included.

        Args:
            step: The step, not the input.
            sources: float32 [N, C, H, W] of each source, rounded.
            parameters: Weight and bias of a layer.

        Returns:
            float32 [N, C, H, W].
        """
        if isinstance(step.op, FloatConcat):
            sources = [
                self.at_format(step.name, x) if self._is_requantized(s, step.name) else x
                for s, x in zip(self.sources_of[step.name], sources, strict=True)
            ]
        return self.finished(step, apply_op(step.op, sources, parameters))

    def finished(self, step: Step, value: torch.Tensor) -> torch.Tensor:
        """Return a step's value behind its activation and its rounding."""
        if step.activation is not None:
            value = activate(value, step.activation)
        return self.at_format(step.name, value) if isinstance(step.op, _ROUNDING) else value

    def at_format(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a value rounded to the format of the step ``name``."""
        if self._plan is None:
            return value
        number = self._class_of.get(name)
        stretch = self._still if number is None else self.stretches[number]
        return rounded(value, self._plan.formats[name], stretch)

    def run(self, images: torch.Tensor, parameters: Parameters, visit: Visit) -> None:
        """Run a batch.

        Args:
            images: float32 [N, C, H, W], at any size that the network's strides allow.
            parameters: Gives weight and bias of a layer.
            visit: Called with the name of every step and its value, in order.
        """
        values: dict[str, torch.Tensor] = {}
        for step in self.steps:
            if isinstance(step.op, FloatInput):
                value = images
            else:
                layer = isinstance(step.op, FloatConv | FloatLinear)
                sources = [values[s] for s in self.sources_of[step.name]]
                value = self.apply(step, sources, parameters(step.name) if layer else None)
            values[step.name] = value
            visit(step.name, value)
            for name in self.freed_after[step.name]:
                del values[name]

    def rounding_steps(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of some steps that round their values; the others hand them on."""
        ops = {s.name: s.op for s in self.steps}
        return tuple(name for name in names if isinstance(ops[name], _ROUNDING))

    def stretched_plan(self, stretches: list[float]) -> FormatPlan | None:
        """Return the plan with every class's scale multiplied by ``exp`` of its stretch."""
        if self._plan is None:
            return None
        formats = dict(self._plan.formats)
        for names, stretch in zip(self._plan.classes, stretches, strict=True):
            for name in names:
                formats[name] = _stretched(formats[name], stretch)
        return replace(self._plan, formats=formats)

    def _is_requantized(self, source: str, target: str) -> bool:
        return self._plan is not None and (source, target) in self._plan.requantized


def _stretched(fmt: TensorFormat, stretch: float) -> TensorFormat:
    factor = float(torch.tensor(stretch, dtype=torch.float64).exp())
    ranges = tuple(RowRange(r.stop, r.scale * factor, r.zero_point) for r in fmt.ranges)
    return replace(fmt, ranges=ranges)


def float_parameters(
    graph: FloatGraph, device: torch.device
) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return weight and bias of every layer as tensors, by name."""
    return {
        op.name: (
            torch.tensor(op.weight, device=device),
            torch.tensor(op.bias, device=device),
        )
        for op in graph.ops
        if isinstance(op, FloatConv | FloatLinear)
    }


def shaped(op: FloatConv | FloatLinear, weight: torch.Tensor) -> torch.Tensor:
    """Return an OIHW weight in the shape that ``apply_op`` takes for the layer."""
    return weight if isinstance(op, FloatConv) else weight.flatten(1)

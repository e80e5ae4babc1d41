# SPDX-License-Identifier: Apache-2.0
"""Lowering: float operations and chosen formats to the integer graph."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np
import numpy.typing as npt

from quant.errors import QuantizationError
from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    FloatMaxPool,
    FloatMultiply,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
    float_sources_of,
)
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import (
    MAX_SHIFT,
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Node,
    Output,
    Requantize,
    Requantizer,
    Split,
    Upsample,
)
from quant.ptq.calibrate import Statistics
from quant.ptq.formats import FormatPlan
from quant.ptq.recipes.solution import LayerSolution, raised
from quant.ptq.requantizers import (
    apply_activation,
    clip_bounds,
    fixed_point,
    linear_requantizer,
    output_codes,
    table_requantizer,
)
from quant.ptq.schemes.setting import quantize_layer
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import Step
from quant.ptq.weightquant import Breakpoints
from quant.record import BreakpointRecord
from quant.weights import Weights

Floats = npt.NDArray[np.float64]

# A bias must stay below this many accumulator steps; a filter whose weights vanish beside its bias
# gets a larger weight scale until it does.
BIAS_STEPS = 1 << 24


@dataclass
class Lowering:
    """Lowers one network; holds what every step needs.

    Attributes:
        graph: The float network.
        steps: Its steps.
        plan: Formats and requantized edges.
        statistics: Calibration's figures.
        settings: The user's settings.
        edges: Names of the first convolution and the head convolutions.
        solved: Layers that a recipe has calibrated, by name; the others are rounded to nearest.
        importance: How much a weight's error counts, by layer, as for ``quantize_layer``; layers
            that are missing count all errors the same.
        weight_sqnr_db: Filled in: weight error by node name.
        notes: Filled in: decisions in words.
        breakpoints: Filled in: those of PWLQ layers.
    """

    graph: FloatGraph
    steps: tuple[Step, ...]
    plan: FormatPlan
    statistics: Statistics
    settings: QuantizeSettings
    edges: frozenset[str]
    solved: Mapping[str, LayerSolution] = field(default_factory=dict)
    importance: Mapping[str, Floats] = field(default_factory=dict)
    weight_sqnr_db: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    breakpoints: list[BreakpointRecord] = field(default_factory=list)

    def run(self) -> QGraph:
        """Return the integer graph.

        Raises:
            QuantizationError: A layer cannot be expressed within the contract's limits.
        """
        name_of = {s.result: s.name for s in self.steps}
        nodes: list[Node] = []
        made: dict[tuple[str, TensorFormat], str] = {}
        for step in self.steps:
            sources = [name_of[s] for s in float_sources_of(step.op)]
            for index, source in enumerate(sources):
                if (source, step.name) in self.plan.requantized:
                    target = self.plan.formats[step.name]
                    key = (source, target.with_channels(1))
                    if key not in made:
                        node = self._requantize(source, target, len(made))
                        nodes.append(node)
                        made[key] = node.name
                    sources[index] = made[key]
            nodes.append(self._node(step, sources))
        nodes.extend(Output(f"{name_of[r]}.output", name_of[r]) for r in self.graph.outputs)
        return QGraph(self.graph.name, tuple(nodes))

    def _node(self, step: Step, sources: list[str]) -> Node:
        op, name = step.op, step.name
        output = self.plan.formats[name]
        match op:
            case FloatInput():
                return Input(name, op.shape, output)
            case FloatConv() | FloatLinear():
                return self._layer(step, op, sources[0])
            case FloatActivation():
                return self._lookup(name, op, sources[0], output)
            case FloatMaxPool():
                return MaxPool(name, sources[0], op.kernel, op.stride, op.padding)
            case FloatAvgPool():
                count = op.kernel[0] * op.kernel[1]
                real = np.array([self._format(sources[0]).scale / (count * output.scale)])
                requant = linear_requantizer(real, name, None, output)
                return AvgPool(name, sources[0], op.kernel, op.stride, requant, output)
            case FloatAdd():
                return self._add(step, (sources[0], sources[1]), output)
            case FloatConcat():
                return Concat(name, tuple(sources))
            case FloatSplit():
                return Split(name, sources[0], op.begin, op.end)
            case FloatUpsample():
                return Upsample(name, sources[0], op.factor)
            case FloatMultiply() | FloatShuffle():
                # Importing refuses it; this is for a graph that was imported to run in float.
                raise QuantizationError(
                    f"'{name}' runs in float only; import the model without in_float"
                )
            case _:
                assert_never(op)

    def _format(self, source: str) -> TensorFormat:
        return self.plan.formats[source]

    def _layer(self, step: Step, op: FloatConv | FloatLinear, source: str) -> Conv | Linear:
        name, output = step.name, self.plan.formats[step.name]
        source_format = self._format(source)
        weight = op.weight if isinstance(op, FloatConv) else op.weight[:, :, None, None]
        bits = self.settings.weight_bits_of(name, edge=name in self.edges)
        solved = self.solved.get(name)
        if solved is not None:
            bias = solved.bias
            weights = raised(solved, least_scale(bias, source_format, output)).weights
        else:
            bias = op.bias.astype(np.float64)
            found = quantize_layer(
                weight,
                self.settings.weights_of(bits),
                self.importance.get(name),
                least_scale=least_scale(bias, source_format, output),
            )
            weights = found.weights
            if found.breakpoints is not None:
                self.breakpoints.append(breakpoint_record(name, found.breakpoints))
        integers = weights.integers().astype(np.int64)
        scale = np.broadcast_to(weights.scale.astype(np.float64), bias.shape)
        rounded = integers * scale[:, None, None, None]
        self.weight_sqnr_db[name] = sqnr_db(weight.astype(np.float64), rounded)
        if self.settings.correction == "mean" and solved is None:
            bias = bias + self._mean_error(op, weight - rounded)
        step_value = scale * source_format.scale
        zero_term = source_format.zero_point * integers.reshape(len(bias), -1).sum(axis=1)
        folded = np.floor(bias / step_value + 0.5).astype(np.int64) - zero_term
        requant, table = self._requantizer(step, step_value, output)
        if isinstance(op, FloatLinear):
            return Linear(name, source, weights, folded, requant, table, output)
        return Conv(
            name,
            source,
            weights,
            folded,
            op.stride,
            op.padding,
            op.groups,
            requant,
            table,
            output,
        )

    def _requantizer(
        self, step: Step, step_value: Floats, output: TensorFormat
    ) -> tuple[Requantizer, npt.NDArray[np.uint16] | None]:
        if step.activation is not None and step.needs_table:
            seen = self.statistics.before_activation[step.op.name]
            return table_requantizer(step_value, step.name, step.activation, seen, output)
        real = step_value / output.scale_per_row
        return linear_requantizer(real, step.name, step.activation, output), None

    def _mean_error(self, op: FloatConv | FloatLinear, error: Floats) -> Floats:
        """Return per filter the mean output error of the weights' rounding, from input means."""
        mean = self.statistics.means[op.source]
        if isinstance(op, FloatLinear):
            channels = mean.reshape(1, -1)
            repeat = error.shape[1] // channels.shape[1]
            return np.asarray(error[:, :, 0, 0] @ np.repeat(channels[0], repeat))
        per_channel = error.sum(axis=(2, 3))
        filters = np.arange(len(error)) // (len(error) // op.groups)
        inputs = mean.reshape(op.groups, -1)[filters]
        return np.asarray((per_channel * inputs).sum(axis=1))

    def _lookup(self, name: str, op: FloatActivation, source: str, output: TensorFormat) -> Lookup:
        fmt = self._format(source)
        decoded = np.asarray(
            fmt.codebook if fmt.codebook is not None else np.arange(1 << fmt.bits), np.float64
        )
        values = apply_activation(op, fmt.scale * (decoded - fmt.zero_point))
        return Lookup(name, source, output_codes(values, output).astype(np.uint16), output)

    def _add(self, step: Step, sources: tuple[str, str], output: TensorFormat) -> Add:
        real = np.array([self._format(s).scale / output.scale for s in sources])
        larger = int(np.argmax(real))
        multiplier, shift = fixed_point(real[larger : larger + 1], step.name)
        if int(multiplier[0]) == 0:
            raise QuantizationError(
                f"'{step.name}' adds tensors whose steps are below {2.0**-MAX_SHIFT:.1g} of its "
                "output's; its calibration range is not plausible"
            )
        both = [int(np.floor(r * 2.0 ** int(shift[0]) + 0.5)) for r in real]
        both[larger] = int(multiplier[0])
        low, high = clip_bounds(step.activation, output)
        return Add(step.name, sources, (both[0], both[1]), int(shift[0]), low, high, output)

    def _requantize(self, source: str, target: TensorFormat, index: int) -> Requantize:
        fmt = self._format(source)
        output = target.with_channels(fmt.channels)
        requant = linear_requantizer(np.array([fmt.scale / output.scale]), source, None, output)
        name = f"{source}.requantize" if index == 0 else f"{source}.requantize.{index}"
        return Requantize(name, source, requant, output)


def least_scale(bias: Floats, source: TensorFormat, output: TensorFormat) -> Floats:
    """Return the smallest weight scale at which each filter's bias stays small enough.

    Args:
        bias: float64 [F], real.
        source: Format of the layer's input.
        output: Format of its output.
    """
    floor = float(np.min(output.scale_per_row)) / source.scale * 2.0**-30
    return np.maximum(np.abs(bias) / (source.scale * BIAS_STEPS), floor)


def breakpoint_record(name: str, found: Breakpoints) -> BreakpointRecord:
    """Return the breakpoints of layer ``name`` as the record stores them."""
    return BreakpointRecord(
        name,
        found.real.shape[1],
        tuple(float(f"{v:.6g}") for v in found.real.reshape(-1)),
        tuple(float(f"{v:.6g}") for v in found.tops),
        tuple(int(v) for v in found.integers),
        tuple(int(v) for v in found.integer_tops),
    )


def sqnr_db(exact: Floats, rounded: Floats) -> float:
    """Return ``10*log10(sum(exact**2) / sum((exact-rounded)**2))``, capped at 200 dB."""
    return decibels(float(np.square(exact).sum()), float(np.square(exact - rounded).sum()))


def decibels(signal: float, noise: float) -> float:
    """Return ``10*log10(signal / noise)`` of two energies, capped at 200 dB."""
    if noise <= signal * 1e-20:
        return 200.0
    return 10.0 * float(np.log10(max(signal, 1e-300) / noise))


def dead_filters(weights: Weights) -> int:
    """Return the number of filters all of whose weights are zero."""
    return int(np.sum(~np.any(weights.integers().reshape(weights.shape[0], -1), axis=1)))


def edge_names(steps: tuple[Step, ...], formats: Collection[str]) -> frozenset[str]:
    """Return the names of the stem (first convolution) and of the output layers."""
    layers = [s for s in steps if isinstance(s.op, FloatConv | FloatLinear) and s.name in formats]
    edges = {s.name for s in layers if s.is_output}
    if layers:
        edges.add(layers[0].name)
    return frozenset(edges)

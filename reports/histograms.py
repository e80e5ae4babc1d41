# SPDX-License-Identifier: Apache-2.0
"""Weight histograms of a few layers with the levels that their codes can mean.

Filters of one layer have scales of their own, so weights are shown in steps of their group:
``weight / (scale * group multiplier)``. There every level is an integer of the decode tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from quant.errors import GraphError
from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.graph import QGraph
from quant.nodes import Conv, Linear
from quant.record import BreakpointRecord
from quant.weights import Weights
from reports.figures import BLUE, GREY, ORANGE, VERMILLION, new_figure, short_name
from reports.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
SHOWN = 6
# Bins per step where levels are few, so that the shape between two levels is visible.
_BINS_PER_STEP = 4
_MOST_BINS = 120
# More levels than this are an outline: stems would hide what they are compared with.
_STEM_LEVELS = 64
# Share of the weights at either end that may lie outside the picture.
_TAIL = 1e-4


def chosen_layers(summary: Summary, count: int = SHOWN) -> tuple[str, ...]:
    """Return the layers worth a histogram, in graph order.

    The first and the last one, the one with most weights, then those whose weights lost most.
    """
    layers = [x for x in summary.layers if x.weights]
    largest = max(layers, key=lambda x: x.weights)
    lossy = sorted(
        (x for x in layers if x.weight_sqnr_db is not None), key=lambda x: x.weight_sqnr_db or 0.0
    )
    wanted = dict.fromkeys(x.name for x in (layers[0], layers[-1], largest, *lossy, *layers))
    kept = set(list(wanted)[:count])
    return tuple(x.name for x in layers if x.name in kept)


def histogram_plot(
    graph: QGraph,
    float_graph: FloatGraph,
    names: Sequence[str],
    breakpoints: Sequence[BreakpointRecord] = (),
) -> Figure:
    """Draw one panel per layer: float weights in grey, weights per code level as blue stems.

    Args:
        graph: The integer graph.
        float_graph: The fused float network it was made from.
        names: Convolutions or linear layers of ``graph``.
        breakpoints: Breakpoints of the layers in PWLQ, drawn where they lie.

    Raises:
        GraphError: A name is no layer with weights, or the float network has no such layer.
    """
    rows = math.ceil(len(names) / COLUMNS)
    records = {record.layer: record for record in breakpoints}
    figure = new_figure(10.0, 1.1 + 2.5 * rows)
    figure.suptitle(f"{graph.name}: float weights and code levels", fontsize=11, weight="bold")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, min(COLUMNS, len(names)), index + 1)
        weights, exact = layer_weights(graph, float_graph, name)
        _draw_panel(axes, weights, steps_of(weights, exact))
        if name in records:
            _draw_breakpoints(axes, breakpoint_steps(weights, records[name]))
        axes.set_title(short_name(name), loc="left", fontsize=8.5)
        axes.set_xlabel(f"weight (steps; one step {_scale_text(weights)})", fontsize=7)
        if index % COLUMNS == 0:
            axes.set_ylabel("weights per step", fontsize=7)
        axes.tick_params(labelsize=7)
    # The first panel need not be a layer in PWLQ: every label that any panel has.
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=4, fontsize=7
    )
    return figure


def layer_weights(
    graph: QGraph, float_graph: FloatGraph, name: str
) -> tuple[Weights, npt.NDArray[np.float64]]:
    """Return the stored weights of a layer and its float weights, float64 OIHW.

    Raises:
        GraphError: ``name`` is no layer with weights, or the float network has no such layer.
    """
    node = graph.node(name)
    if not isinstance(node, Conv | Linear):
        raise GraphError(f"'{name}' is {type(node).__name__}, which has no weights to draw")
    for op in float_graph.ops:
        if op.name == name and isinstance(op, FloatConv | FloatLinear):
            if op.weight.size == node.weights.codes.size:
                return node.weights, op.weight.astype(np.float64).reshape(node.weights.shape)
            break
    raise GraphError(
        f"float network '{float_graph.name}' has no layer '{name}' with weights of shape "
        f"{node.weights.shape}; it belongs to another build, quantize again"
    )


def steps_of(weights: Weights, exact: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return float weights in steps of their group, float64 OIHW.

    Args:
        weights: Stored weights of the layer.
        exact: Its float weights, OIHW.
    """
    scale = weights.scale.astype(np.float64).reshape(-1, 1, 1, 1)
    return exact / (scale * weights.multipliers.astype(np.float64))


def level_counts(weights: Weights) -> dict[int, int]:
    """Return how many weights mean each level: every table entry, unused ones with 0."""
    rows = np.broadcast_to(weights.selectors, weights.codes.shape)
    levels, counts = np.unique(weights.tables[rows, weights.codes], return_counts=True)
    found = dict.fromkeys(map(int, np.unique(weights.tables)), 0)
    found.update(zip(map(int, levels), map(int, counts), strict=True))
    return found


def breakpoint_steps(weights: Weights, record: BreakpointRecord) -> npt.NDArray[np.float64]:
    """Return the first breakpoint of every group in steps of the group, float64 [groups].

    Args:
        weights: Stored weights of the layer.
        record: Its breakpoints.

    Raises:
        GraphError: The record has another number of groups.
    """
    if len(record.integers) != weights.groups:
        raise GraphError(
            f"'{record.layer}' has {weights.groups} groups but {len(record.integers)} breakpoints "
            "on record; they belong to another build, quantize again"
        )
    return np.array(record.integers) / weights.multipliers.reshape(-1)


def _draw_breakpoints(axes: Axes, steps: npt.NDArray[np.float64]) -> None:
    """Mark the median breakpoint on both sides, and from the least to the most of all groups."""
    for side in (-1, 1):
        axes.axvspan(
            side * float(steps.min()), side * float(steps.max()), color=ORANGE, alpha=0.25, zorder=0
        )
        axes.axvline(
            side * float(np.median(steps)), color=ORANGE, linewidth=1.2, linestyle="--",
            label="PWLQ breakpoint",
        )  # fmt: skip


def _draw_panel(axes: Axes, weights: Weights, steps: npt.NDArray[np.float64]) -> None:
    counts = level_counts(weights)
    levels, amounts = np.array(list(counts)), np.array(list(counts.values()))
    tails = np.quantile(steps, [_TAIL, 1 - _TAIL])
    used = levels[amounts > 0]
    # Edges half a step beside the integers: a level never falls on the border of two bins.
    low = math.floor(min(used.min(), tails[0])) - 1.5
    high = math.ceil(max(used.max(), tails[1])) + 1.5
    inside = (levels >= low) & (levels <= high)
    levels, amounts = levels[inside], amounts[inside]
    few = len(levels) <= _STEM_LEVELS
    width = 1 / _BINS_PER_STEP if few else float(math.ceil((high - low) / _MOST_BINS))
    bins = math.ceil((high - low) / width)
    edges = low + width * np.arange(bins + 1)
    heights = np.histogram(steps, edges)[0] / width
    axes.stairs(heights, edges, fill=True, color=GREY, alpha=0.7, label="float weights")
    if few:
        stems = amounts / np.array([_spacing(levels, int(v)) for v in levels])
        axes.vlines(levels, 0, stems, BLUE, linewidth=1.4, label="weights per level")
        axes.plot(levels, stems, "o", color=BLUE, markersize=2.5)
    else:
        stems = np.histogram(levels, edges, weights=amounts)[0] / width
        axes.stairs(stems, edges, color=BLUE, linewidth=0.8, label="weights per level")
    top = max(1.0, float(heights.max()), float(stems.max()))
    rug = np.full(len(levels), -0.04 * top)
    size = 1.0 if few else 0.3
    axes.plot(levels, rug, "|", color=VERMILLION, markersize=4, markeredgewidth=size,
              label="levels")  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(-0.08 * top, 1.1 * top)
    if top >= 1000:
        axes.yaxis.set_major_formatter("{x:,.0f}")


def _spacing(levels: npt.NDArray[np.int64], level: int) -> float:
    """Return the width in steps of the interval that rounds to ``level``."""
    at = int(np.searchsorted(levels, level))
    left = levels[at] - levels[at - 1] if at > 0 else None
    right = levels[at + 1] - levels[at] if at + 1 < len(levels) else None
    sides = [float(s) for s in (left, right) if s is not None]
    return sum(sides) / len(sides) if sides else 1.0


def _scale_text(weights: Weights) -> str:
    scale = weights.scale.reshape(-1, 1, 1, 1) * weights.multipliers.astype(np.float64)
    low, high = float(scale.min()), float(scale.max())
    return f"is {low:.2g}" if f"{low:.2g}" == f"{high:.2g}" else f"is {low:.2g} to {high:.2g}"

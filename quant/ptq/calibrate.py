# SPDX-License-Identifier: Apache-2.0
"""Calibration: one streaming pass of images through the float network."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from quant.errors import QuantizationError
from quant.floatgraph import FloatConv, FloatGraph, FloatLinear, float_sources_of
from quant.ptq.executor import FloatExecutor
from quant.ptq.observers import ChannelMean, Observer, RealRange
from quant.ptq.steps import Step

Images = npt.NDArray[np.float32]


class _Extremes:
    """Smallest and largest value only."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0

    def see(self, tensor: torch.Tensor, name: str) -> None:
        low, high = (float(v) for v in torch.aminmax(tensor))
        self.low, self.high = min(self.low, low), max(self.high, high)


@dataclass(frozen=True)
class Statistics:
    """What calibration keeps.

    Attributes:
        observers: By float tensor name: the tensors whose format is chosen from their own values.
        rows: By float tensor name: per-row observers of head outputs, one per channel range.
        before_activation: By convolution name: range before its table.
        means: By float tensor name: channel means, float64 [C], of every layer's input.
        images: Number of images seen.
    """

    observers: dict[str, Observer]
    rows: dict[str, tuple[Observer, ...]]
    before_activation: dict[str, RealRange]
    means: dict[str, npt.NDArray[np.float64]]
    images: int


def calibrate(
    graph: FloatGraph,
    steps: tuple[Step, ...],
    owners: set[str],
    row_stops: dict[str, tuple[int, ...]],
    batches: Iterable[Images],
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Stream images through the float network and observe.

    Args:
        graph: The float network.
        steps: Its integer nodes to be.
        owners: Float tensors whose histogram is wanted.
        row_stops: Per head output, the ends of its channel ranges.
        batches: float32 [N, C, H, W] normalised images; consumed once.
        progress: Called with the number of images of each finished batch.

    Returns:
        The statistics; memory is bounded by one batch and the histograms.

    Raises:
        QuantizationError: There is no image, or a value is not finite.
    """
    observers = {name: Observer() for name in owners}
    rows = {name: tuple(Observer() for _ in stops) for name, stops in row_stops.items()}
    extremes = {s.op.name: _Extremes() for s in steps if s.needs_table}
    inputs = {
        source
        for op in graph.ops
        if isinstance(op, FloatConv | FloatLinear)
        for source in float_sources_of(op)
    }
    means = {name: ChannelMean() for name in inputs - owners}

    def visit(name: str, tensor: torch.Tensor) -> None:
        if tensor.dim() == 2:
            tensor = tensor[:, :, None, None]
        for table in (observers, extremes, means):
            watcher = table.get(name)
            if watcher is not None:
                watcher.see(tensor, name)
        if name in rows:
            start = 0
            for stop, observer in zip(row_stops[name], rows[name], strict=True):
                observer.see(tensor[:, start:stop], name)
                start = stop

    executor = FloatExecutor(graph)
    images = 0
    for batch in batches:
        executor.run(batch, visit)
        images += len(batch)
        if progress:
            progress(len(batch))
    if images == 0:
        raise QuantizationError("calibration saw no image; give at least one with --calib")
    return Statistics(
        observers=observers,
        rows=rows,
        before_activation={n: RealRange(e.low, e.high) for n, e in extremes.items()},
        means={n: m.mean for n, m in means.items()}
        | {n: o.channel_mean for n, o in observers.items() if n in inputs},
        images=images,
    )

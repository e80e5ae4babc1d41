# SPDX-License-Identifier: Apache-2.0
"""A layer while its block is reconstructed: rounding, weight scales, and QPRep's affine layer.

QPRep: behind the merged convolution stands an affine layer per channel, ``y = g * (w * x + b) + h``
with ``g > 0``. It costs nothing: ``g`` goes into the real weight scale, hence into the requantize
multiplier, and ``g * b + h`` is the new bias. The fold is exact but for the rounding of stored
numbers: the scale to float32 (2**-24), the multiplier to 17 bits (2**-17), the bias to half a step.

A weight's scale and the gain are two things here: another scale moves the levels under weights that
stay, so that codes change; the gain moves all outputs of a channel and no code.

Source: RepAPQ, arXiv 2402.16121, section on QPRep, as far as its digest tells; its formulas are
this project's reconstruction. Scales: Esser et al., Learned Step Size Quantization, ICLR 2020.
AdaRound: Nagel et al., ICML 2020, equations 21 to 24.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatConv, FloatLinear
from quant.ptq.recipes.adaround import STRETCH_HIGH, STRETCH_LOW, rectified
from quant.ptq.recipes.blockstages import Rounding
from quant.ptq.recipes.grid import Grid
from quant.ptq.recipes.network import shaped
from quant.ptq.recipes.solution import LayerSolution, scale_per_filter, with_units

Floats = npt.NDArray[np.float64]

# No channel is turned off, nor its sign turned around.
LEAST_GAIN = 1e-3
# Learning rate of AdaRound's logits over that of weights.
LOGIT_RATE = 30.0


@dataclass(frozen=True, eq=False)
class Affine:
    """QPRep's layer behind a convolution: ``y = gain * x + offset``.

    Attributes:
        gain: float64 [F], > 0.
        offset: float64 [F], real.
    """

    gain: Floats
    offset: Floats


def folded(solution: LayerSolution, affine: Affine) -> LayerSolution:
    """Return one layer that does what a layer and the affine one behind it do.

    Args:
        solution: The layer.
        affine: What stands behind it.
    """
    scale = scale_per_filter(solution.weights) * affine.gain
    weights = replace(solution.weights, scale=scale.astype(np.float32))
    return LayerSolution(weights, affine.gain * solution.bias + affine.offset)


class TunedLayer:
    """One layer's parameters in training.

    Attributes:
        weight: float32 OIHW: latent weights over half their table's span (straight-through), or
            logits of the choice between two levels (adaround).
        stretch: float32 [F, 1, 1, 1], logarithm of what the weight scale counts times.
        gain: float32 [F, 1, 1, 1].
        offset: float32 [F], in units of the layer's outputs.
    """

    def __init__(
        self,
        op: FloatConv | FloatLinear,
        start: LayerSolution,
        rounding: Rounding,
        device: torch.device,
    ) -> None:
        """Start at a solution: its codes, scales and bias.

        Args:
            op: The float layer.
            start: Where to start.
            rounding: What may become of the codes.
            device: Where parameters live.
        """
        self._op, self._start, self._rounding = op, start, rounding
        stored = start.weights
        shape = stored.shape
        grid = Grid.of(stored, 1, device)
        # Levels in steps of the decode table; real values are ``step`` times that.
        self._grid = Grid(grid.tables, grid.selectors, torch.ones_like(grid.steps))
        self._step = grid.steps.reshape(shape).float()
        codes = torch.from_numpy(stored.codes.astype(np.int64)).to(device).reshape(1, shape[0], -1)
        level = self._grid.values(codes)
        self._low = self._grid.tables.min(dim=1).values[grid.selectors].reshape(shape).float()
        self._high = self._grid.tables.max(dim=1).values[grid.selectors].reshape(shape).float()
        self._even = bool((self._grid.tables.diff(dim=1) == 1.0).all())
        self._half_span = max(0.5, float((self._high - self._low).max()) / 2)
        self._level = level.reshape(shape).float()
        self.weight = (level.reshape(shape) / self._half_span).float()
        if rounding == "adaround":
            wanted = torch.from_numpy(op.weight.astype(np.float64).reshape(shape)).to(device)
            self._choose(codes, wanted.reshape(level.shape) / grid.steps)
        ones = (shape[0], 1, 1, 1)
        self.stretch = torch.zeros(ones, device=device)
        self.gain = torch.ones(ones, device=device)
        self.offset = torch.zeros(shape[0], device=device)
        self._bias = torch.from_numpy(start.bias).float().to(device)

    def parameters(self, rates: Mapping[str, float]) -> list[tuple[float, torch.Tensor]]:
        """Return learning rates and what learns with them; what has none does not learn.

        Args:
            rates: Of ``weight``, ``scale`` and ``affine``.
        """
        weight = rates["weight"] * (LOGIT_RATE if self._rounding == "adaround" else 1.0)
        if self._rounding == "frozen":
            weight = 0.0
        pairs = [
            (weight, self.weight),
            (rates["scale"], self.stretch),
            (rates["affine"], self.gain),
            (rates["affine"], self.offset),
        ]
        return [(rate, tensor) for rate, tensor in pairs if rate > 0.0]

    def real(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return real weight and bias as the layer's operation takes them, with gradients."""
        growth = self.stretch.exp()
        weight = self._units(growth) * (self._step * growth) * self.gain
        return shaped(self._op, weight), self.gain.reshape(-1) * self._bias + self.offset

    def openness(self, power: float) -> torch.Tensor:
        """Return how undecided AdaRound's choices are: 0 where all are up or down."""
        if self._rounding != "adaround":
            return self.stretch.new_zeros(())
        choice = rectified(self.weight)
        return (1.0 - (2.0 * choice - 1.0).abs().clamp(max=1.0).pow(power)).sum()

    @torch.no_grad()
    def confine(self) -> None:
        """Bring latent weights back to the span of their levels, and gains above zero."""
        self.gain.clamp_(min=LEAST_GAIN)
        if self._rounding == "straight-through":
            growth = self.stretch.exp()
            reach = growth / self._half_span
            self.weight.copy_(
                self.weight.clamp((self._low - 0.49) * reach, (self._high + 0.49) * reach)
            )

    @torch.no_grad()
    def solution(self) -> LayerSolution:
        """Return the layer as it is now, the affine one folded in."""
        stored = self._start.weights
        growth = self.stretch.detach().exp()
        match self._rounding:
            case "straight-through":
                units = self._nearest(self.weight * self._half_span / growth)
            case "adaround":
                units = self._below + (rectified(self.weight) >= 0.5) * self._span
            case "frozen":
                units = self._level
        scale = scale_per_filter(stored) * _exact(growth).reshape(-1)
        weights = with_units(stored, _exact(units) * stored.multipliers, scale)
        affine = Affine(_exact(self.gain).reshape(-1), _exact(self.offset))
        return folded(LayerSolution(weights, self._start.bias), affine)

    def _units(self, growth: torch.Tensor) -> torch.Tensor:
        """Return the levels in table steps; their gradients are those of the chosen rounding."""
        match self._rounding:
            case "straight-through":
                units = self.weight * self._half_span / growth
                with torch.no_grad():
                    away = self._nearest(units.detach()) - units
                return units + away
            case "adaround":
                return self._below + rectified(self.weight) * self._span
            case "frozen":
                return self._level

    def _nearest(self, units: torch.Tensor) -> torch.Tensor:
        if self._even:
            nearest = torch.floor(units + 0.5)
            return torch.minimum(torch.maximum(nearest, self._low), self._high)
        flat = units.double().reshape(self._grid.selectors.shape)
        return self._grid.values(self._grid.nearest(flat)).reshape(units.shape).float()

    def _choose(self, codes: torch.Tensor, wanted: torch.Tensor) -> None:
        """Prepare AdaRound: two levels per weight, and logits that choose the start's codes.

        Args:
            codes: int64 [1, F, K] of the start.
            wanted: float64 [1, F, K], the float weights in table steps.
        """
        last = self._grid.tables.shape[1] - 1
        rises = wanted > self._grid.values(codes)
        below = torch.where(rises, codes, codes - 1).clamp(0, last)
        above = (below + 1).clamp(0, last)
        low, high = self._grid.values(below), self._grid.values(above)
        part = (wanted - low) / (high - low).clamp(min=1e-300)
        starts_low = codes == below
        part = torch.where(starts_low, part.clamp(0.01, 0.49), part.clamp(0.51, 0.99))
        share = (part - STRETCH_LOW) / (STRETCH_HIGH - STRETCH_LOW)
        self._below = low.reshape(self._step.shape).float()
        self._span = (high - low).reshape(self._step.shape).float()
        self.weight = torch.log(share / (1.0 - share)).reshape(self._step.shape).float()


def _exact(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.detach().cpu().double().numpy())

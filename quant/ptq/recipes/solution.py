# SPDX-License-Identifier: Apache-2.0
"""What a recipe finds: stored weights and a real bias per layer, and the formats of tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quant.ptq.formats import FormatPlan
from quant.ptq.schemes.grouping import Grouping
from quant.ptq.schemes.integers import real_weights
from quant.ptq.schemes.levels import Levels
from quant.weights import Weights

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerSolution:
    """One layer after calibration.

    Attributes:
        weights: Its stored weights.
        bias: float64 [F], real.
    """

    weights: Weights
    bias: Floats

    @property
    def real(self) -> Floats:
        """Real weights, float64 OIHW."""
        return real_weights(self.weights)


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A network after calibration.

    Attributes:
        layers: By layer name.
        plan: Formats of tensors; ``None`` where activations stay float.
        notes: What happened, in words.
    """

    layers: Mapping[str, LayerSolution]
    plan: FormatPlan | None
    notes: tuple[str, ...] = ()


def scale_per_filter(weights: Weights) -> Floats:
    """Return the real value of one step of ``w_int``, float64 [F]."""
    return np.broadcast_to(weights.scale.astype(np.float64), weights.shape[:1]).copy()


def entries_of(weights: Weights) -> Floats:
    """Return what each group's codes decode to in steps of ``w_int``, float64 [G, 2**bits]."""
    tables = weights.tables[weights.selectors.reshape(-1)].astype(np.float64)
    return np.asarray(tables * weights.multipliers.reshape(-1, 1))


def with_units(weights: Weights, units: Floats, scale: Floats) -> Weights:
    """Return the weights with other codes and scales, everything else kept.

    Args:
        weights: Gives tables, selectors and multipliers; its tables ascend.
        units: float64 OIHW, in steps of ``w_int``: every code is the nearest one.
        scale: float64 [F].
    """
    grouping = Grouping(weights.granularity, weights.shape)
    codes = Levels.nearest(entries_of(weights)).codes(grouping.rows(units))
    return replace(weights, codes=grouping.tensor(codes), scale=scale.astype(np.float32))


def raised(solution: LayerSolution, least: Floats) -> LayerSolution:
    """Return the layer with every filter's scale at least ``least`` (float64 [F]).

    A bias that is large beside vanishing weights needs a larger scale to fit its bits; the weights
    are then rounded anew.
    """
    weights = solution.weights
    scale = scale_per_filter(weights)
    if bool(np.all(scale >= least)):
        return solution
    higher = np.maximum(scale, least)
    # float32 must not fall below it again.
    stored = higher.astype(np.float32)
    stored = np.where(stored < higher, np.nextafter(stored, np.float32(np.inf)), stored)
    units = solution.real / stored.astype(np.float64)[:, None, None, None]
    changed = (scale < least)[:, None, None, None]
    moved = with_units(weights, units, stored.astype(np.float64))
    kept = np.where(changed, moved.codes, weights.codes)
    kept_scale = np.where(scale < least, stored, scale.astype(np.float32))
    return replace(solution, weights=replace(moved, codes=kept, scale=kept_scale))

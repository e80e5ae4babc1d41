# SPDX-License-Identifier: Apache-2.0
"""Which granularity each layer takes when every layer may have its own.

The study picks the smallest quantization error. Two more rules count what the error was bought
with: stored bits (at high rates a bit per weight is worth a factor of four in squared error), and
multiplier hardware, estimated as products of operand widths.

Source of the first rule: Quantizing YOLOv7: A Comprehensive Study, arXiv 2407.04943.
"""

from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

from quant.memory import weight_bits
from quant.ptq.weightquant import LayerGroups, QuantizedLayer, Rounding
from quant.weights import Granularity, Weights, signed_bits

Rule = Literal["error", "bits", "hardware"]
RULES: tuple[Rule, ...] = ("error", "bits", "hardware")
CANDIDATES = (Granularity.FILTER, Granularity.F_SHAPE, Granularity.C_SHAPE)
SCALE_BITS = 32


def mixed(
    weight: npt.NDArray[np.float32],
    rounding: Rounding,
    rule: Rule,
    importance: npt.NDArray[np.float64] | None = None,
    least_scale: npt.NDArray[np.float64] | None = None,
    act_bits: int = 8,
) -> QuantizedLayer:
    """Return the layer at the candidate that the rule likes best; the first one of equals.

    Args:
        weight: float32 OIHW.
        rounding: Scheme and bits at every granularity.
        rule: What is compared.
        importance: As for ``LayerGroups``.
        least_scale: As for ``LayerGroups.quantize``.
        act_bits: Width of the activations, for the ``hardware`` rule.
    """
    best: tuple[float, QuantizedLayer] | None = None
    # In 1x1 kernels C-shape- and filter-wise groups are the same, and stored alike.
    point = weight.shape[2:] == (1, 1)
    for granularity in CANDIDATES[:-1] if point else CANDIDATES:
        groups = LayerGroups(weight, granularity, importance)
        layer = groups.quantize(rounding, least_scale)
        # The study compares real levels; what bits and hardware buy is what is stored.
        rounded = layer.real if rule == "error" else layer.stored_real
        error = np.square(rounded - weight)
        lost = float(error.sum() if importance is None else (error * importance).sum())
        cost = lost * _price(layer.weights, rule, act_bits)
        if best is None or cost < best[0]:
            best = cost, layer
    if best is None:
        raise ValueError("no granularity to choose from")
    return best[1]


def multiplier_cost(weights: Weights, act_bits: int) -> float:
    """Return the estimated multiplier hardware per multiply-accumulate: operand bits multiplied.

    Filter-wise the weight operand is a table entry. C-shape-wise the group multiplier meets the
    partial sum of all channels once. F-shape- and channel-wise the operand is the wide product.

    Args:
        weights: The stored weights.
        act_bits: Width of the activations.
    """
    if weights.multiplier_bits == 0:
        return float(act_bits * weights.table_bits)
    if weights.granularity is Granularity.C_SHAPE:
        channels = weights.shape[1]
        partial = act_bits + weights.table_bits + (channels - 1).bit_length()
        return act_bits * weights.table_bits + partial * weights.multiplier_bits / channels
    integers = weights.integers()
    return float(act_bits * signed_bits(int(integers.min()), int(integers.max())))


def _price(weights: Weights, rule: Rule, act_bits: int) -> float:
    match rule:
        case "error":
            return 1.0
        case "bits":
            stored = weight_bits(weights) + SCALE_BITS * weights.scale.size
            return float(4.0 ** (stored / weights.codes.size))
        case "hardware":
            return multiplier_cost(weights, act_bits)
        case _:
            assert_never(rule)

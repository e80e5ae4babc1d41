# SPDX-License-Identifier: Apache-2.0
"""Which layers get more bits, when the memory-saving ratio may fall to a given one.

Every layer has a curve: what the outputs lose at each number of bits, against the bits stored, with
tables, selectors and scales. Steps down these curves are taken where a stored bit wins most, until
the next one would not fit.

Source: Shoham and Gersho, Efficient bit allocation for an arbitrary set of quantizers, IEEE Trans.
ASSP 36 (1988): the lower convex hulls are walked from the fewest bits up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from quant.errors import QuantizationError
from quant.ptq.recipes.sensitivity import OutputCosts
from quant.ptq.schemes.setting import quantize_layer
from quant.ptq.settings import MAX_WEIGHT_BITS, LayerOverride, QuantizeSettings
from quant.weightsonly import LayerWeights, weights_memory

# Calibration may choose other tables than the rounding here: so much of the budget is left.
SLACK = 0.001


@dataclass(frozen=True)
class Choice:
    """One number of bits for one layer.

    Attributes:
        bits: Stored bits of a code.
        stored: All bits that the layer then stores.
        lost: Noise of the outputs, relative to their energy.
    """

    bits: int
    stored: int
    lost: float


def with_bits(
    settings: QuantizeSettings, costs: OutputCosts, other_bits: int = 0
) -> tuple[QuantizeSettings, str]:
    """Return the settings with the bits that their least ratio allows, and what to say of it.

    Args:
        settings: They have a least ratio; overrides in them win, their edge bits do not count.
        costs: Of the network.
        other_bits: As for ``bits_within``.
    """
    if settings.least_ratio is None:
        raise TypeError("there is no least ratio")
    found = bits_within(settings.least_ratio, settings, costs, other_bits)
    words = ", ".join(f"'{o.pattern}' {o.weight_bits}" for o in found)
    note = (
        f"a memory-saving ratio of {settings.least_ratio:g} leaves more than "
        f"{settings.weight_bits} bits for {len(found)} of {len(costs.weights)} layers: {words}"
    )
    overrides = (*found, *settings.overrides)
    return replace(settings, edge_bits=settings.weight_bits, overrides=overrides), note


def bits_within(
    ratio: float, settings: QuantizeSettings, costs: OutputCosts, other_bits: int = 0
) -> tuple[LayerOverride, ...]:
    """Return the bits of every layer: the least loss at a memory-saving ratio not below ``ratio``.

    Args:
        ratio: FP16 bits over stored bits.
        settings: Scheme and fewest bits; layers that an override names keep its bits.
        costs: Of the network.
        other_bits: Bits that are stored whatever the weights' bits, beside those of a build of
            weights alone.

    Returns:
        One override per layer whose bits differ from ``settings.weight_bits``, in graph order;
        stem and head are layers like any other.

    Raises:
        QuantizationError: Even the fewest bits store more.
    """
    curves = {name: _curve(name, settings, costs) for name in costs.weights}
    whole = 16 * sum(w.size + len(w) for w in costs.weights.values())
    fewest = other_bits + sum(curve[0].stored for curve in curves.values())
    if whole * (1.0 - SLACK) < ratio * fewest:
        raise QuantizationError(
            f"a memory-saving ratio of {ratio:g} is out of reach: {settings.weight_bits}-bit "
            f"'{settings.scheme}' weights give {whole / fewest:.3f}; choose fewer bits or a "
            "smaller ratio"
        )
    chosen = walked(curves, int(whole / ratio * (1.0 - SLACK)) - other_bits)
    return tuple(
        LayerOverride(name, bits, None)
        for name, bits in chosen.items()
        if bits != settings.weight_bits
    )


def walked(curves: Mapping[str, Sequence[Choice]], budget: int) -> dict[str, int]:
    """Return the bits of each layer within a budget of stored bits.

    Args:
        curves: Choices of each layer, the fewest stored bits first.
        budget: Bits that all of them may store, at least the sum of the first choices.
    """
    hulls = {name: _hull(curve) for name, curve in curves.items()}
    # Along a hull the gain per bit falls, so that sorting keeps each layer's steps in order.
    steps = sorted(
        (
            ((before.lost - after.lost) / (after.stored - before.stored), name, number)
            for name, hull in hulls.items()
            for number, (before, after) in enumerate(pairwise(hull))
        ),
        key=lambda step: (-step[0], step[1], step[2]),
    )
    place = dict.fromkeys(hulls, 0)
    left = budget - sum(hull[0].stored for hull in hulls.values())
    for _, name, number in steps:
        hull = hulls[name]
        price = hull[number + 1].stored - hull[number].stored
        if place[name] == number and price <= left:
            place[name], left = number + 1, left - price
    return {name: hulls[name][place[name]].bits for name in hulls}


def _curve(name: str, settings: QuantizeSettings, costs: OutputCosts) -> list[Choice]:
    weight = costs.weights[name]
    named = settings.overridden_bits_of(name)
    widths = range(settings.weight_bits, MAX_WEIGHT_BITS + 1) if named is None else (named,)
    found = []
    for bits in widths:
        weights = quantize_layer(weight, settings.weights_of(bits)).weights
        stored = weights_memory([LayerWeights(name, weights, len(weight))]).bits
        found.append(Choice(bits, stored, costs.of(name, weights)))
    return found


def _hull(curve: Sequence[Choice]) -> list[Choice]:
    """Return the choices on the lower convex hull, losses falling."""
    hull: list[Choice] = []
    for choice in sorted(curve, key=lambda c: (c.stored, c.lost)):
        if hull and choice.lost >= hull[-1].lost:
            continue
        while len(hull) > 1 and _slope(hull[-2], choice) <= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(choice)
    return hull


def _slope(before: Choice, after: Choice) -> float:
    return (after.lost - before.lost) / (after.stored - before.stored)

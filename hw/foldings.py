# SPDX-License-Identifier: Apache-2.0
"""Folding plan: PE and SIMD of every convolution, balanced for one interval.

The slowest cell sets the interval of a streaming pipeline, so parallelism beyond a common target is
wasted. For a target interval every convolution takes its cheapest folding that meets it; for a
budget of multiply-accumulates the smallest target is found whose foldings fit.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from hw.core_cost import LUTS_PER_BLOCK, core_cost
from hw.cores import PIXELS
from hw.divisors import divisors
from hw.geometry import ConvGeometry, conv_geometry
from quant.errors import PlanError
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv
from quant.schedule import Core, Folding, Schedule

DEFAULT_CLOCK_HZ = 200_000_000


@dataclass(frozen=True)
class Option:
    """One folding of one convolution.

    Attributes:
        interval: Cycles per frame if no window ever waits: compute, input or output beats.
        macs: Multiply-accumulates per cycle.
        cost: What its products cost (``hw.core_cost``); with one core it grows with ``macs``.
        folding: PE, SIMD and core.
    """

    interval: int
    macs: int
    cost: int
    folding: Folding


def plan_foldings(
    graph: QGraph,
    *,
    max_macs_per_cycle: int | None = None,
    target_interval_cycles: int | None = None,
    clock_hz: int = DEFAULT_CLOCK_HZ,
) -> Schedule:
    """Plan the folding of every convolution of ``graph``.

    Give one of the two targets. Equal arguments give equal plans.

    Args:
        graph: The integer graph; nodes of other kinds have no folding yet.
        max_macs_per_cycle: Sum of PE*SIMD over all convolutions that must not be exceeded; the
            plan has the smallest interval that fits.
        target_interval_cycles: Cycles per frame that no convolution may exceed; the plan has the
            fewest multiply-accumulates.
        clock_hz: Planned clock, written into the schedule.

    Returns:
        Schedule with a folding per convolution.

    Raises:
        PlanError: No or both targets, or one that cannot be met.
    """
    options = {
        node.name: conv_options(node, graph.shapes[node.source], graph.formats[node.source])
        for node in graph.convs
    }
    if target_interval_cycles is not None and max_macs_per_cycle is None:
        target = target_interval_cycles
    elif max_macs_per_cycle is not None and target_interval_cycles is None:
        target = smallest_interval(list(options.values()), max_macs_per_cycle)
    else:
        raise PlanError(
            "a plan needs one target; give either max_macs_per_cycle or target_interval_cycles"
        )
    folding: dict[str, Folding] = {}
    for name, choices in options.items():
        chosen = cheapest(choices, target)
        if chosen is None:
            fastest = min(o.interval for o in choices)
            raise PlanError(
                f"'{name}' cannot take a frame in {target} cycles; fully parallel it needs "
                f"{fastest}; raise the target interval"
            )
        folding[name] = chosen.folding
    return Schedule(graph.digest, clock_hz, folding)


def conv_options(
    node: Conv,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    cores: Sequence[Core] = ("plain_lut",),
    luts_per_block: int = LUTS_PER_BLOCK,
) -> list[Option]:
    """Return the foldings of ``node`` by rising cost; of equal ones the faster first.

    Among foldings of the same product and interval the one with the wider sum is cheaper: it has
    fewer accumulators and fewer output lanes.

    Args:
        node: The convolution.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        cores: Cores to choose from. Of several, those that do not build the layer are left out.
        luts_per_block: Lookup tables that a DSP block is worth.

    Raises:
        PlanError: No core builds the layer; of one core why.
    """
    bits = node.weights.bits * source.decoded_bits
    found = [
        Option(
            g.interval,
            g.macs_per_cycle,
            core_cost(g.core, g.pe, g.simd, bits, luts_per_block),
            g.folding,
        )
        for g in conv_geometries(node, in_shape, source, cores)
    ]
    return sorted(found, key=lambda o: (o.cost, o.interval, o.folding.pe))


def conv_geometries(
    node: Conv, in_shape: tuple[int, int, int], source: TensorFormat, cores: Sequence[Core]
) -> list[ConvGeometry]:
    """Return every folding of ``node`` as its geometry, core after core.

    Args:
        node: The convolution.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        cores: Cores to choose from; those that do not build the layer are left out.

    Raises:
        PlanError: No core builds the layer: why the last one does not.
    """
    found: list[ConvGeometry] = []
    refusal: PlanError | None = None
    for core in cores:
        try:
            found += core_geometries(node, in_shape, source, core)
        except PlanError as error:
            refusal = error
    if not found and refusal is not None:
        raise refusal
    return found


def core_geometries(
    node: Conv, in_shape: tuple[int, int, int], source: TensorFormat, core: Core
) -> list[ConvGeometry]:
    """Return the foldings of ``node`` on one core as geometries.

    Raises:
        PlanError: The core does not build the layer with any of them.
    """
    filters, group_channels, _, _ = node.weights.shape
    depthwise = group_channels == 1 and filters == in_shape[0] and node.groups > 1
    lanes = divisors(filters if depthwise else filters // node.groups)
    if core == "outer4":
        # Filters in pairs; where they are odd in number, zero filters fill the last fold.
        even = [pe for pe in lanes if pe % 2 == 0]
        odd = [] if even or node.groups > 1 else [2 * pe for pe in lanes if 2 * pe <= filters + 1]
        lanes = tuple(even or odd)
    found: list[ConvGeometry] = []
    refusal: PlanError | None = None
    for simd in divisors(group_channels):
        try:
            for pe in lanes:
                folding = Folding(pe, simd, PIXELS[core], core)
                found.append(conv_geometry(node, in_shape, folding, source))
        except PlanError as error:
            refusal = error
    if found:
        return found
    if refusal is not None:
        raise refusal
    raise PlanError(
        f"'{node.name}' has {filters // node.groups} filters per group; core '{core}' computes "
        "filters in pairs; use plain_lut or plain_dsp"
    )


def cheapest(options: Sequence[Option], target: int) -> Option | None:
    """Return the first of ``options``, by rising cost, that takes at most ``target`` cycles."""
    return next((o for o in options if o.interval <= target), None)


def smallest_interval(options: Sequence[Sequence[Option]], budget: int) -> int:
    """Return the smallest interval for which the cheapest foldings fit ``budget``.

    Raises:
        PlanError: Not even one multiply-accumulate per convolution fits.
    """
    # Only an interval that some folding has can be the answer, and cost falls as it rises.
    intervals = sorted({o.interval for choices in options for o in choices})

    def fits(interval: int) -> bool:
        chosen = [cheapest(choices, interval) for choices in options]
        return all(o is not None for o in chosen) and sum(o.macs for o in chosen if o) <= budget

    index = bisect_left(intervals, True, key=fits)
    if index == len(intervals):
        raise PlanError(
            f"{len(options)} convolutions do not fit {budget} multiply-accumulates per cycle; "
            f"the smallest plan has {sum(choices[0].macs for choices in options)}; raise the budget"
        )
    return intervals[index]

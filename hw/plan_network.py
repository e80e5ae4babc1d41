# SPDX-License-Identifier: Apache-2.0
"""Plan of a whole network: the folding of every node and the style of every weight memory.

A stream is as fast as its slowest node, so every node takes the cheapest folding that keeps one
common interval. Where several cost the same, and where a wider node would spare a width converter,
neighbours decide together: each node, and each pair of neighbours, in turn takes the choices that
are cheapest beside the present ones around it, until none changes. The sum of costs falls with each
change, so this ends; it need not be the least of all.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Literal

from hw.choices import (
    Choice,
    CoreAim,
    converter_cost,
    fastest_interval,
    layer_options,
    node_choices,
)
from hw.core_cost import LUTS_PER_BLOCK
from hw.cores import PACKED_CORES, PLAIN_CORES, core_blocks
from hw.devices import Device
from hw.foldings import DEFAULT_CLOCK_HZ, smallest_interval
from hw.weight_memory import weight_styles
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import Conv, Linear, Output, sources_of
from quant.schedule import Core, Folding, Schedule

CoreChoice = Core | Literal["auto"]
CORE_CHOICES: tuple[CoreChoice, ...] = ("auto", *PLAIN_CORES, *PACKED_CORES)
"""What a plan can be asked for."""

# Lookup tables for a DSP block beyond which a product in logic is always cheaper.
_DEAREST_BLOCK = 1024


def plan_network(
    graph: QGraph,
    *,
    max_macs_per_cycle: int | None = None,
    target_interval_cycles: int | None = None,
    fps: float | None = None,
    clock_hz: int | None = None,
    device: Device | None = None,
    core: CoreChoice = "plain_lut",
) -> Schedule:
    """Plan every node of ``graph`` for one common interval; FIFOs are left out.

    Give one of the three targets. Equal arguments give equal plans.

    Args:
        graph: The integer graph.
        max_macs_per_cycle: Products per cycle over all layers with weights that must not be
            exceeded; the plan has the smallest interval that fits.
        target_interval_cycles: Cycles per frame that no node may exceed; the plan has the fewest
            multiply-accumulates.
        fps: Frames per second that every node must reach, at ``clock_hz``.
        clock_hz: Planned clock; by default that of the device, or 200 MHz without one.
        device: Board whose ultra RAM may hold weights, and whose DSP blocks may multiply.
        core: Core of every layer with weights; ``auto``: per layer the one that costs least.

    Returns:
        Schedule with a folding per node but the outputs, and the style of every weight memory.

    Raises:
        PlanError: No or several targets, one that cannot be met, a core that does not build a
            layer or that the device does not have, or more DSP blocks than it has.
    """
    if clock_hz is None:
        clock_hz = DEFAULT_CLOCK_HZ if device is None else device.clock_hz
    for aim in _core_aims(core, device):
        target = _target(graph, max_macs_per_cycle, target_interval_cycles, fps, clock_hz, aim)
        chosen = _choose(graph, target, aim)
        folding = {name: choice.folding for name, choice in chosen.items()}
        used = dsp_blocks(graph, folding)
        if device is None or used <= device.dsp:
            break
    else:
        assert device is not None
        raise PlanError(
            f"the cores need {used:,} DSP blocks; '{device.name}' has {device.dsp:,}; ask for more "
            "cycles per frame, or for core plain_lut"
        )
    return Schedule(graph.digest, clock_hz, folding, memory=weight_styles(graph, folding, device))


def dsp_blocks(graph: QGraph, foldings: Mapping[str, Folding]) -> int:
    """Return the DSP blocks of the cores of all layers; requantizers have further ones."""
    layers = [foldings[n.name] for n in graph.nodes if isinstance(n, Conv | Linear)]
    return sum(core_blocks(f.core, f.pe, f.simd) for f in layers)


def _core_aims(core: CoreChoice, device: Device | None) -> Iterator[CoreAim]:
    """Yield what cores to plan with, until the DSP blocks of the device are enough."""
    has_blocks = device is None or device.family == "ultrascale+"
    if core != "auto":
        if core in PACKED_CORES and not has_blocks:
            raise PlanError(
                f"core '{core}' is made of the DSP48E2 blocks of UltraScale+, which the device of "
                f"'{'' if device is None else device.name}' does not have; use plain_lut or "
                "plain_dsp"
            )
        yield CoreAim((core,))
        return
    cores = (*PLAIN_CORES, *PACKED_CORES) if has_blocks else PLAIN_CORES
    price = LUTS_PER_BLOCK
    while price <= _DEAREST_BLOCK:
        yield CoreAim(cores, price)
        price += price // 4


def _target(
    graph: QGraph,
    max_macs_per_cycle: int | None,
    target_interval_cycles: int | None,
    fps: float | None,
    clock_hz: int,
    aim: CoreAim,
) -> int:
    """Return the interval to plan for, in cycles."""
    if [max_macs_per_cycle, target_interval_cycles, fps].count(None) != 2:
        raise PlanError(
            "a plan needs one target; give max_macs_per_cycle, target_interval_cycles or fps"
        )
    if target_interval_cycles is not None:
        return target_interval_cycles
    if fps is not None:
        if not 0 < fps <= clock_hz:
            raise PlanError(f"{fps:g} frames per second at {clock_hz} Hz; give 1 or more of both")
        return int(clock_hz // fps)
    layers = [layer_options(graph, n, aim) for n in graph.nodes if isinstance(n, Conv | Linear)]
    least = [
        fastest_interval(graph, n) for n in graph.nodes if not isinstance(n, Conv | Linear | Output)
    ]
    if max_macs_per_cycle is None or not layers:
        return max(least)
    return max(smallest_interval(layers, max_macs_per_cycle), *least)


def _choose(graph: QGraph, target: int, aim: CoreAim) -> dict[str, Choice]:
    """Return one choice per node, in graph order."""
    nodes = [node for node in graph.nodes if not isinstance(node, Output)]
    choices = {node.name: node_choices(graph, node, target, aim) for node in nodes}
    edges = [(source, node.name) for node in nodes for source in sources_of(node)]
    touching: dict[str, list[tuple[str, str]]] = {name: [] for name in choices}
    for edge in edges:
        for name in dict.fromkeys(edge):
            touching[name].append(edge)
    chosen = {name: options[0] for name, options in choices.items()}

    def cost(group: tuple[str, ...], picks: tuple[Choice, ...]) -> int:
        """Return what the nodes of ``group`` and their edges cost with ``picks``."""
        trial = dict(zip(group, picks, strict=True))
        total = sum(pick.cost for pick in picks)
        for producer, consumer in dict.fromkeys(e for name in group for e in touching[name]):
            total += converter_cost(
                trial.get(producer, chosen[producer]).out_lanes,
                trial.get(consumer, chosen[consumer]).in_lanes,
                graph.formats[producer].bits,
            )
        return total

    def improve(group: tuple[str, ...]) -> bool:
        best = min(
            product(*(choices[name] for name in group)), key=lambda picks: cost(group, picks)
        )
        if cost(group, best) >= cost(group, tuple(chosen[name] for name in group)):
            return False
        chosen.update(zip(group, best, strict=True))
        return True

    singles = [(name,) for name in choices]
    groups: list[tuple[str, ...]] = [*singles, *dict.fromkeys(e for e in edges if e[0] != e[1])]
    changed = True
    while changed:
        changed = False
        for group in groups:
            changed = improve(group) or changed
    return chosen

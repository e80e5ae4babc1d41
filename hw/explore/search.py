# SPDX-License-Identifier: Apache-2.0
"""Search: the cheapest plan of an interval, the fastest plan that fits, or plans along the way."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from hw.estimate import module_resources
from hw.explore.fifo_sizes import Edge, fifo_sizes
from hw.explore.options import NodeOption, all_options
from hw.explore.problem import Problem, Selection, make_problem
from hw.explore.reduction import Reduction
from hw.explore.relaxation import surely_impossible
from hw.explore.resources import Budget, Uses
from hw.explore.solver import Answer, solve
from hw.explore.streaming import LeastTraffic, least_traffic, moving_cycles
from hw.traffic import picture_bytes
from quant.graph import QGraph
from quant.nodes import Output, sources_of
from quant.schedule import MemoryStyle, Schedule

Aim = Literal["cheapest", "fastest"]

EFFORT = 2.0
"""Deterministic time of one question."""

DRAINED_BITS = 512
"""FIFOs that turn out smaller lie in logic, whatever was planned for their size."""


@dataclass(frozen=True)
class Network:
    """A network's tables before any plan.

    Attributes:
        graph: The integer graph.
        budget: What a plan may take.
        options: Per node but the outputs its options.
        fifo_bits: Bits of every FIFO.
        banned: Options that an exact run showed to be slower than their table says.
    """

    graph: QGraph
    budget: Budget
    options: Mapping[str, tuple[NodeOption, ...]]
    fifo_bits: Mapping[Edge, int]
    banned: frozenset[tuple[str, NodeOption]] = frozenset()

    @cached_property
    def problem(self) -> Problem:
        """The problem with these FIFO sizes."""
        return make_problem(
            self.graph, self.options, self.fifo_bits, self.budget.device, fixed_uses(self.graph)
        )

    @cached_property
    def picture_bytes(self) -> int:
        """Bytes of a picture and its results."""
        return picture_bytes(self.graph)

    def budget_at(self, interval: int) -> Budget:
        """Return the budget of plans that take a frame in at most ``interval`` cycles."""
        return self.budget.at(interval, self.picture_bytes)

    @property
    def streaming(self) -> "Network | None":
        """The network with weights that may come from the board's memory; ``None`` without any."""
        device = self.budget.device
        if device is None or not device.external_bytes_per_second:
            return None
        options = all_options(self.graph, device, streaming=True)
        return replace(self, options=options, budget=replace(self.budget, streaming=True))

    @cached_property
    def reduction(self) -> Reduction:
        """The problem under the budget, ready to be reduced to any interval."""
        return Reduction(self.problem, self.budget, self.banned)


@dataclass(frozen=True)
class Exploration:
    """A plan and what is proved of it.

    Attributes:
        aim: What was asked for.
        selection: The plan.
        interval_bound: No plan within the budget has a smaller interval; of ``cheapest`` the
            interval asked for.
        cost_bound: No plan of this interval costs less.
        fastest_proved: Whether no faster plan fits.
        cheapest_proved: Whether no plan of this interval costs less.
    """

    aim: Aim
    selection: Selection
    interval_bound: int
    cost_bound: int
    fastest_proved: bool
    cheapest_proved: bool

    @property
    def optimal(self) -> bool:
        """Whether everything that was asked for is proved."""
        return self.cheapest_proved and (self.aim == "cheapest" or self.fastest_proved)


@dataclass(frozen=True)
class NoPlan:
    """Nothing was found.

    Attributes:
        interval: Interval asked for, or the slowest one that the options have.
        proved: Whether there is no plan; else the search gave up.
    """

    interval: int
    proved: bool


def network_tables(graph: QGraph, budget: Budget) -> Network:
    """Return the tables of ``graph``."""
    options = all_options(graph, budget.device, streaming=budget.streaming)
    return Network(graph, budget, options, fifo_sizes(graph))


def cheapest_plan(network: Network, interval: int) -> Exploration | NoPlan:
    """Return the cheapest plan that takes a frame in at most ``interval`` cycles.

    Raises:
        ToolError: OR-tools is not installed.
    """
    if interval < bandwidth_interval(network):
        return NoPlan(interval, proved=True)
    return _cheapest(network, interval, _ask(network, interval), None)


def fastest_plan(network: Network) -> Exploration | NoPlan:
    """Return the fastest plan within the budget, and of that interval the cheapest.

    Raises:
        ToolError: OR-tools is not installed.
    """
    reduction = network.reduction
    slow = bandwidth_interval(network)
    intervals = sorted({max(n, slow) for n in reduction.intervals})
    if not intervals:
        return NoPlan(max(network.problem.intervals), proved=True)
    slowest = max(intervals)
    # What has no plan at one interval has none at a smaller one.
    last = bisect_left(
        intervals, True, key=lambda n: not surely_impossible(reduction.at(n), network.budget_at(n))
    )
    last -= 1
    # Between the largest interval without a plan and the smallest with one; the first that the
    # relaxation leaves is often the answer, so the steps away from it grow.
    low, high, step = last, len(intervals), 1
    best: Selection | None = None
    final: Answer | None = None
    while high - low > 1:
        middle = min(low + step, len(intervals) - 1) if best is None else (low + high) // 2
        # Where nothing can be faster the first plan would not do: the cheapest is asked for.
        ends = middle == last + 1
        answer = _ask(network, intervals[middle], first=not ends)
        if answer.selection is not None:
            best, high = answer.selection, middle
            final = answer if ends else None
        else:
            low, step = middle, 2 * step
            if answer.verdict == "impossible":
                last = middle
    pace = intervals[high] if best is not None else None
    bound = intervals[last + 1] if last + 1 < len(intervals) else None
    if network.budget.streaming and high:
        between = _between(network, intervals[high - 1])
        soonest = between.interval
        if between.selection is not None and (pace is None or soonest < pace):
            pace, best, final = soonest, between.selection, None
        if last < high - 1:  # an interval before is open
            bound = intervals[last] + 1 if last >= 0 else intervals[0]
        elif not between.impossible:
            behind = max(between.bound, intervals[last] + 1)
            bound = behind if bound is None else min(bound, behind)
    if pace is None:
        return NoPlan(slowest, proved=bound is None)
    final = final or _ask(network, pace, hint=best)
    found = _cheapest(network, pace, final, best)
    if isinstance(found, NoPlan):
        return found
    assert bound is not None  # it is what no plan is faster than
    proved = bound == found.selection.interval
    return replace(found, aim="fastest", interval_bound=bound, fastest_proved=proved)


def schedule_of(network: Network, selection: Selection, clock_hz: int) -> Schedule:
    """Return the plan as a schedule: foldings, styles of weights and FIFOs, sizes as depths."""
    return Schedule(
        network.graph.digest,
        clock_hz,
        {name: option.folding for name, option in selection.nodes.items()},
        fifo_depth={key: fifo.depth for key, fifo in selection.fifos.items()},
        memory=memory_styles(selection),
    )


def memory_styles(selection: Selection) -> dict[str, MemoryStyle]:
    """Return the style of every weight memory, and of every FIFO that is a memory.

    Without a style a FIFO of many bits would lie in block RAM, wherever it was planned.
    """
    styles: dict[str, MemoryStyle] = {
        f"{name}.weights": option.style
        for name, option in selection.nodes.items()
        if option.style is not None
    }
    for (producer, consumer), fifo in selection.fifos.items():
        if fifo.style != "shift":
            styles[f"{producer}->{consumer}"] = fifo.style
    return styles


def bandwidth_interval(network: Network) -> int:
    """Return the fewest cycles in which the board's memory moves a frame and its results.

    0 without a board, or when it has no memory: streams come from elsewhere. Weights that come from
    this memory take further cycles.
    """
    return moving_cycles(network.budget, network.picture_bytes)


def fixed_uses(graph: QGraph) -> Uses:
    """Return what every plan takes: forks, and the ends of the output streams."""
    readers: dict[str, int] = {}
    uses = Uses()
    for node in graph.nodes:
        for source in sources_of(node):
            readers[source] = readers.get(source, 0) + 1
        if isinstance(node, Output):
            channels, height, width = graph.shapes[node.source]
            end = module_resources("nf_axis_end", {"Beats": channels * height * width})
            uses = uses.plus(Uses.of(end))
    for name, count in readers.items():
        if count > 1:
            values = {"Branches": count, "BeatBits": graph.formats[name].bits}
            uses = uses.plus(Uses.of(module_resources("nf_fork", values)))
    return uses


def _cheapest(
    network: Network, interval: int, answer: Answer, known: Selection | None
) -> Exploration | NoPlan:
    """Return what ``answer`` says of ``interval``, of which a plan may be known already."""
    selection = answer.selection or known
    if selection is None:
        return NoPlan(interval, proved=answer.verdict == "impossible")
    moving = moving_cycles(network.budget, network.picture_bytes, selection.uses.external_kib)
    pace = max(max(option.interval for option in selection.nodes.values()), moving)
    return Exploration(
        aim="cheapest",
        selection=replace(selection, interval=pace),
        interval_bound=interval,
        cost_bound=answer.bound,
        fastest_proved=False,
        cheapest_proved=answer.verdict == "optimal",
    )


def _between(network: Network, interval: int) -> LeastTraffic:
    """Return the plan with options of ``interval`` that is done soonest after it.

    Where weights come from outside, what is too much at an interval may do before the next one that
    an option has, or behind the last: there nothing but the bandwidth decides.
    """
    problem = network.reduction.at(interval)
    return least_traffic(problem, network.budget, network.picture_bytes, effort=EFFORT)


def _ask(
    network: Network, interval: int, *, first: bool = False, hint: Selection | None = None
) -> Answer:
    problem = network.reduction.at(interval)
    budget = network.budget_at(interval)
    return solve(problem, budget, effort=EFFORT, first=first, hint=hint)

# SPDX-License-Identifier: Apache-2.0
"""The integer programme: one option per node and one FIFO per edge, solved by CP-SAT.

Every node takes one option. On an edge the lanes of producer and consumer meet: a flow from the
producer's lanes to the consumer's says which converter stands there, so that costs of pairs need
no products. Every FIFO takes one style at the lanes of its producer. Sums of all resources keep the
budget; the cost is a weighted sum of them.

The search runs interleaved, with limits in deterministic time: the same problem gives the same plan
on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hw.explore.edges import EdgeTable, FifoOption
from hw.explore.fifo_sizes import Edge
from hw.explore.options import NodeOption
from hw.explore.problem import Problem, Selection
from hw.explore.relaxation import surely_impossible
from hw.explore.resources import Budget, Uses
from quant.errors import ToolError

if TYPE_CHECKING:
    from ortools.sat.python import cp_model as cp

Verdict = Literal["optimal", "found", "impossible", "open"]
"""Proved the cheapest; a plan without that proof; proved that there is none; neither."""


WAYS = ("max_lp", "core")
"""The solver's ways of searching that take turns."""


@dataclass(frozen=True)
class Answer:
    """What the solver says.

    Attributes:
        verdict: What is proved.
        selection: The plan; ``None`` when there is none.
        bound: No plan costs less.
    """

    verdict: Verdict
    selection: Selection | None
    bound: int


def solve(
    problem: Problem,
    budget: Budget,
    *,
    effort: float,
    first: bool = False,
    least: int | None = None,
    hint: Selection | None = None,
) -> Answer:
    """Return the cheapest plan of ``problem`` within ``budget``.

    Args:
        problem: The reduced problem: options of one interval.
        budget: Limits and prices.
        effort: Most deterministic time, about seconds of one idle core.
        first: Whether the first plan that is found does.
        least: Resource, by its place in ``Uses``, that has no limit and of which as little as
            possible is to be taken, whatever the rest costs.
        hint: A plan to begin with.

    Raises:
        ToolError: OR-tools is not installed.
    """
    if surely_impossible(problem, budget):
        return Answer("impossible", None, 0)
    return _Model(problem, budget, least).run(effort, first=first, hint=hint)


def _cp_model() -> Any:  # noqa: ANN401 - a module of an optional extra
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise ToolError(
            "the explorer needs OR-tools, which is not installed; pip install "
            "'nibbleflow[explore]', or plan with --max-macs"
        ) from None
    return cp_model


class _Model:
    """Variables and constraints of one problem."""

    def __init__(self, problem: Problem, budget: Budget, least: int | None) -> None:
        self.problem, self.budget = problem, budget
        self.prices = budget.prices
        if least is not None:
            self.prices = tuple(int(field == least) for field in range(len(self.prices)))
        self.api = _cp_model()
        self.model: cp.CpModel = self.api.CpModel()
        self.terms: list[tuple[Any, Uses]] = []
        self.picks: dict[str, list[tuple[Any, NodeOption]]] = {}
        self.outs: dict[str, dict[int, Any]] = {}
        self.ins: dict[str, dict[int, Any]] = {}
        self.fifos: dict[Edge, list[tuple[Any, FifoOption]]] = {}
        for name, options in problem.options.items():
            self._node(name, options)
        for edge in problem.edges:
            self._edge(edge)
        limit = budget.limit
        if limit is not None:
            for field, most in enumerate(limit):
                if field == least:
                    continue
                used = [(var, uses[field]) for var, uses in self.terms if uses[field]]
                if used:
                    self.model.add(
                        self.api.LinearExpr.weighted_sum(*zip(*used, strict=True))
                        <= most - problem.fixed[field]
                    )
        priced = [(var, self._price(uses)) for var, uses in self.terms]
        priced = [(var, price) for var, price in priced if price]
        if priced:
            self.model.minimize(self.api.LinearExpr.weighted_sum(*zip(*priced, strict=True)))

    def _price(self, uses: Uses) -> int:
        return sum(count * price for count, price in zip(uses, self.prices, strict=True))

    def run(self, effort: float, *, first: bool, hint: Selection | None) -> Answer:
        """Solve, and read the plan."""
        if hint is not None:
            self._hint(hint)
        solver: cp.CpSolver = self.api.CpSolver()
        # The linear relaxation with all its rows is almost always the answer; cores find the rest.
        solver.parameters.num_workers = len(WAYS)
        solver.parameters.subsolvers.extend(WAYS)
        solver.parameters.interleave_search = True
        solver.parameters.random_seed = 1
        solver.parameters.max_deterministic_time = effort
        # Most of the presolve takes longer than the search.
        solver.parameters.linearization_level = 2
        solver.parameters.find_big_linear_overlap = False
        solver.parameters.symmetry_level = 0
        solver.parameters.cp_model_probing_level = 0
        solver.parameters.stop_after_first_solution = first
        status = solver.solve(self.model)
        fixed = self._price(self.problem.fixed)
        match status:
            case self.api.OPTIMAL | self.api.FEASIBLE:
                selection = self._selection(solver)
                proved = status == self.api.OPTIMAL
                bound = int(solver.best_objective_bound) + fixed
                return Answer("optimal" if proved else "found", selection, bound)
            case self.api.INFEASIBLE:
                return Answer("impossible", None, 0)
            case self.api.UNKNOWN:
                return Answer("open", None, 0)
            case _:
                raise AssertionError(self.model.validate())

    def _node(self, name: str, options: tuple[NodeOption, ...]) -> None:
        picks = [(self.model.new_bool_var(""), option) for option in options]
        self.picks[name] = picks
        self.model.add_exactly_one(var for var, _ in picks)
        self.terms += [(var, option.uses) for var, option in picks]
        self.outs[name] = self._lanes(picks, {option.out_lanes for option in options}, out=True)
        self.ins[name] = self._lanes(picks, {option.in_lanes for option in options}, out=False)

    def _lanes(
        self, picks: list[tuple[Any, NodeOption]], lanes: set[int], *, out: bool
    ) -> dict[int, Any]:
        """Return per number of lanes whether it is the one chosen."""
        found = {}
        for n in sorted(lanes):
            having = [var for var, o in picks if (o.out_lanes if out else o.in_lanes) == n]
            if len(having) == 1:
                found[n] = having[0]
            else:
                found[n] = self.model.new_bool_var("")
                self.model.add(sum(having) == found[n])
        return found

    def _edge(self, edge: EdgeTable) -> None:
        producer, consumer = edge.key
        outs = self.outs[producer]
        styles: list[tuple[Any, FifoOption]] = []
        for lanes, chosen in outs.items():
            offered = self._offered(edge.fifos[lanes])
            if len(offered) == 1:
                styles.append((chosen, offered[0]))
                continue
            own = [(self.model.new_bool_var(""), option) for option in offered]
            self.model.add(sum(var for var, _ in own) == chosen)
            styles += own
        self.fifos[edge.key] = styles
        self.terms += [(var, option.uses) for var, option in styles]
        if not edge.converters:
            return
        ins = self.ins[consumer]
        flow = {(n, m): self.model.new_bool_var("") for n in outs for m in ins}
        for n, chosen in outs.items():
            self.model.add(sum(flow[n, m] for m in ins) == chosen)
        for m, chosen in ins.items():
            self.model.add(sum(flow[n, m] for n in outs) == chosen)
        # Equal lanes are a wire.
        self.terms += [(flow[pair], uses) for pair, uses in edge.converters.items() if pair in flow]

    def _offered(self, options: tuple[FifoOption, ...]) -> list[FifoOption]:
        """Return the FIFOs worth choosing from: without limits only the cheapest."""
        limit = self.budget.limit
        if limit is None:
            return [min(options, key=lambda o: self.budget.cost(o.uses))]
        return [
            option
            for k, option in enumerate(options)
            if not any(
                other.uses.within(option.uses) and (other.uses != option.uses or j < k)
                for j, other in enumerate(options)
                if j != k
            )
        ]

    def _hint(self, hint: Selection) -> None:
        # A variable may stand for several choices; the solver takes one hint for each.
        hinted: set[int] = set()
        hints = [(var, o == hint.nodes[n]) for n, picks in self.picks.items() for var, o in picks]
        hints += [(var, f == hint.fifos[k]) for k, found in self.fifos.items() for var, f in found]
        for var, value in hints:
            if var.index not in hinted:
                hinted.add(var.index)
                self.model.add_hint(var, value)

    def _selection(self, solver: "cp.CpSolver") -> Selection:
        nodes = {
            name: next(option for var, option in picks if solver.boolean_value(var))
            for name, picks in self.picks.items()
        }
        fifos = {
            key: next(option for var, option in styles if solver.boolean_value(var))
            for key, styles in self.fifos.items()
        }
        uses = self.problem.fixed
        for part in (
            *(option.uses for option in nodes.values()),
            *(fifo.uses for fifo in fifos.values()),
            *converters(self.problem, nodes),
        ):
            uses = uses.plus(part)
        interval = max(option.interval for option in nodes.values())
        return Selection(nodes, fifos, interval, uses, self.budget.cost(uses))


def converters(problem: Problem, nodes: Mapping[str, NodeOption]) -> list[Uses]:
    """Return what the width converters between chosen options take."""
    found = []
    for edge in problem.edges:
        producer, consumer = edge.key
        if edge.converters:
            pair = (nodes[producer].out_lanes, nodes[consumer].in_lanes)
            found.append(edge.converters.get(pair, Uses()))
    return found

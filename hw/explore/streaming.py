# SPDX-License-Identifier: Apache-2.0
"""Weights from the memory on the board: how fast its bandwidth lets a plan be."""

from dataclasses import dataclass

from hw.explore.problem import Problem, Selection
from hw.explore.resources import KIB, Budget, Uses
from hw.explore.solver import solve

_FIELD = Uses._fields.index("external_kib")


@dataclass(frozen=True)
class LeastTraffic:
    """The plan that takes the fewest weights from outside.

    Attributes:
        selection: The plan; ``None`` when none was found.
        interval: Cycles in which the memory moves what it takes; that of ``bound`` without one.
        bound: No plan takes fewer cycles, as far as the memory goes.
        impossible: Whether it is proved that other resources leave no plan.
    """

    selection: Selection | None
    interval: int
    bound: int
    impossible: bool


def moving_cycles(budget: Budget, picture_bytes: int, external_kib: int = 0) -> int:
    """Return the fewest cycles in which the board's memory moves what a frame needs.

    Args:
        budget: Its board; 0 without one, or when it has no memory: streams come from elsewhere.
        picture_bytes: Bytes of the picture and its results.
        external_kib: KiB of weights that come from this memory.
    """
    board = budget.device
    if board is None or not board.external_bytes_per_second:
        return 0
    moved = picture_bytes
    if external_kib:  # counted in whole KiB, as the budget is
        moved = (external_kib + -(-picture_bytes // KIB)) * KIB
    return -(-moved * board.clock_hz // board.external_bytes_per_second)


def least_traffic(
    problem: Problem, budget: Budget, picture_bytes: int, *, effort: float
) -> LeastTraffic:
    """Return the plan of ``problem`` that takes the fewest weights from outside.

    Args:
        problem: Options fast enough for an interval.
        budget: What a plan may take; the bandwidth is not limited.
        picture_bytes: Bytes of the picture and its results.
        effort: As ``solve``.
    """
    answer = solve(problem, budget, effort=effort, least=_FIELD)
    bound = moving_cycles(budget, picture_bytes, answer.bound)
    impossible = answer.verdict == "impossible"
    if answer.selection is None:
        return LeastTraffic(None, bound, bound, impossible)
    kib = answer.selection.uses.external_kib
    interval = moving_cycles(budget, picture_bytes, kib)
    return LeastTraffic(answer.selection, interval, bound, impossible)

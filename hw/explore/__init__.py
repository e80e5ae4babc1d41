# SPDX-License-Identifier: Apache-2.0
"""The explorer: the plan of a network that is the best under a board's budgets, and the proof.

    network = network_tables(graph, Budget(find_device("zcu104")))
    found = fastest_plan(network)             # or cheapest_plan(network, interval_cycles)
    schedule = schedule_of(network, found.selection, clock_hz)

Costs are those of ``hw.estimate``; the optimum is exact for these tables. FIFOs are counted at
estimated sizes that no folding changes; ``hw.fifo_depths`` computes the real ones afterwards.
"""

from hw.explore.resources import Budget, Uses
from hw.explore.search import (
    Exploration,
    Network,
    NoPlan,
    cheapest_plan,
    fastest_plan,
    network_tables,
    schedule_of,
)
from hw.explore.shortage import Nearest, Shortage, nearest, shortages

__all__ = [
    "Budget",
    "Exploration",
    "Nearest",
    "Network",
    "NoPlan",
    "Shortage",
    "Uses",
    "cheapest_plan",
    "fastest_plan",
    "nearest",
    "network_tables",
    "schedule_of",
    "shortages",
]

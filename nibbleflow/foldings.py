# SPDX-License-Identifier: Apache-2.0
"""The folding that the verbs use as long as the user names no board."""

from hw.plan import plan_foldings
from quant.graph import QGraph
from quant.schedule import Schedule

# Multiply-accumulates per cycle over the whole network: a mid-size board's share of logic.
MACS_PER_CYCLE = 512


def default_schedule(graph: QGraph) -> Schedule:
    """Return the plan with the shortest interval at ``MACS_PER_CYCLE`` (one each at least)."""
    return plan_foldings(graph, max_macs_per_cycle=max(MACS_PER_CYCLE, len(graph.convs)))

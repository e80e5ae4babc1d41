# SPDX-License-Identifier: Apache-2.0
"""The token-level engine: a network as processes, run with exact times or counted without any."""

from hw.tokens.deadlock import Deadlock, Wait
from hw.tokens.graph import EdgeKey, Reader, TokenEdge, TokenGraph, Unit
from hw.tokens.network import cell_graph, token_graph
from hw.tokens.steps import Sink, Source

__all__ = [
    "Deadlock",
    "EdgeKey",
    "Reader",
    "Sink",
    "Source",
    "TokenEdge",
    "TokenGraph",
    "Unit",
    "Wait",
    "cell_graph",
    "token_graph",
]

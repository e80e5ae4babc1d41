# SPDX-License-Identifier: Apache-2.0
"""Locally minimal FIFO depths with a proof: one frame that ends in the initial state.

Cells read and write in an order that no data changes and never test for emptiness, and forks are
eager: a Kahn network. Whether it stops at given depths depends on no timing, only on who can go on.
So one run without time decides; if it takes a whole frame and leaves everything as it was, every
further frame can do the same.

A first frame grows FIFOs from wires: whenever the network stands still, of the FIFOs that would
let the cycle of waiting units go on, the one of the smallest tensor grows by a beat. Then each FIFO
in turn, the largest first, is tried with one beat less; where the frame still passes, it is grown
again from a wire with the others as they are, which gives its least depth. Less depth elsewhere
never makes less depth here enough, so at the end no FIFO can lose a beat.

Source: Parks, "Bounded Scheduling of Process Networks" (1995): growth at a standstill; Geilen and
Basten, "Requirements on the Execution of Kahn Process Networks" (2003): the cycle that waits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hw.tokens import Deadlock, EdgeKey, TokenGraph
from hw.tokens import state as at
from hw.tokens.deadlock import find_deadlock
from hw.tokens.tables import Tables, counted_tables
from quant.errors import PlanError

ASSUMPTION = "every output is drained independently of the others"


@dataclass(frozen=True)
class FrameProof:
    """One complete frame that ends as it began, so that every further frame passes too.

    Attributes:
        input_beats: Beats of the frame that came in.
        output_beats: Beats of the frame that left.
        moved_beats: Beats that left any unit.
        left_beats: Beats still inside at the end; 0.
        assumption: What the proof takes for granted.
    """

    input_beats: int
    output_beats: int
    moved_beats: int
    left_beats: int
    assumption: str


@dataclass(frozen=True, eq=False)
class MinimalDepths:
    """FIFO depths of which none can be lowered.

    Attributes:
        depths: Beats per edge; 0: a wire.
        proof: That a frame passes.
        stalls: Per FIFO, where the network stops with one beat less.
    """

    depths: Mapping[EdgeKey, int]
    proof: FrameProof
    stalls: Mapping[EdgeKey, Deadlock]


def minimal_depths(
    tokens: TokenGraph, progress: Callable[[], None] = lambda: None
) -> MinimalDepths:
    """Return locally minimal depths of all edges: lowering any one deadlocks the model.

    Args:
        tokens: The network; its own depths do not matter.
        progress: Called after each edge.

    Raises:
        PlanError: No FIFO lets a frame pass.
    """
    weight = _weights(tokens)
    depths = dict.fromkeys(weight, 0)
    grown = _grow(tokens, depths, weight, frozenset(weight))
    if isinstance(grown, Deadlock):
        raise PlanError(f"no FIFO depths let a frame pass; {grown}")
    depths = grown
    stalls: dict[EdgeKey, Deadlock] = {}
    for key in sorted(weight, key=lambda k: -weight[k]):
        progress()
        if depths[key] == 0:
            continue
        less = depths | {key: depths[key] - 1}
        stall = _grow(tokens, less, weight, frozenset())
        if isinstance(stall, Mapping):
            again = _grow(tokens, depths | {key: 0}, weight, frozenset({key}))
            if isinstance(again, Deadlock):
                raise PlanError(f"'{key[0]}' to '{key[1]}' has no depth of its own; {again}")
            depths = again
            if depths[key] == 0:
                continue
            stall = _grow(tokens, depths | {key: depths[key] - 1}, weight, frozenset())
        if isinstance(stall, Deadlock):
            stalls[key] = stall
    return MinimalDepths(depths, prove_frame(tokens, depths), stalls)


def prove_frame(tokens: TokenGraph, depths: Mapping[EdgeKey, int]) -> FrameProof:
    """Take one frame through the network and check that it ends in the initial state.

    Args:
        tokens: The network.
        depths: FIFO depth per edge; missing: a wire.

    Raises:
        PlanError: The network stops, or something is left inside.
    """
    tables = counted_tables(tokens, depths)
    _, passed = _run_frame(tokens, tables, {}, frozenset())
    if not passed:
        raise PlanError(f"a frame does not pass; {find_deadlock(tokens, tables)}")
    units, ports = tables.units, tables.ports
    beats = np.array([unit.out_beats for unit in tokens.units])
    buffers = ports[ports[:, at.CAPACITY] > 0]
    left = (
        # Every beat of the frame was made and taken, ...
        int(np.abs(units[:, at.MADE] - beats).sum() + np.abs(units[:, at.TAKEN] - beats).sum())
        + int(np.abs(ports[:, at.ARRIVED] - beats[ports[:, at.SOURCE]]).sum())
        # ... every place is free again, and every machine stands before its first step.
        + int(np.abs(buffers[:, at.ARRIVED] + buffers[:, at.CAPACITY] - buffers[:, at.LIMIT]).sum())
        + int(units[:, at.PHASE].sum())
    )
    if left:
        raise PlanError(f"a frame passes, but {left} beats or steps of it are left inside")
    sources = units[:, at.PORT_LO] == units[:, at.PORT_HI]
    sinks = units[:, at.READ_LO] == units[:, at.READ_HI]
    return FrameProof(
        input_beats=int(units[sources, at.MADE].sum()),
        output_beats=int(units[sinks, at.MADE].sum()),
        moved_beats=int(units[:, at.MADE].sum()),
        left_beats=left,
        assumption=ASSUMPTION,
    )


def count_frame(tokens: TokenGraph, depths: Mapping[EdgeKey, int]) -> Deadlock | None:
    """Return where one frame stops, or ``None`` if it passes.

    Args:
        tokens: The network.
        depths: FIFO depth per edge; missing: a wire.
    """
    result = _grow(tokens, depths, {}, frozenset())
    return result if isinstance(result, Deadlock) else None


def _grow(
    tokens: TokenGraph,
    depths: Mapping[EdgeKey, int],
    weight: Mapping[EdgeKey, int],
    growing: frozenset[EdgeKey],
) -> dict[EdgeKey, int] | Deadlock:
    """Take a frame through the network, growing FIFOs where it stops.

    Args:
        tokens: The network.
        depths: Depths at the beginning.
        weight: Of several FIFOs that would help, that of the least weight grows.
        growing: Edges whose FIFO may grow.

    Returns:
        The depths at the end, or where the network stops.
    """
    tables = counted_tables(tokens, depths)
    grown, passed = _run_frame(tokens, tables, weight, growing)
    if not passed:
        return find_deadlock(tokens, tables)
    return {key: depth + grown.get(key, 0) for key, depth in depths.items()}


def _run_frame(
    tokens: TokenGraph,
    tables: Tables,
    weight: Mapping[EdgeKey, int],
    growing: frozenset[EdgeKey],
) -> tuple[dict[EdgeKey, int], bool]:
    """Run one frame; return by how much FIFOs have grown, and whether the frame has passed."""
    from hw.tokens.counting_kernel import run  # the compiler takes half a second to load

    keys = list(dict.fromkeys(edge.key for edge in tokens.edges))
    number = {key: index for index, key in enumerate(keys)}
    groups = np.array([number[edge.key] for edge in tokens.edges], np.int64)
    cost = np.array([weight[key] if key in growing else -1 for key in keys], np.int64)
    grown = np.zeros(len(keys), np.int64)
    table = tokens.table
    for unit, row in zip(tables.units, table.rows, strict=True):
        unit[at.LEFT] = row.steps * row.periods
    count = len(tables.units)
    passed = run(
        tables.units,
        tables.ports,
        tables.readers,
        table.counts,
        table.emits,
        groups,
        cost,
        grown,
        np.zeros(count, np.int64),
        np.zeros(count, np.bool_),
        np.zeros((2 * count + 2, 3), np.int64),
        np.zeros(count, np.int64),
    )
    return dict(zip(keys, grown.tolist(), strict=True)), passed


def _weights(tokens: TokenGraph) -> dict[EdgeKey, int]:
    """Return the bits of every edge's tensor; two edges between the same nodes count once each."""
    weights: dict[EdgeKey, int] = {}
    for edge in tokens.edges:
        weights[edge.key] = weights.get(edge.key, 0) + edge.frame_bits
    return weights

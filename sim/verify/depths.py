# SPDX-License-Identifier: Apache-2.0
"""Frames through the RTL of a network at given FIFO depths: they pass, or stand still somewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.tokens import EdgeKey
from quant.graph import QGraph
from quant.schedule import Schedule
from sim.golden import GoldenModel
from sim.verify.network_run import build_network_bench
from sim.verify.stall import EdgeState, edge_states
from sim.verify.tensors import compare_stream


@dataclass(frozen=True)
class DepthRun:
    """One simulation at given depths.

    Attributes:
        stalled: Why it ended early, or ``None`` when every beat came.
        cycles: Clock cycles.
        mismatches: Wrong codes of all nodes; of a stalled run 0 if what came was right.
        waiting: State of every edge at the end of a stalled run; empty when it passed.
    """

    stalled: str | None
    cycles: int
    mismatches: int
    waiting: tuple[EdgeState, ...]

    @property
    def full_edges(self) -> tuple[EdgeKey, ...]:
        """Edges that hold their producer up at the end."""
        return tuple((s.edge.producer, s.edge.consumer) for s in self.waiting if s.full)

    @property
    def report(self) -> tuple[str, ...]:
        """Where it stands still, one line per edge that is full or empty."""
        return tuple(str(s) for s in self.waiting if s.full or (s.wanted and not s.offered))


def run_at_depths(
    graph: QGraph,
    schedule: Schedule,
    depths: Mapping[EdgeKey, int],
    codes: npt.NDArray[np.integer],
    work: Path,
    cache: Path,
    *,
    watchdog_cycles: int,
) -> DepthRun:
    """Simulate frames with always valid input and always ready outputs.

    Args:
        graph: The integer graph.
        schedule: Folding and memory styles; its own depths do not count.
        depths: FIFO depth per edge; missing or 0: a wire.
        codes: Input codes [N, C, H, W]; no reset between frames.
        work: Scratch folder.
        cache: Folder of compiled benches.
        watchdog_cycles: Cycles without a beat at any port after which it counts as stalled.
    """
    bench = build_network_bench(
        graph, replace(schedule, fifo_depth=dict(depths)), work / "rtl", cache
    )
    run = bench.run(work / "run", list(codes), watchdog_cycles=watchdog_cycles)
    golden = GoldenModel(graph).run(codes, keep=bench.probed).tensors
    mismatches = 0
    for name, log in zip(bench.probed, run.probes, strict=False):
        stream = bench.network.streams[name]
        found = compare_stream(log.data, stream, list(golden[name]))
        mismatches += found.mismatches - found.missing * stream.lanes
    return DepthRun(
        run.stalled or run.violation,
        run.cycles,
        mismatches,
        edge_states(bench, run) if run.stalled else (),
    )

# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.standstill BUILD --json FILE``: a network at its minimal FIFO depths.

In simulation frames pass at the minimal depths; with one beat less on a skip edge the network
stands still, as the token-level model says, and the report says where.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.fifo_minimum import MinimalDepths, minimal_depths
from hw.network import build_network
from hw.plan_network import plan_network
from hw.tokens import EdgeKey, token_graph
from quant.bundle import load_bundle
from quant.samples import sample_codes
from sim.verify.depths import run_at_depths

MACS_PER_CYCLE = 512
EDGES = 3
FRAMES = 2
WATCHDOG_CYCLES = 400_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate at the minimal depths, then with one beat less on each of the deepest edges.

    Returns:
        0 when frames pass at the minimal depths and stand still at each smaller one, else 1.
    """
    parser = argparse.ArgumentParser(description="Simulate a network at its minimal FIFO depths.")
    parser.add_argument("build", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--edges", type=int, default=EDGES)
    given = parser.parse_args(arguments)
    graph = load_bundle(given.build / "bundle").graph
    schedule = plan_network(graph, max_macs_per_cycle=MACS_PER_CYCLE)
    tokens = token_graph(build_network(graph, schedule))
    least = minimal_depths(tokens)
    codes: npt.NDArray[np.integer[Any]] = np.stack(
        [sample_codes(seed, graph.input.shape, 8) for seed in range(FRAMES)]
    )
    work = Path(tempfile.mkdtemp(prefix="nibbleflow-depths-"))

    def simulate(depths: Mapping[EdgeKey, int], lowered: EdgeKey | None) -> dict[str, Any]:
        run = run_at_depths(
            graph,
            schedule,
            depths,
            codes,
            work / "run",
            work / "benches",
            watchdog_cycles=WATCHDOG_CYCLES,
        )
        row = {
            "edge": "none" if lowered is None else " -> ".join(lowered),
            "depth": None if lowered is None else depths[lowered],
            "model": "passes" if lowered is None else "stands still",
            "simulation": "stands still" if run.stalled else "passes",
            "cycles": run.cycles,
            "mismatches": run.mismatches,
            "where": "; ".join(run.report),
            "as_modelled": lowered is None or lowered in run.full_edges,
        }
        print(row["edge"], row["simulation"], row["where"], flush=True)
        return row

    try:
        rows = [simulate(least.depths, None)]
        rows += [
            simulate({**least.depths, edge: least.depths[edge] - 1}, edge)
            for edge in deepest_edges(least, given.edges)
        ]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    given.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    good = all(r["model"] == r["simulation"] and r["as_modelled"] for r in rows)
    return int(not (good and not any(r["mismatches"] for r in rows)))


def deepest_edges(least: MinimalDepths, count: int) -> list[EdgeKey]:
    """Return the edges whose minimal FIFOs are the deepest: the skip connections."""
    return sorted(least.stalls, key=lambda key: -least.depths[key])[:count]


if __name__ == "__main__":
    sys.exit(main())
